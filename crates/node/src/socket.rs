//! A connected socket, TCP or Unix, with the two polls that a connection needs.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::poll_read_buf;

use crate::output::Output;

/// A socket as the acceptor got it, not yet known to any runtime.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A socket of a worker's runtime.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Registers an accepted socket, which must be non-blocking, with the current runtime.
    pub(crate) fn register(accepted: Accepted) -> io::Result<Socket> {
        Ok(match accepted {
            Accepted::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Accepted::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// Makes closing drop what the other side has not taken, rather than deliver it some day.
    pub(crate) fn drop_unsent(&self) {
        let socket = match self {
            Socket::Tcp(stream) => socket2::SockRef::from(stream),
            Socket::Unix(stream) => socket2::SockRef::from(stream),
        };
        // It only makes a late delivery less likely, which may happen in any case.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }

    /// Reads into `room`; 0 bytes mean that the client will send no more.
    #[inline]
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        let done = match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, &mut buffer),
        };
        done.map_ok(|()| buffer.filled().len())
    }

    /// Reads into the spare room of a growing buffer.
    pub(crate) fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => poll_read_buf(Pin::new(stream), context, buffer),
            Socket::Unix(stream) => poll_read_buf(Pin::new(stream), context, buffer),
        }
    }

    /// Writes one run of bytes.
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Writes as much of an output, which must not be empty, as the socket takes.
    pub(crate) fn poll_write_output(
        &mut self,
        context: &mut Context<'_>,
        output: &Output,
    ) -> Poll<io::Result<usize>> {
        match output.plain() {
            Some(bytes) => self.poll_write(context, bytes),
            None => {
                let mut slices = Vec::new();
                output.slices(&mut slices);
                self.poll_write_vectored(context, &slices)
            }
        }
    }

    /// Writes several runs of bytes.
    fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }
}
