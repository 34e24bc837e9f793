//! Tests of faulty peers. If a program at the address of a node misbehaves, clients get a miss or an error,
//! and the node that was asked keeps working.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::skip::available;
use ringbinder_tests::{Kind, needs, wait};

use crate::{hit, set};

const AWAY: &str = "SERVER_ERROR the node that owns this key does not answer\r\n";

/// Time-out of the node for an answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);

/// The behaviour of the stand-in for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Like a node that stores nothing.
    Well,
    /// It answers everything, including handshakes, with another protocol.
    OtherProtocol,
    /// It reports the name of another node.
    OtherName,
    /// It refuses the first connections because all client slots are taken.
    FullAtFirst,
    /// It closes the first connections without an answer.
    ClosesAtFirst,
    /// It closes the connection at the first request.
    HangsUp,
    /// It sends a part of a value and closes the connection.
    HalfAValue { announced: usize },
    /// It sends more of a value than announced.
    MoreThanAnnounced { announced: usize },
    /// It reads and never answers.
    Silent,
    /// It sends a value for a key that was not requested.
    OtherKey,
    /// It sends a value for the right key twice.
    Twice,
    /// It sends bytes without a line break, and keeps the connection open.
    EndlessLine,
    /// It sends an invalid header.
    BrokenHeader,
    /// It ends lines with a bare line feed.
    BareLineFeeds,
    /// It answers every get with a value, the first one late.
    LateOnce,
    /// It refuses because it has no memory for the answer.
    Refuses,
    /// It stops in the middle of a large value of the last key, for longer than the node's time-out.
    Stalls,
}

/// Delay of a late answer: longer than `--peer-timeout` in its test, and less than twice as long.
const LATE: Duration = Duration::from_millis(1500);

/// Number of connections that it refuses if it refuses the first ones.
const TURNED_AWAY: usize = 3;

struct Shared {
    name: String,
    manner: Mutex<Manner>,
    over: AtomicBool,
    was_late: AtomicBool,
    /// Number of handshakes on new connections that it refused.
    turned_away: AtomicUsize,
}

/// A program that listens at the address of a node of the ring.
struct StandIn {
    port: u16,
    shared: Arc<Shared>,
}

impl StandIn {
    fn start(port: u16, name: &str, manner: Manner) -> StandIn {
        let listener = TcpListener::bind(local(port)).expect("a reserved port");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            manner: Mutex::new(manner),
            over: AtomicBool::new(false),
            was_late: AtomicBool::new(false),
            turned_away: AtomicUsize::new(0),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::Relaxed) {
                    break;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
                // The thread ends when the node closes the connection, at the latest when it is killed.
                thread::spawn(move || serve(stream, &shared));
            }
        });
        StandIn { port, shared: ours }
    }

    fn behaves(&self, manner: Manner) {
        *self.shared.manner.lock().expect("nothing panics in here") = manner;
    }

    fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(local(self.port));
    }
}

/// Serves one connection until it ends.
fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut is_new = true;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let manner = *shared.manner.lock().expect("nothing panics in here");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            _ if manner == Manner::OtherProtocol => {
                out.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
            }
            ["ring", "greet", ..] if is_new && turns_away(shared, manner) => {
                if manner == Manner::FullAtFirst {
                    out.write_all(b"ERROR Too many open connections\r\n")?;
                }
                return Ok(());
            }
            ["ring", "greet", _, stamp, ..] => {
                let name = if manner == Manner::OtherName { "cache-9" } else { &shared.name };
                let line = format!("PEER {name} 00000000000000aa {stamp} {stamp} {stamp}\r\n");
                out.write_all(line.as_bytes())?;
            }
            ["ring", "forward", ..] => {}
            ["set", _, _, _, len] => {
                let mut value = vec![0; len.parse::<usize>().unwrap_or(0) + 2];
                input.read_exact(&mut value)?;
                if !misbehave(shared, manner, "", &mut out)? {
                    out.write_all(b"STORED\r\n")?;
                }
            }
            ["get", ref keys @ ..] => {
                let key = if manner == Manner::Stalls { keys[keys.len() - 1] } else { keys[0] };
                if !misbehave(shared, manner, key, &mut out)? {
                    out.write_all(b"END\r\n")?;
                }
            }
            _ => out.write_all(b"ERROR\r\n")?,
        }
        is_new = false;
    }
}

