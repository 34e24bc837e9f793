//! A client connection that reads while it writes.
//!
//! A server stops reading if its answers are not read. To avoid a deadlock, every exchange polls the socket
//! in both directions.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use crate::wait::PATIENCE;

/// The answer to `mn`, which ends every framed exchange.
pub const SENTINEL: &[u8] = b"MN\r\n";

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(into),
            Socket::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(from),
            Socket::Unix(stream) => stream.write(from),
        }
    }
}

/// A connection to a server under test.
pub struct Conn {
    socket: Socket,
    /// Bytes received but not taken.
    received: Vec<u8>,
    /// Whether the peer has closed or reset the connection.
    ended: bool,
    scratch: Box<[u8]>,
}

impl Conn {
    /// Connects over TCP.
    pub fn tcp(address: SocketAddr) -> io::Result<Conn> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Conn::over(Socket::Tcp(stream)))
    }

    /// Connects over TCP from this local address.
    pub fn tcp_from(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<Conn> {
        let kind = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket = socket(AddressFamily::Inet, kind.0, kind.1, None)?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
        connect(socket.as_raw_fd(), &SockaddrIn::from(to))?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Conn::over(Socket::Tcp(stream)))
    }

    /// Connects over a Unix socket.
    pub fn unix(path: &Path) -> io::Result<Conn> {
        let stream = UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        Ok(Conn::over(Socket::Unix(stream)))
    }

    fn over(socket: Socket) -> Conn {
        Conn {
            socket,
            received: Vec::new(),
            ended: false,
            scratch: vec![0; 64 * 1024].into_boxed_slice(),
        }
    }

    /// The local port, which the server shows as `rport=`; 0 on a Unix socket.
    pub fn local_port(&self) -> u16 {
        match &self.socket {
            Socket::Tcp(stream) => stream.local_addr().expect("a connected socket").port(),
            Socket::Unix(_) => 0,
        }
    }

    /// The bytes received but not taken.
    pub fn pending(&self) -> &[u8] {
        &self.received
    }

    /// Writes everything, and reads answers meanwhile.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        let deadline = Instant::now() + PATIENCE;
        while !rest.is_empty() && !self.ended {
            self.step(&mut rest, true, deadline, "sending");
        }
    }

    /// Writes as much as the socket takes without waiting. Reads no answers.
    pub fn send_unread(&mut self, bytes: &[u8]) -> usize {
        self.try_send_unread(bytes).unwrap_or_else(|error| panic!("sending: {error}"))
    }

    /// Like [`Conn::send_unread`], but returns an error if the server has closed the connection.
    pub fn try_send_unread(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.socket.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Waits for at least `count` bytes and takes that many.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.wait(&format!("{count} bytes"), |received| received.len() >= count);
        assert!(self.received.len() >= count, "closed early; had {}", show(&self.received));
        self.received.drain(..count).collect()
    }

    /// Waits for `end` and takes everything up to and including it.
    pub fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut searched = 0usize;
        let mut found = None;
        self.wait(&format!("{:?}", show(end)), |received| {
            let from = searched.saturating_sub(end.len());
            found = find(&received[from..], end).map(|at| from + at + end.len());
            searched = received.len();
            found.is_some()
        });
        let found = found
            .unwrap_or_else(|| panic!("closed before {}: {}", show(end), show(&self.received)));
        self.received.drain(..found).collect()
    }

    /// Takes one line, its LF included.
    pub fn take_line(&mut self) -> String {
        String::from_utf8_lossy(&self.take_until(b"\n")).into_owned()
    }

    /// Waits until the server closes the connection and returns the remaining bytes.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.wait("the connection to be closed", |_| false);
        std::mem::take(&mut self.received)
    }

    /// Closes the sending side. The server still receives everything sent before.
    pub fn finish_sending(&self) {
        let how = std::net::Shutdown::Write;
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        };
    }

    /// Sends `request` and a sentinel. Returns all bytes before the sentinel's answer.
    ///
    /// The answer must not contain a line `MN`.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut bytes = request.as_ref().to_vec();
        bytes.extend_from_slice(b"mn\r\n");
        self.send(bytes);
        let mut answer = self.take_framed();
        answer.truncate(answer.len() - SENTINEL.len());
        answer
    }

    /// Asserts that the answer to `request` is exactly `expected`.
    #[track_caller]
    pub fn talk(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        let (request, expected) = (request.as_ref(), expected.as_ref());
        let answer = self.ask(request);
        assert!(
            answer == expected,
            "\n    sent: {}\nexpected: {}\nanswered: {}\n",
            show(request),
            show(expected),
            show(&answer)
        );
    }

    /// Asserts that the answer to `request` is exactly `expected`, after which the server closes the
    /// connection.
    #[track_caller]
    pub fn talk_to_close(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(request.as_ref());
        let (answer, expected) = (self.take_rest(), expected.as_ref());
        assert!(
            answer == expected,
            "\n    sent: {}\nexpected: {} then closed\nanswered: {}\n",
            show(request.as_ref()),
            show(expected),
            show(&answer)
        );
    }

    /// [`Conn::ask`] with text, for `stats`.
    pub fn ask_text(&mut self, request: &str) -> String {
        String::from_utf8(self.ask(request)).expect("a text answer")
    }

    fn take_framed(&mut self) -> Vec<u8> {
        let mut from = 0usize;
        let mut end = None;
        self.wait("the sentinel's answer", |received| {
            end = sentinel(received, &mut from);
            end.is_some()
        });
        let end =
            end.unwrap_or_else(|| panic!("closed in mid-answer; had {}", show(&self.received)));
        self.received.drain(..end).collect()
    }

    fn wait(&mut self, what: &str, mut enough: impl FnMut(&[u8]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.received) && !self.ended {
            self.step(&mut &[][..], true, deadline, what);
        }
    }

    /// Writes from `out` and reads, waiting until one of the two is possible.
    fn step(&mut self, out: &mut &[u8], may_wait: bool, deadline: Instant, what: &str) {
        if may_wait {
            let mut wanted = PollFlags::POLLIN;
            if !out.is_empty() {
                wanted |= PollFlags::POLLOUT;
            }
            wait_for(&mut [PollFd::new(self.socket.fd(), wanted)]);
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} for {what}; had {}",
            show(&self.received)
        );
        if !out.is_empty() {
            match self.socket.write(out) {
                Ok(written) => *out = &out[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer has closed. Its last answers can still be read.
                Err(_) => *out = &[],
            }
        }
        loop {
            match self.socket.read(&mut self.scratch) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.received.extend_from_slice(&self.scratch[..count]);
                    if count == self.scratch.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            break;
        }
    }

    /// Whether the peer was seen to close the connection.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Reads everything that has arrived, without waiting.
    pub fn poll_now(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.step(&mut &[][..], false, deadline, "nothing");
    }
}

