//! Counts the connections that fail while one process takes over a port from another: by passing on
//! the listening socket, and by a second socket with `SO_REUSEPORT`.
//!
//!     cargo run -p ringbinder-node --example reuse_port -- [ROUNDS] [CLIENTS]
//!
//! Threads connect, send a byte and wait for one, over and over. Meanwhile the "old" side stops
//! accepting, rests for some milliseconds (its drain), and closes; the "new" side continues. The
//! program counts every connection that was refused, reset or not answered, and the time of the
//! slowest.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// The drain time of the old side, during which its socket is still open.
const DRAIN: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The new side has a copy of the socket.
    Passed,
    /// The new side has a socket of its own. The old one is closed with the connections waiting in
    /// it.
    ReusePort,
    /// The same, and a filter drops the first packet of new connections at the old socket while it
    /// drains.
    Filtered,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    refused: AtomicU64,
    reset: AtomicU64,
    slowest_us: AtomicU64,
}

fn listener(address: SocketAddr, reuse: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket)
}

/// Answers every connection's byte until stopped.
fn serve(socket: Socket, stop: &AtomicBool, drain: impl FnOnce(&Socket)) {
    let listener: TcpListener = socket.into();
    listener.set_nonblocking(true).expect("a socket");
    while !stop.load(SeqCst) {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nonblocking(false).expect("a socket");
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_ok() {
                    // The client counts a missing answer.
                    let _ = stream.write_all(&byte);
                }
            }
            Err(_) => thread::sleep(Duration::from_micros(20)),
        }
    }
    let socket = Socket::from(listener);
    drain(&socket);
}

fn ask(address: SocketAddr, seen: &Seen) {
    let begun = Instant::now();
    seen.connections.fetch_add(1, SeqCst);
    let answered = TcpStream::connect(address).map(|mut stream| {
        let mut byte = [7];
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(&byte).and_then(|()| stream.read_exact(&mut byte))
    });
    match answered {
        Err(_) => drop(seen.refused.fetch_add(1, SeqCst)),
        Ok(Err(_)) => drop(seen.reset.fetch_add(1, SeqCst)),
        Ok(Ok(())) => {}
    }
    let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    seen.slowest_us.fetch_max(took, SeqCst);
}

/// Drops packets with the SYN flag at a listening socket. A client then connects again after a
/// second.
#[cfg(target_os = "linux")]
fn drop_syns(socket: &Socket) -> std::io::Result<()> {
    use socket2::SockFilter;

    // Loads the byte of flags in the TCP header; if SYN is set, keeps no byte, else all.
    let filter = [
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x45, 0, 1, 2),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    socket.attach_filter(&filter)
}

#[cfg(not(target_os = "linux"))]
fn drop_syns(_: &Socket) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn run(way: Way, rounds: u32, clients: u32) -> std::io::Result<Seen> {
    let seen = Seen::default();
    let mut address: SocketAddr = ([127, 0, 0, 1], 0).into();
    let reuse = way != Way::Passed;
    let mut current = listener(address, reuse)?;
    address = current.local_addr()?.as_socket().expect("an address");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    ask(address, &seen);
                }
            });
        }
        for round in 0..=rounds {
            let stop = AtomicBool::new(false);
            let last = round == rounds;
            let copy = (way == Way::Passed).then(|| current.try_clone().expect("a descriptor"));
            let serving = current;
            current = thread::scope(|inner| {
                inner.spawn(|| {
                    serve(serving, &stop, |socket| {
                        if way == Way::Filtered
                            && let Err(error) = drop_syns(socket)
                        {
                            eprintln!("no filter: {error}");
                        }
                        thread::sleep(DRAIN);
                        if way == Way::Filtered {
                            accept_rest(socket);
                        }
                    });
                });
                thread::sleep(Duration::from_millis(100));
                over.store(last, SeqCst);
                if last {
                    // Gives the last connections time to be answered.
                    thread::sleep(Duration::from_millis(1_500));
                }
                let next = copy.unwrap_or_else(|| listener(address, true).expect("a port"));
                stop.store(true, SeqCst);
                next
            });
        }
        drop(current);
    });
    Ok(seen)
}

/// Answers the connections in the queue of a socket that gets no new ones.
fn accept_rest(socket: &Socket) {
    while let Ok((stream, _)) = socket.accept() {
        let mut stream: TcpStream = stream.into();
        let mut byte = [0];
        let answered = stream
            .set_nonblocking(false)
            .and_then(|()| stream.read_exact(&mut byte))
            .and_then(|()| stream.write_all(&byte));
        if answered.is_err() {
            break;
        }
    }
}

fn main() -> std::io::Result<()> {
    let number = |at: usize, or: u32| {
        std::env::args().nth(at).map_or(or, |text| text.parse().expect("a number"))
    };
    let (rounds, clients) = (number(1, 20), number(2, 8));
    println!("{rounds} changes, {clients} clients, the old side drains for {DRAIN:?}\n");
    println!(
        "| way | connections | refused | reset or unanswered | slowest |\n|---|---|---|---|---|"
    );
    for (way, name) in [
        (Way::Passed, "the socket is passed on"),
        (Way::ReusePort, "SO_REUSEPORT, the old one is closed"),
        (Way::Filtered, "SO_REUSEPORT, a filter drops SYNs while the old one drains"),
    ] {
        let seen = run(way, rounds, clients)?;
        let slowest = Duration::from_micros(seen.slowest_us.load(SeqCst));
        println!(
            "| {name} | {} | {} | {} | {slowest:.0?} |",
            seen.connections.load(SeqCst),
            seen.refused.load(SeqCst),
            seen.reset.load(SeqCst),
        );
    }
    Ok(())
}