/// Whether to refuse this connection.
fn turns_away(shared: &Shared, manner: Manner) -> bool {
    matches!(manner, Manner::FullAtFirst | Manner::ClosesAtFirst)
        && shared.turned_away.fetch_add(1, Ordering::Relaxed) < TURNED_AWAY
}

/// Answers by `manner`. An error closes the connection.
fn misbehave(shared: &Shared, manner: Manner, key: &str, out: &mut TcpStream) -> io::Result<bool> {
    match manner {
        Manner::Well
        | Manner::FullAtFirst
        | Manner::ClosesAtFirst
        | Manner::OtherProtocol
        | Manner::OtherName => return Ok(false),
        Manner::Silent => {}
        Manner::HangsUp => return Err(io::ErrorKind::Other.into()),
        Manner::HalfAValue { announced } => {
            out.write_all(format!("VALUE {key} 0 {announced}\r\n").as_bytes())?;
            out.write_all(&vec![b'x'; announced / 2])?;
            return Err(io::ErrorKind::Other.into());
        }
        Manner::MoreThanAnnounced { announced } => {
            out.write_all(format!("VALUE {key} 0 {announced}\r\n").as_bytes())?;
            out.write_all(&vec![b'x'; announced + 10])?;
            out.write_all(b"\r\nEND\r\n")?;
        }
        Manner::OtherKey => out.write_all(b"VALUE another 0 1\r\nx\r\nEND\r\n")?,
        Manner::Twice => {
            let value = format!("VALUE {key} 0 1\r\nx\r\n");
            out.write_all(format!("{value}{value}END\r\n").as_bytes())?;
        }
        Manner::EndlessLine => out.write_all(&vec![b'x'; 100_000])?,
        Manner::BrokenHeader => out.write_all(format!("VALUE {key} 0 -5\r\n").as_bytes())?,
        Manner::BareLineFeeds => out.write_all(b"\n\n\nEND\n")?,
        Manner::LateOnce => {
            if !shared.was_late.swap(true, Ordering::Relaxed) {
                thread::sleep(LATE);
            }
            out.write_all(format!("VALUE {key} 0 1\r\nx\r\nEND\r\n").as_bytes())?;
        }
        Manner::Stalls => {
            let half = vec![b'x'; 100_000];
            out.write_all(format!("VALUE {key} 0 {}\r\n", 2 * half.len()).as_bytes())?;
            out.write_all(&half)?;
            thread::sleep(PEER_TIMEOUT + PEER_TIMEOUT / 4);
            out.write_all(&half)?;
            out.write_all(b"\r\nEND\r\n")?;
        }
        Manner::Refuses => out.write_all(b"SERVER_ERROR out of memory\r\n")?,
    }
    Ok(true)
}

/// A node whose peer is a stand-in. The node has joined the ring.
fn beside(manner: Manner) -> (Fleet, StandIn) {
    let mut fleet = Fleet::new(2);
    let stand_in = StandIn::start(fleet.port(1), fleet.name(1), manner);
    fleet.launch(
        &[0],
        &fleet.ring(1, &[0, 1]),
        &["--peer-timeout", &PEER_TIMEOUT.as_millis().to_string(), "--peer-give-up", "500"],
    );
    fleet.await_settled(&[0], 1);
    (fleet, stand_in)
}

/// Waits until the node again sends requests to the stand-in, which behaves well again.
fn await_stored(fleet: &Fleet, key: &str) {
    let mut conn = fleet.connect(0);
    wait::until("the peer to be asked again", || {
        (conn.ask(set(key, "x")) == b"STORED\r\n").then_some(())
    });
}