/// Sends each connection its own pieces, and reads until each has answered `sentinels` sentinels.
///
/// Each piece is a separate write, as far as the sockets allow. Both servers work at the same time. Returns
/// the answers of each. If a connection closes early or falls silent, returns the bytes received until then.
pub fn exchange<const N: usize>(
    conns: &mut [&mut Conn; N],
    pieces: &[Vec<Vec<u8>>; N],
    sentinels: usize,
) -> [Vec<u8>; N] {
    let deadline = Instant::now() + PATIENCE / 3;
    let mut queues: [Vec<&[u8]>; N] =
        std::array::from_fn(|i| pieces[i].iter().rev().map(Vec::as_slice).collect());
    let mut ends: [Option<usize>; N] = [None; N];
    let mut seen: [(usize, usize); N] = [(0, 0); N];
    loop {
        let mut done = true;
        for i in 0..N {
            let conn = &mut *conns[i];
            let out = queues[i].last_mut();
            let finished = out.is_none() && (ends[i].is_some() || conn.ended);
            if finished {
                continue;
            }
            let mut nothing: &[u8] = &[];
            let out = out.unwrap_or(&mut nothing);
            conn.step(out, false, deadline + PATIENCE, "answers");
            if out.is_empty() {
                queues[i].pop();
                // Lets the server wake up for this piece before the next one arrives.
                std::thread::yield_now();
            }
            while ends[i].is_none() {
                let (from, count) = &mut seen[i];
                let Some(end) = sentinel(&conn.received, from) else { break };
                *count += 1;
                *from = end;
                if *count == sentinels {
                    ends[i] = Some(end);
                }
            }
            done &= queues[i].is_empty() && (ends[i].is_some() || conn.ended);
        }
        if done || Instant::now() > deadline {
            break;
        }
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(N);
        for i in 0..N {
            let waiting = ends[i].is_none() && !conns[i].ended;
            match (queues[i].is_empty(), waiting) {
                (false, _) => {
                    let both = PollFlags::POLLIN | PollFlags::POLLOUT;
                    fds.push(PollFd::new(conns[i].socket.fd(), both));
                }
                (true, true) => fds.push(PollFd::new(conns[i].socket.fd(), PollFlags::POLLIN)),
                (true, false) => {}
            }
        }
        wait_for(&mut fds);
    }
    std::array::from_fn(|i| {
        let end = ends[i].unwrap_or(conns[i].received.len());
        conns[i].received.drain(..end).collect()
    })
}

fn wait_for(fds: &mut [PollFd<'_>]) {
    match poll(fds, PollTimeout::from(500u16)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => panic!("poll: {error}"),
    }
}

/// The end of the first sentinel's answer that starts a line at or after `from`. Updates `from` to the
/// position from which the next search can start.
fn sentinel(received: &[u8], from: &mut usize) -> Option<usize> {
    let mut at = *from;
    while let Some(found) = find(&received[at..], SENTINEL) {
        let start = at + found;
        if start == 0 || received[start - 1] == b'\n' {
            return Some(start + SENTINEL.len());
        }
        at = start + 1;
    }
    *from = at.max(received.len().saturating_sub(SENTINEL.len() - 1));
    None
}

/// The position of `needle` in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, _) = needle.split_first()?;
    let mut at = 0;
    while at + needle.len() <= haystack.len() {
        at += haystack[at..].iter().position(|&byte| byte == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Formats bytes for people: escaped, with the middle left out if they are long.
pub fn show(bytes: &[u8]) -> String {
    const ENDS: usize = 400;
    if bytes.len() <= 2 * ENDS {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    format!(
        "\"{}\" ... {} bytes ... \"{}\"",
        bytes[..ENDS].escape_ascii(),
        bytes.len() - 2 * ENDS,
        bytes[bytes.len() - ENDS..].escape_ascii()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_counts_only_at_the_start_of_a_line() {
        let mut from = 0;
        assert_eq!(sentinel(b"HD OMN\r\nMN\r\n", &mut from), Some(12));
        let mut from = 0;
        assert_eq!(sentinel(b"HD OMN\r\nMN\r", &mut from), None);
        assert_eq!(sentinel(b"HD OMN\r\nMN\r\n", &mut from), Some(12));
        let mut from = 0;
        assert_eq!(sentinel(b"MN\r\n", &mut from), Some(4));
    }

    #[test]
    fn find_finds_the_first_and_only_whole() {
        assert_eq!(find(b"aab", b"ab"), Some(1));
        assert_eq!(find(b"aa", b"ab"), None);
        assert_eq!(find(b"", b"a"), None);
    }
}
