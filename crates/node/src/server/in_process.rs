//! A node without listeners, for fuzz targets and tests of whole exchanges: real connections over
//! socket pairs, on the calling thread, with a clock that moves only by hand.

use std::ffi::OsString;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::connection;
use crate::net::connections::{Origin, Remote};
use crate::net::socket::Accepted;
use crate::server;
use crate::settings::{self, Startup};
use crate::worker::shared::Shared;
use crate::worker::state::Local;

/// A node inside this process.
#[derive(Debug)]
pub struct InProcessNode {
    runtime: LocalRuntime,
    shared: Arc<Shared>,
    local: Rc<Local>,
}

impl InProcessNode {
    /// A node with the settings of these flags; `None` if the flags ask for something other than
    /// serving.
    ///
    /// # Errors
    /// Invalid flags, or no runtime from the system.
    pub fn new(flags: &[&str]) -> io::Result<Option<InProcessNode>> {
        let arguments = std::iter::once("ringbinderd").chain(flags.iter().copied());
        let startup =
            settings::load(arguments.map(OsString::from), []).map_err(io::Error::other)?;
        let Startup::Run { settings, .. } = startup else { return Ok(None) };
        let shared = server::prepare_as_guest(*settings);
        let local = Rc::new(Local::new(Arc::clone(&shared), 0));
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        Ok(Some(InProcessNode { runtime, shared, local }))
    }

    /// Opens a connection, sends each chunk in one write, closes the sending side, and returns all
    /// answers until the node closed the connection.
    ///
    /// # Errors
    /// No socket from the system.
    pub fn exchange(&self, chunks: &[&[u8]]) -> io::Result<Vec<u8>> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let now = self.shared.clock.now();
        let ticket = self.shared.connections.open(Remote::Unix, now, || Origin::Client);
        let ticket = ticket.ok_or_else(|| io::Error::other("too many connections"))?;
        self.runtime.block_on(async {
            let (mut reader, mut writer) = UnixStream::from_std(ours)?.into_split();
            let serve = connection::run(Rc::clone(&self.local), Accepted::Unix(theirs), ticket);
            let send = async {
                for chunk in chunks {
                    // The node may close before it has read everything.
                    if writer.write_all(chunk).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let _ = writer.shutdown().await;
            };
            let mut answers = Vec::new();
            let receive = async {
                // The data read before a reset stays.
                let _ = reader.read_to_end(&mut answers).await;
            };
            tokio::join!(serve, send, receive);
            Ok(answers)
        })
    }

    /// Advances the clock.
    pub fn advance(&self, seconds: u32) {
        self.shared.clock.advance(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_answers_whatever_the_cuts_and_ends() {
        let node = InProcessNode::new(&["-m", "8"]).unwrap().unwrap();
        let input = b"set a 0 10 5\r\nhello\r\nget a b\r\nmn\r\n";
        let expected = b"STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\nMN\r\n";
        for cut in 0..input.len() {
            let (head, tail) = input.split_at(cut);
            assert_eq!(node.exchange(&[head, tail]).unwrap(), expected, "cut at {cut}");
        }
        node.advance(10);
        assert_eq!(node.exchange(&[b"get a\r\n"]).unwrap(), b"END\r\n");
    }

    #[test]
    fn the_age_of_an_item_that_nobody_asks_for_begins_anew_after_96_days() {
        const DAY: u32 = 86_400;
        let node = InProcessNode::new(&["-m", "8"]).unwrap().unwrap();
        node.exchange(&[b"set a 0 0 1\r\nx\r\n"]).unwrap();
        let age = || -> u32 {
            let answer = node.exchange(&[b"mg a u l\r\n"]).unwrap();
            let text = std::str::from_utf8(&answer).unwrap();
            text.trim_end().strip_prefix("HD l").unwrap().parse().unwrap()
        };
        node.advance(95 * DAY);
        assert!((95 * DAY..96 * DAY).contains(&age()));
        node.advance(3 * DAY);
        assert!(age() < 3 * DAY, "98 days are three bytes of seconds and a little");
    }

    #[test]
    // Together with tokio's own data, a task fits 256 bytes; the next size is 384.
    fn a_connection_that_waits_holds_little() {
        let node = InProcessNode::new(&["-m", "8"]).unwrap().unwrap();
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ticket = node.shared.connections.open(Remote::Unix, 0, || Origin::Client).unwrap();
        let entry = std::mem::size_of::<crate::net::connections::OpenConnection>();
        ours.set_nonblocking(true).unwrap();
        let serve = node.runtime.block_on(async {
            let serve = connection::run(Rc::clone(&node.local), Accepted::Unix(ours), ticket);
            std::mem::size_of_val(&serve)
        });
        assert!(serve <= 144 && entry <= 112, "{serve} bytes of task, {entry} bytes of entry");
    }

    #[test]
    fn a_hit_allocates_nothing() {
        let node = InProcessNode::new(&["-m", "8"]).unwrap().unwrap();
        let keys: Vec<String> = (0..10).map(|number| format!("key:{number}")).collect();
        for key in &keys {
            let set = format!("set {key} 0 0 32\r\n{}\r\n", "v".repeat(32));
            node.exchange(&[set.as_bytes()]).unwrap();
        }
        let one_each: String = keys.iter().map(|key| format!("get {key}\r\n")).collect();
        let all_at_once = format!("get {}\r\n", keys.join(" "));
        for requests in [one_each, all_at_once] {
            let exchange = |times: usize| {
                let requests = requests.repeat(times);
                let mut answers = Vec::new();
                let info = allocation_counter::measure(|| {
                    answers = node.exchange(&[requests.as_bytes()]).unwrap();
                });
                let hits = answers.windows(6).filter(|text| text == b"VALUE ").count();
                assert_eq!(hits, 10 * times);
                info.count_total
            };
            // The first brings the buffers to their size.
            exchange(200);
            let (few, many) = (exchange(100), exchange(200));
            // Excluding the client's own buffer, which grows with the answers.
            assert!(many < few + 100, "{few} allocations for 1000 hits, {many} for 2000");
        }
    }
}