#[test]
fn a_get_that_the_owner_refuses_counts_as_failed() {
    needs!(Kind::Ringbinder);
    let (fleet, stand_in) = beside(Manner::Well);
    let keys = fleet.keys_of(0, 1, "refused-", 3);
    await_stored(&fleet, &keys[0]);
    let before = fleet.count(0, "foreign_failed");
    stand_in.behaves(Manner::Refuses);
    // The client gets misses, and the owner has not counted them.
    fleet.connect(0).talk(format!("get {}\r\n", keys.join(" ")), "END\r\n");
    assert_eq!(fleet.count(0, "foreign_failed") - before, 3);
    assert_eq!(fleet.count(0, "foreign_get_failed"), 3);
    assert_eq!(fleet.stat(0, "peer:cache-1:state"), "up");
}

#[test]
fn a_large_value_that_stalls_is_a_miss_and_its_rest_harms_nothing() {
    needs!(Kind::Ringbinder);
    let (fleet, stand_in) = beside(Manner::Well);
    let keys = fleet.keys_of(0, 1, "stalls-", 5);
    await_stored(&fleet, &keys[0]);
    let before = fleet.count(0, "foreign_failed");
    stand_in.behaves(Manner::Stalls);
    // The keys before it were misses, as its header tells; only this key fails.
    fleet.connect(0).talk(format!("get {}\r\n", keys.join(" ")), "END\r\n");
    assert_eq!(fleet.count(0, "foreign_failed") - before, 1);
    stand_in.behaves(Manner::Well);
    await_stored(&fleet, &keys[0]);
    let log = fleet.server(0).log();
    assert!(!log.contains("panic"), "{log}");
}

/// For each manner, makes the peer misbehave once for a get and, if that fails, once for a set.
fn suffer(manners: &[Manner]) {
    let (fleet, stand_in) = beside(Manner::Well);
    let own = &fleet.keys_of(0, 0, "own-", 1)[0];
    let foreign = fleet.keys_of(0, 1, "foreign-", 2);
    let mut conn = fleet.connect(0);
    conn.talk(set(own, "mine"), "STORED\r\n");
    for &manner in manners {
        println!("{manner:?}");
        await_stored(&fleet, &foreign[0]);
        stand_in.behaves(manner);
        let both = format!("get {} {own} {}\r\n", foreign[0], foreign[1]);
        conn.talk(both, hit(own, "mine"));
        conn.talk(set(own, "mine"), "STORED\r\n");
        stand_in.behaves(Manner::Well);
        await_stored(&fleet, &foreign[0]);
        conn.talk(format!("get {}\r\n", foreign[0]), "END\r\n");
        let fails = [Manner::HangsUp, Manner::Silent, Manner::EndlessLine, Manner::BareLineFeeds];
        if fails.contains(&manner) {
            stand_in.behaves(manner);
            conn.talk(set(&foreign[0], "lost"), AWAY);
            conn.talk(format!("get {own}\r\n"), hit(own, "mine"));
            stand_in.behaves(Manner::Well);
        }
    }
    await_stored(&fleet, &foreign[0]);
    assert!(fleet.count(0, "foreign_failed") >= manners.len() as u64, "{:?}", fleet.stats(0));
}

#[test]
fn a_peer_that_is_no_node() {
    needs!(Kind::Ringbinder);
    for manner in [Manner::OtherProtocol, Manner::OtherName] {
        let (fleet, stand_in) = beside(manner);
        let own = &fleet.keys_of(0, 0, "own-", 1)[0];
        let foreign = &fleet.keys_of(0, 1, "foreign-", 1)[0];
        let mut conn = fleet.connect(0);
        conn.talk(set(own, "mine"), "STORED\r\n");
        conn.talk(format!("get {foreign} {own}\r\n"), hit(own, "mine"));
        conn.talk(set(foreign, "lost"), AWAY);
        stand_in.behaves(Manner::Well);
        await_stored(&fleet, foreign);
    }
}

