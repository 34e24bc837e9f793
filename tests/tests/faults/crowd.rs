//! Fault: ten thousand connections. A quarter sends a byte occasionally, a quarter sends nothing or half a
//! request, and half are a load that is served as if it were alone.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringbinder_tests::load::Plan;
use ringbinder_tests::process::raise_open_files;
use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::wait;

use crate::{NODES, Row, back_to, briefly, checked, figure, goes_on, levels, plan, ports};

const CONNECTIONS: usize = 10_000;
const SLOW: usize = CONNECTIONS / 4;
const SILENT: usize = CONNECTIONS / 4;

/// Memory in MiB that a node may keep after the crowd is gone.
const KEPT_MIB: u64 = 24;

const REQUEST: &[u8] = b"get a-key-that-nobody-ever-wrote\r\n";
const ANSWER: &[u8] = b"END\r\n";

#[test]
fn ten_thousand_connections_half_of_them_slow_or_silent() {
    briefly("ten_thousand_connections_half_of_them_slow_or_silent");
}

/// A client on a slow line.
struct Slow {
    stream: TcpStream,
    sent: usize,
}

impl Slow {
    fn connect(port: u16) -> Slow {
        let stream = TcpStream::connect(local(port)).expect("a place for a slow client");
        stream.set_nonblocking(true).expect("a socket");
        Slow { stream, sent: 0 }
    }

    fn send_a_byte(&mut self) {
        let byte = &REQUEST[self.sent % REQUEST.len()..][..1];
        self.sent += self.stream.write(byte).expect("room for a byte");
    }

    /// Completes its request and reads the answers to all its requests.
    fn finish(mut self) {
        while !self.sent.is_multiple_of(REQUEST.len()) {
            self.send_a_byte();
        }
        let expected = ANSWER.repeat(self.sent / REQUEST.len());
        let mut answer = Vec::new();
        wait::until("a slow client's answers", || {
            let mut room = [0; 4096];
            match self.stream.read(&mut room) {
                Ok(len) => answer.extend_from_slice(&room[..len]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            (answer.len() >= expected.len()).then_some(())
        });
        assert_eq!(answer, expected);
    }
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    if !raise_open_files(CONNECTIONS as u64 + 1000) {
        return Err("the limit of open files cannot be raised");
    }
    let mut fleet = Fleet::running(3, &["-c", "8192"]);
    let before = levels(&mut fleet);
    let plan = Plan { connections: (CONNECTIONS - SLOW - SILENT) / 4, ..plan() };
    let ports = ports(&fleet);
    let ((most, bytes), summary) = checked(&mut fleet, &plan, |fleet, gauge| {
        let mut slow: Vec<Slow> = (0..SLOW).map(|n| Slow::connect(ports[n % 3])).collect();
        let mut silent: Vec<TcpStream> = (0..SILENT)
            .map(|n| TcpStream::connect(local(ports[n % 3])).expect("a place"))
            .collect();
        for (number, stream) in silent.iter_mut().enumerate() {
            let half = ["", "get register-", "set half 0 0 100\r\nof a value"][number % 3];
            stream.write_all(half.as_bytes()).expect("room for half a request");
        }
        let mut current: Vec<_> = NODES.iter().map(|&node| fleet.connect(node)).collect();
        let most = wait::until("everybody to be connected", || {
            let sum: u64 = current.iter_mut().map(|conn| figure(conn, "curr_connections")).sum();
            (sum >= CONNECTIONS as u64).then_some(sum)
        });
        let start = Instant::now();
        let mut bytes = 0;
        while goes_on(start, duration) {
            for client in &mut slow {
                client.send_a_byte();
            }
            bytes += SLOW;
            // The load is served meanwhile.
            gauge.await_more(100);
        }
        slow.into_iter().for_each(Slow::finish);
        (most, bytes)
    });
    assert_eq!((summary.errors, summary.broken), (0, 0), "{summary:?}");
    let held = back_to(&fleet, &before, KEPT_MIB);
    Ok(Row {
        fault: "a crowd",
        done: format!(
            "{most} connections at once: {SLOW} sent a byte now and then ({bytes} in all), {SILENT} \
             nothing or half a request"
        ),
        summary,
        held: format!("all were served, the slow ones got every answer; {held}"),
    })
}
