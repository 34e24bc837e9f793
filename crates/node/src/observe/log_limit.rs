//! A rate limit for log lines that untrusted clients cause: each line once a minute, and few in
//! all, so that a client cannot fill the disk with them.

use std::net::IpAddr;

use parking_lot::Mutex;
use ringbinder_store::Seconds;

use crate::net::connections::Remote;

/// Seconds in which the same line is not logged twice.
const PAUSE: Seconds = 60;

/// The most lines in that time.
const MOST: usize = 16;

/// The recent lines: the peer, the text and the time of each.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Vec<(Option<IpAddr>, String, Seconds)>>);

impl LogLimit {
    /// Whether this line about this peer, whatever its port, may be logged.
    pub(crate) fn allows(&self, peer: &Remote, what: &str, now: Seconds) -> bool {
        let who = match peer {
            Remote::Tcp { from, .. } => Some(from.ip()),
            Remote::Unix => None,
        };
        let mut logged = self.0.lock();
        logged.retain(|(.., at)| now.saturating_sub(*at) < PAUSE);
        let known = logged.iter().any(|(it, cause, _)| *it == who && cause == what);
        let allowed = !known && logged.len() < MOST;
        if allowed {
            logged.push((who, what.to_owned(), now));
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_not_much_in_all() {
        let log_limit = LogLimit::default();
        let to = "127.0.0.1:11211".parse().unwrap();
        let peer = |last: u8, port: u16| Remote::Tcp { from: ([10, 0, 0, last], port).into(), to };
        assert!(log_limit.allows(&peer(1, 1), "a", 100));
        assert!(!log_limit.allows(&peer(1, 2), "a", 159));
        assert!(log_limit.allows(&peer(1, 2), "b", 159));
        assert!(log_limit.allows(&peer(2, 1), "a", 159));
        assert!(log_limit.allows(&Remote::Unix, "a", 159));
        assert!(log_limit.allows(&peer(1, 1), "a", 160));
        let many = (3..100).filter(|&last| log_limit.allows(&peer(last, 1), "a", 160)).count();
        assert_eq!(many, MOST - 4);
    }
}