#[test]
fn a_peer_that_turns_the_first_connections_away_is_asked_in_time() {
    needs!(Kind::Ringbinder);
    for manner in [Manner::FullAtFirst, Manner::ClosesAtFirst] {
        let mut fleet = Fleet::new(2);
        let stand_in = StandIn::start(fleet.port(1), fleet.name(1), Manner::Well);
        fleet.launch(&[0], &fleet.ring(1, &[0, 1]), &[]);
        // By this time the node has reached its peer, and no worker has a connection to it.
        fleet.await_settled(&[0], 1);
        stand_in.behaves(manner);
        let foreign = &fleet.keys_of(0, 1, "foreign-", 1)[0];
        fleet.connect(0).talk(set(foreign, "x"), "STORED\r\n");
        assert!(stand_in.turned_away() > TURNED_AWAY, "{manner:?}: {}", fleet.logs());
        assert_eq!(fleet.count(0, "foreign_failed"), 0, "{manner:?}");
        assert_eq!(fleet.stat(0, "peer:cache-1:state"), "up", "{manner:?}");
    }
}

#[test]
fn a_peer_that_turns_the_first_greetings_away_is_not_away() {
    needs!(Kind::Ringbinder);
    for manner in [Manner::FullAtFirst, Manner::ClosesAtFirst] {
        let mut fleet = Fleet::new(2);
        let stand_in = StandIn::start(fleet.port(1), fleet.name(1), manner);
        fleet.launch(&[0], &fleet.ring(1, &[0, 1]), &[]);
        fleet.await_settled(&[0], 1);
        assert!(stand_in.turned_away() > TURNED_AWAY, "{manner:?}: {}", fleet.logs());
        let log = fleet.server(0).log();
        assert!(!log.contains("is unreachable"), "{manner:?}: {log}");
    }
}

#[test]
fn a_peer_that_fails_in_mid_answer() {
    if available(Kind::Ringbinder) {
        suffer(&[
            Manner::HangsUp,
            Manner::HalfAValue { announced: 100 },
            Manner::HalfAValue { announced: 100_000 },
            Manner::Silent,
        ]);
    }
}

#[test]
fn a_peer_that_sends_what_was_not_asked() {
    if available(Kind::Ringbinder) {
        suffer(&[
            Manner::MoreThanAnnounced { announced: 100 },
            Manner::MoreThanAnnounced { announced: 100_000 },
            Manner::OtherKey,
        ]);
    }
}

#[test]
fn a_peer_that_does_not_keep_to_the_protocol() {
    if available(Kind::Ringbinder) {
        suffer(&[Manner::EndlessLine, Manner::BrokenHeader, Manner::BareLineFeeds]);
    }
}

#[test]
fn a_value_that_comes_twice_is_given_once() {
    needs!(Kind::Ringbinder);
    let (fleet, stand_in) = beside(Manner::Twice);
    let foreign = &fleet.keys_of(0, 1, "foreign-", 1)[0];
    fleet.connect(0).talk(format!("get {foreign}\r\n"), hit(foreign, "x"));
    stand_in.behaves(Manner::Well);
    await_stored(&fleet, foreign);
    fleet.connect(0).talk(format!("get {foreign}\r\n"), "END\r\n");
}

#[test]
fn one_late_answer_costs_one_miss() {
    needs!(Kind::Ringbinder);
    let (fleet, _stand_in) = beside(Manner::LateOnce);
    let foreign = fleet.keys_of(0, 1, "foreign-", 20);
    let mut conn = fleet.connect(0);
    conn.talk(format!("get {}\r\n", foreign[0]), "END\r\n");
    // The late answer arrives during this request, and is not taken for its answer.
    for key in &foreign[1..] {
        conn.talk(format!("get {key}\r\n"), hit(key, "x"));
    }
    assert_eq!(fleet.count(0, "peer:cache-1:slow"), 1);
    assert_eq!(fleet.count(0, "peer:cache-1:failed"), 1);
    assert_eq!(fleet.stat(0, "peer:cache-1:state"), "up");
}
