//! Connections that send what they are told and read nothing until they are asked to.
//!
//! All of them are served in turns by the calling thread. A write never waits longer than
//! [`STUCK`] for a server that takes no more, so no server can hang the program this way.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

use crate::stop::Stop;

/// How long all sockets of a crowd may take no byte before the server counts as taking no more, in
/// milliseconds.
const STUCK: u16 = 2000;

/// What the kernel keeps for a client that does not read, in bytes. Small, so that what a server
/// holds for it does not depend on how the kernel sizes buffers.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// What values are made of.
static FILLER: [u8; 64 * 1024] = [b'v'; 64 * 1024];

/// Many connections to one server. They close when this is dropped.
#[derive(Default)]
pub(super) struct Crowd {
    members: Vec<Member>,
}

struct Member {
    /// None once the server has closed it.
    stream: Option<TcpStream>,
    /// Still to be sent: first this, then so many bytes of filler, then that.
    head: Vec<u8>,
    filler: usize,
    tail: &'static [u8],
    received: Vec<u8>,
}

impl Crowd {
    /// So many connections.
    pub(super) fn of(count: usize, server: SocketAddr, stop: &Stop) -> anyhow::Result<Self> {
        let mut crowd = Self::default();
        for number in 0..count {
            stop.check()?;
            crowd.join(server).with_context(|| format!("no connection {number} of {count}"))?;
        }
        Ok(crowd)
    }

    /// One connection more.
    pub(super) fn join(&mut self, server: SocketAddr) -> io::Result<()> {
        let stream = Some(quiet(server)?);
        let (head, received) = (Vec::new(), Vec::new());
        self.members.push(Member { stream, head, filler: 0, tail: b"", received });
        Ok(())
    }

    /// How many there are, closed ones among them.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Everyone is to send `head` and `filler` bytes after it. `head` is given the number of the
    /// connection.
    pub(super) fn everyone(&mut self, filler: usize, mut head: impl FnMut(usize) -> String) {
        for number in 0..self.members.len() {
            self.tell(number, head(number), filler, b"");
        }
    }

    /// One is to send `head`, `filler` bytes and `tail`.
    pub(super) fn tell(&mut self, number: usize, head: String, filler: usize, tail: &'static [u8]) {
        let member = &mut self.members[number];
        (member.head, member.filler, member.tail) = (head.into_bytes(), filler, tail);
    }

    /// Sends in turns, at most `piece` bytes of each at a time, until all is sent or the server
    /// takes no more.
    pub(super) fn send(&mut self, piece: usize, stop: &Stop) -> anyhow::Result<()> {
        loop {
            stop.check()?;
            let mut moved = false;
            for member in &mut self.members {
                moved |= member.write(piece);
            }
            let rest: usize = self.members.iter().map(Member::rest).sum();
            if rest == 0 || (!moved && !self.await_any(PollFlags::POLLOUT, |it| it.rest() > 0)?) {
                return Ok(());
            }
        }
    }

    /// Sends what the socket of one takes without waiting.
    pub(super) fn send_what_fits(&mut self, number: usize) {
        while self.members[number].write(FILLER.len()) {}
    }

    /// Waits until everyone was answered a line, or closed, or nobody is answered any more, and gives
    /// those lines without their ends.
    pub(super) fn lines(&mut self, stop: &Stop) -> anyhow::Result<Vec<Option<String>>> {
        let waits = |it: &Member| it.stream.is_some() && it.line().is_none();
        loop {
            stop.check()?;
            for member in &mut self.members {
                member.read();
            }
            if !self.members.iter().any(waits) || !self.await_any(PollFlags::POLLIN, waits)? {
                return Ok(self.members.iter().map(Member::line).collect());
            }
        }
    }

    /// Waits until one of those that are meant is ready; false when none is for long.
    fn await_any(
        &self,
        wanted: PollFlags,
        meant: impl Fn(&Member) -> bool,
    ) -> anyhow::Result<bool> {
        let members = self.members.iter().filter(|member| meant(member));
        let mut fds: Vec<PollFd<'_>> = members
            .flat_map(|member| &member.stream)
            .map(|stream| PollFd::new(stream.as_fd(), wanted))
            .collect();
        match poll(&mut fds, PollTimeout::from(STUCK)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => bail!("cannot wait for sockets: {error}"),
        }
    }
}

impl Member {
    fn rest(&self) -> usize {
        match self.stream {
            Some(_) => self.head.len() + self.filler + self.tail.len(),
            None => 0,
        }
    }

    /// Whether anything was sent, or the end of the connection seen.
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

    /// Takes in the first kilobytes that have come.
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

/// A connection that does not wait and whose side of the kernel keeps little.
fn quiet(server: SocketAddr) -> io::Result<TcpStream> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Before it connects: what the other side may send follows from it.
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
        let stop = Stop::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut crowd = Crowd::of(1, listener.local_addr().unwrap(), &stop).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        crowd.tell(0, "head ".to_owned(), 10, b" tail");
        crowd.send(3, &stop).unwrap();
        let mut bytes = [0; 20];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"head vvvvvvvvvv tail");
        server.write_all(b"line\r\nmore").unwrap();
        assert_eq!(crowd.lines(&stop).unwrap(), [Some("line".to_owned())]);
        crowd.tell(0, String::new(), 64 << 20, b"");
        crowd.send(usize::MAX, &stop).unwrap();
        assert!(crowd.members[0].rest() > 0, "somebody took 64 MiB");
        drop(server);
        crowd.send(1, &stop).unwrap();
        assert_eq!(crowd.members[0].rest(), 0);
    }
}
