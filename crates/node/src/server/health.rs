//! `--check-health`: asks the node that runs with the settings of this start whether it serves.
//!
//! A container's health check uses it if the container has no shell and no other program. It checks
//! a running node from outside, as a client does: one connection, one request, one answer, each
//! step within [`TIMEOUT`].

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::process::exit::ExitCode;
use crate::settings::{Guard, ListenAddress, Settings};

/// The timeout for each of connecting, asking and answering.
const TIMEOUT: Duration = Duration::from_secs(2);

/// More bytes than any answer has.
const MAX_ANSWER: u64 = 1024;

/// A request that a client may send before anything else.
const VERSION: &[u8] = b"version\r\n";

/// The possible beginnings of an answer. A node that requires a password first, or has no
/// connection left, is alive and answers with an error.
const ANSWERS: [&str; 4] = ["VERSION ", "ERROR", "CLIENT_ERROR ", "SERVER_ERROR "];

/// The reason why the node does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    /// The settings leave the port to the system.
    #[error("cannot determine the port of {0}, which the system chose; set one with -p")]
    Unknown(String),
    /// The host of the address has no address.
    #[error("cannot resolve {address}: {source}; check -l")]
    Unresolved { address: String, source: io::Error },
    /// No process serves there, or it is too slow.
    #[error("cannot reach the node at {address}: {source}")]
    Silent { address: String, source: io::Error },
    /// It is not healthy, or it is not a node.
    #[error("{address} is not a healthy node: it answered {answer:?}")]
    Unwell { address: String, answer: String },
}

impl HealthError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            HealthError::Unknown(_) => ExitCode::Usage,
            _ => ExitCode::Failure,
        }
    }
}

/// Asks the node, and returns its answer.
pub(crate) fn check(settings: &Settings) -> Result<String, HealthError> {
    if let Some(admin) = &settings.admin {
        let (stream, address) = connect(&admin.address)?;
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        return ask(&stream, &stream, &address, request.as_bytes(), &["HTTP/1.1 200"]);
    }
    if let Some(path) = &settings.unix_socket {
        let address = path.display().to_string();
        let silent = |source| HealthError::Silent { address: address.clone(), source };
        let stream = UnixStream::connect(path).map_err(silent)?;
        let limited = stream
            .set_read_timeout(Some(TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        limited.map_err(silent)?;
        return ask(&stream, &stream, &address, VERSION, &ANSWERS);
    }
    // Preferably one without TLS: of the others, the check sees only that they accept connections.
    let is_plain = |listen: &&ListenAddress| {
        let ListenAddress::Tcp { guard, .. } = listen;
        !matches!(guard, Guard::Tls(_))
    };
    let plain = settings.addresses.iter().find(is_plain);
    // The settings name an address, or there is a Unix socket.
    let Some(listen) = plain.or(settings.addresses.first()) else {
        return Err(HealthError::Unknown(String::new()));
    };
    let (stream, address) = connect(listen)?;
    if plain.is_none() {
        return Ok(format!("{address}: accepts connections\n"));
    }
    ask(&stream, &stream, &address, VERSION, &ANSWERS)
}

/// A connection to the first address where the node listens.
fn connect(listen: &ListenAddress) -> Result<(TcpStream, String), HealthError> {
    let found = listen
        .resolve()
        .map_err(|source| HealthError::Unresolved { address: listen.to_string(), source })?;
    let address = found.first().copied().map(reachable).filter(|address| address.port() != 0);
    let address = address.ok_or_else(|| HealthError::Unknown(listen.to_string()))?;
    let silent = |source| HealthError::Silent { address: address.to_string(), source };
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(silent)?;
    let limited = stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
    limited.map_err(silent)?;
    Ok((stream, address.to_string()))
}

/// The address at which a node that listens on this address can be reached from its own machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Sends a request and accepts any answer that begins with one of these words.
fn ask(
    reader: impl Read,
    mut writer: impl Write,
    address: &str,
    request: &[u8],
    answers: &[&str],
) -> Result<String, HealthError> {
    let mut line = String::new();
    let asked = writer.write_all(request);
    let answered =
        asked.and_then(|()| BufReader::new(reader.take(MAX_ANSWER)).read_line(&mut line));
    let answer = line.trim_end();
    let silent = |source| HealthError::Silent { address: address.to_owned(), source };
    match answered {
        Err(source) => Err(silent(source)),
        Ok(0) => Err(silent(io::ErrorKind::UnexpectedEof.into())),
        Ok(_) if answers.iter().any(|start| answer.starts_with(start)) => {
            Ok(format!("{address}: {answer}\n"))
        }
        Ok(_) => {
            let answer = answer.chars().take(80).collect();
            Err(HealthError::Unwell { address: address.to_owned(), answer })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answer: &[u8]) -> Result<String, HealthError> {
        ask(answer, io::sink(), "127.0.0.1:1", VERSION, &ANSWERS)
    }

    #[test]
    fn every_answer_of_a_node_is_one() {
        assert_eq!(report(b"VERSION 1.6.45\r\nmore").unwrap(), "127.0.0.1:1: VERSION 1.6.45\n");
        assert!(report(b"CLIENT_ERROR unauthenticated\r\n").is_ok());
        assert!(report(b"ERROR Too many open connections\r\n").is_ok());
    }

    #[test]
    fn silence_and_strangers_are_none() {
        assert!(matches!(report(b""), Err(HealthError::Silent { .. })));
        assert!(matches!(report(b"HTTP/1.1 400 Bad Request\r\n"), Err(HealthError::Unwell { .. })));
        assert!(matches!(report(&[b'x'; 4096]), Err(HealthError::Unwell { .. })));
        assert!(matches!(report(b"\xff\xfe\n"), Err(HealthError::Silent { .. })));
    }

    #[test]
    fn every_interface_is_reached_by_loopback() {
        for (listens, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
