//! A minimal HTTP client for a node's admin port.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::Server;
use crate::wait::{self, PATIENCE};

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code, such as 200.
    pub status: u16,
    /// Its headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The value of a header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The address of a node's admin port, read from its log.
pub fn admin_of(server: &Server) -> SocketAddr {
    wait::until("the node to tell its admin port", || {
        let log = server.log();
        let (_, rest) = log.split_once("the admin port is http://")?;
        rest.split('/').next()?.parse().ok()
    })
}

/// Sends a request with these additional headers.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        text.push_str(&format!("Host: {address}\r\n"));
    }
    for line in headers {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    send(address, text.as_bytes()).expect("an answer over HTTP")
}

/// Sends a GET request.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[])
}

/// Sends bytes and reads the whole response.
///
/// # Errors
/// If the response is not HTTP.
pub fn send(address: SocketAddr, bytes: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut text = Vec::new();
    // A server that refuses before it has read everything may reset the connection after its response.
    if let Err(error) = stream.read_to_end(&mut text)
        && text.is_empty()
    {
        return Err(error);
    }
    let text = String::from_utf8_lossy(&text);
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(no_http)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Ok(Answer {
        status: status.ok_or_else(no_http)?,
        headers: headers.collect(),
        body: body.to_owned(),
    })
}
