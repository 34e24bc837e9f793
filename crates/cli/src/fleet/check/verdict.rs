//! What the answers of a node mean, and what to do about it.

use std::cmp::Ordering;

use ringbinder_client::{Absence, Error};
use ringbinder_ring::RingId;
use serde::Serialize;

use super::ask::Told;
use crate::fleet::advice::advice;

/// How a node stands to the ring file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It holds the ring of the file, and waits for nobody.
    Ok,
    /// It holds the ring of the file, and waits for other nodes before it serves all it owns.
    Settling,
    /// It holds an older ring.
    Behind,
    /// It holds a newer ring.
    Ahead,
    /// It holds another ring with the same version.
    Differs,
    /// It holds none.
    NoRing,
    /// It does not answer.
    Away,
    /// There is no connection by TLS, or none without.
    NoTls,
    /// It does not know who asks.
    NoLogin,
    /// What it answers is no protocol.
    Nonsense,
}

impl State {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Settling => "settling",
            State::Behind => "behind",
            State::Ahead => "ahead",
            State::Differs => "differs",
            State::NoRing => "no ring",
            State::Away => "away",
            State::NoTls => "no tls",
            State::NoLogin => "no login",
            State::Nonsense => "nonsense",
        }
    }
}

/// How the node `name` stands to the ring `id` of the file `origin`, and what to do.
pub(super) fn judge(name: &str, id: RingId, origin: &str, told: &Told) -> (State, Option<String>) {
    let held = match &told.ring {
        Ok(held) => held,
        Err(error @ Error::Away { why: Absence::Tls(_), .. }) => {
            return (State::NoTls, Some(with_advice(error)));
        }
        Err(error @ Error::Unauthenticated { .. }) => {
            return (State::NoLogin, Some(with_advice(error)));
        }
        Err(error @ Error::Away { .. }) => {
            return (State::Away, Some(format!("{error}: start it, or take it out of the ring")));
        }
        Err(error @ Error::Nonsense { .. }) => {
            return (State::Nonsense, Some(format!("{error}: see what listens there")));
        }
        Err(error) => return (State::NoRing, Some(error.to_string())),
    };
    let version = held.version;
    let why = told.last_error.as_ref().map(|why| format!(" (it says: {why})")).unwrap_or_default();
    match version.cmp(&id.version) {
        Ordering::Less => {
            let text =
                format!("{name} holds version {version} of {}: give it the file{why}", id.version);
            (State::Behind, Some(text))
        }
        Ordering::Greater => {
            let text = format!(
                "{name} holds version {version}, and {origin} is older: take the newer file, which \
                 is what `ring get` answers there"
            );
            (State::Ahead, Some(text))
        }
        Ordering::Equal if held.digest != id.digest => {
            let text = format!(
                "{name} holds another ring with version {version}: raise the version in the file \
                 that is meant, and give it to a node{why}"
            );
            (State::Differs, Some(text))
        }
        Ordering::Equal => match &told.awaited {
            Some(nodes) => {
                let text = format!(
                    "{name} waits for {nodes} before it serves all its keys: look again in a moment"
                );
                (State::Settling, Some(text))
            }
            None => (State::Ok, None),
        },
    }
}

fn with_advice(error: &Error) -> String {
    match advice(error) {
        Some(advice) => format!("{error}: {advice}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use ringbinder_client::TlsFault;

    use super::*;

    const FILE: RingId = RingId { version: 7, digest: 1 };

    fn told(ring: Result<RingId, Error>) -> Told {
        Told { ring, took: None, program: None, awaited: None, last_error: None }
    }

    fn of(ring: Result<RingId, Error>) -> (State, String) {
        let (state, advice) = judge("cache-b", FILE, "ring.toml", &told(ring));
        (state, advice.unwrap_or_default())
    }

    #[test]
    fn versions_and_digests_are_compared() {
        assert_eq!(of(Ok(FILE)), (State::Ok, String::new()));
        let (state, advice) = of(Ok(RingId { version: 6, digest: 1 }));
        assert_eq!(state, State::Behind);
        assert_eq!(advice, "cache-b holds version 6 of 7: give it the file");
        assert_eq!(of(Ok(RingId { version: 8, digest: 1 })).0, State::Ahead);
        assert_eq!(of(Ok(RingId { version: 7, digest: 2 })).0, State::Differs);
    }

    #[test]
    fn a_node_without_an_answer_is_no_node_without_a_ring() {
        let node = std::sync::Arc::<str>::from("cache-b");
        let away = Error::Away { node: node.clone(), why: Absence::Closed };
        assert_eq!(of(Err(away)).0, State::Away);
        let why = Absence::Tls(TlsFault::OnlyTls);
        let (state, advice) = of(Err(Error::Away { node: node.clone(), why }));
        assert_eq!(state, State::NoTls);
        assert!(advice.contains("--tls-ca FILE"), "{advice}");
        let (state, advice) = of(Err(Error::Unauthenticated { node: node.clone(), user: None }));
        assert_eq!(state, State::NoLogin);
        assert!(advice.contains("--auth-file FILE"), "{advice}");
        let nonsense = Error::Nonsense { node: node.clone(), got: "220".into() };
        assert_eq!(of(Err(nonsense)).0, State::Nonsense);
        let refused = Error::Refused { node, says: "this node has no ring".into() };
        assert_eq!(of(Err(refused)).0, State::NoRing);
    }

    #[test]
    fn a_ring_that_is_still_changing_is_not_in_order() {
        let awaited = Some("127.0.0.1:2".to_owned());
        let (state, advice) = judge("a", FILE, "f", &Told { awaited, ..told(Ok(FILE)) });
        assert_eq!(state, State::Settling);
        assert!(advice.unwrap().contains("waits for 127.0.0.1:2"));
    }

    #[test]
    fn a_file_that_was_refused_is_told() {
        let last_error = Some("line 3: no colon".to_owned());
        let behind = Ok(RingId { version: 6, digest: 1 });
        let (_, advice) = judge("a", FILE, "f", &Told { last_error, ..told(behind) });
        assert!(advice.unwrap().ends_with("(it says: line 3: no colon)"));
    }
}
