//! Connections that send given bytes and read only on request.
//!
//! The calling thread serves all of them in turn. A write waits at most for the crowd's patience if the
//! server stops reading, so a server cannot block the program this way.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

/// Size of the kernel's receive buffer for a client that does not read, in bytes. It is small, so that the
/// amount held by the server does not depend on the kernel's choice.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// The bytes of values.
static FILLER: [u8; 64 * 1024] = [b'v'; 64 * 1024];

/// Many connections to one server. They close when this is dropped.
pub struct Crowd {
    members: Vec<Member>,
    /// Longest time for which no socket makes progress.
    patience: PollTimeout,
}

struct Member {
    /// `None` after the server has closed it.
    stream: Option<TcpStream>,
    /// Bytes to send: the head, then the number of filler bytes, then the tail.
    head: Vec<u8>,
    filler: usize,
    tail: &'static [u8],
    received: Vec<u8>,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd::with_patience(Duration::from_secs(2))
    }
}

impl Crowd {
    /// Creates a crowd without connections. If the server reads or sends nothing on any connection for this
    /// time, the crowd stops waiting.
    pub fn with_patience(patience: Duration) -> Crowd {
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        Crowd { members: Vec::new(), patience }
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// If the server does not accept it.
    pub fn join(&mut self, server: SocketAddr) -> io::Result<()> {
        let stream = Some(quiet(server)?);
        let (head, received) = (Vec::new(), Vec::new());
        self.members.push(Member { stream, head, filler: 0, tail: b"", received });
        Ok(())
    }

    /// Adds this many connections. `check` returns an error to stop.
    ///
    /// # Errors
    /// The error of `check`, or of a connection that the server does not accept.
    pub fn join_many<E: From<io::Error>>(
        &mut self,
        count: usize,
        server: SocketAddr,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        for number in 0..count {
            check()?;
            self.join(server).map_err(|error| {
                io::Error::new(error.kind(), format!("no connection {number} of {count}: {error}"))
            })?;
        }
        Ok(())
    }

    /// Number of connections, including closed ones.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Number of connections that the server is known to have closed.
    pub fn closed(&self) -> usize {
        self.members.iter().filter(|member| member.stream.is_none()).count()
    }

    /// Closes and removes a connection; the last one takes its number.
    pub fn close(&mut self, number: usize) {
        self.members.swap_remove(number);
    }

    /// Queues `head` and `filler` bytes on every connection. `head` gets the number of the connection.
    pub fn everyone(&mut self, filler: usize, mut head: impl FnMut(usize) -> String) {
        for number in 0..self.members.len() {
            self.tell(number, head(number), filler, b"");
        }
    }

    /// Queues `head`, `filler` bytes and `tail` on one connection.
    pub fn tell(&mut self, number: usize, head: String, filler: usize, tail: &'static [u8]) {
        let member = &mut self.members[number];
        (member.head, member.filler, member.tail) = (head.into_bytes(), filler, tail);
    }

    /// Sends in turns of at most `piece` bytes per connection, until everything is sent or the server stops
    /// reading. Returns the number of unsent bytes. `check` returns an error to stop.
    ///
    /// # Errors
    /// The error of `check`, or a failure to wait for sockets.
    pub fn send<E: From<io::Error>>(
        &mut self,
        piece: usize,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<usize, E> {
        loop {
            check()?;
            let mut moved = false;
            for member in &mut self.members {
                moved |= member.write(piece);
            }
            let rest: usize = self.members.iter().map(Member::rest).sum();
            if rest == 0 || (!moved && !self.await_any(PollFlags::POLLOUT, |it| it.rest() > 0)?) {
                return Ok(rest);
            }
        }
    }

    /// Sends on one connection as much as its socket takes without waiting.
    pub fn send_what_fits(&mut self, number: usize) {
        while self.members[number].write(FILLER.len()) {}
    }

    /// Waits until every connection has received a line or is closed, or the server stops sending. Returns
    /// the lines without their line breaks. `check` returns an error to stop.
    ///
    /// # Errors
    /// The error of `check`, or a failure to wait for sockets.
    pub fn lines<E: From<io::Error>>(
        &mut self,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<Option<String>>, E> {
        loop {
            check()?;
            if self.receive() || !self.await_any(PollFlags::POLLIN, Member::waits)? {
                return Ok(self.answers());
            }
        }
    }

    /// Reads the bytes that have arrived. Returns whether every connection has received a line or is closed.
    pub fn receive(&mut self) -> bool {
        for member in &mut self.members {
            member.read();
        }
        !self.members.iter().any(Member::waits)
    }

    /// The first line of each connection, without its line break. `None` for one that was closed before.
    pub fn answers(&self) -> Vec<Option<String>> {
        self.members.iter().map(Member::line).collect()
    }

    /// Whether every connection has received something or is closed. Reads nothing.
    pub fn is_answered(&self) -> bool {
        let mut peeked = [0];
        let mut open = self.members.iter().flat_map(|member| &member.stream);
        open.all(|stream| stream.peek(&mut peeked).is_ok())
    }

    /// Waits until one of the connections that `meant` selects is ready. Returns false after the crowd's
    /// patience.
    fn await_any(&self, wanted: PollFlags, meant: impl Fn(&Member) -> bool) -> io::Result<bool> {
        let members = self.members.iter().filter(|member| meant(member));
        let mut fds: Vec<PollFd<'_>> = members
            .flat_map(|member| &member.stream)
            .map(|stream| PollFd::new(stream.as_fd(), wanted))
            .collect();
        match poll(&mut fds, self.patience) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Member {
    /// Whether a line from the server is pending.
    fn waits(&self) -> bool {
        self.stream.is_some() && self.line().is_none()
    }

    fn rest(&self) -> usize {
        match self.stream {
            Some(_) => self.head.len() + self.filler + self.tail.len(),
            None => 0,
        }
    }

    /// Returns whether anything was sent or the connection turned out to be closed.
    fn write(&mut self, piece: usize) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let bytes: &[u8] = match (self.head.len(), self.filler) {
            (0, 0) if self.tail.is_empty() => return false,
            (0, 0) => self.tail,
            (0, filler) => &FILLER[..filler.min(FILLER.len())],
            _ => &self.head,
        };
        match stream.write(&bytes[..bytes.len().min(piece)]) {
            Ok(count) if !self.head.is_empty() => drop(self.head.drain(..count)),
            Ok(count) if self.filler > 0 => self.filler -= count,
            Ok(count) => self.tail = &self.tail[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.stream = None,
        }
        true
    }

    /// Reads at most the next 4 KiB that have arrived.
    fn read(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => self.stream = None,
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.stream = None,
        }
    }

    fn line(&self) -> Option<String> {
        let end = self.received.iter().position(|&byte| byte == b'\n')?;
        Some(String::from_utf8_lossy(&self.received[..end]).trim_end().to_owned())
    }
}

/// A non-blocking connection with a small receive buffer.
fn quiet(server: SocketAddr) -> io::Result<TcpStream> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Set before connecting, because the window of the other side depends on it.
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(server))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn everything_arrives_in_order_and_a_deaf_server_hangs_nobody() {
        let go_on = || io::Result::Ok(());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut crowd = Crowd::with_patience(Duration::from_secs(1));
        let server = listener.local_addr().expect("an address");
        crowd.join_many(1, server, go_on).expect("a connection");
        let (mut server, _) = listener.accept().expect("a connection");
        crowd.tell(0, "head ".to_owned(), 10, b" tail");
        assert_eq!(crowd.send(3, go_on).expect("sockets"), 0);
        let mut bytes = [0; 20];
        server.read_exact(&mut bytes).expect("what was sent");
        assert_eq!(&bytes, b"head vvvvvvvvvv tail");
        assert!(!crowd.is_answered());
        server.write_all(b"line\r\nmore").expect("an open socket");
        assert_eq!(crowd.lines(go_on).expect("sockets"), [Some("line".to_owned())]);
        crowd.tell(0, String::new(), 64 << 20, b"");
        assert!(crowd.send(usize::MAX, go_on).expect("sockets") > 0, "somebody took 64 MiB");
        drop(server);
        assert_eq!((crowd.send(1, go_on).expect("sockets"), crowd.closed()), (0, 1));
    }

    #[test]
    fn what_check_says_ends_it() {
        let mut crowd = Crowd::default();
        let stop = || Err(io::Error::other("stop"));
        assert!(crowd.send(1, stop).is_err() && crowd.lines(stop).is_err());
        assert!(crowd.join_many(1, "127.0.0.1:1".parse().expect("an address"), stop).is_err());
    }
}
