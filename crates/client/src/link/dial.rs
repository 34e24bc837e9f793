//! Dials a node: makes the socket, then TLS, then the login, all within the time limit of a
//! connection.

use std::io;

use ringbinder_ring::Node;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::Absence;
use crate::link::connection::Connection;
use crate::link::login::LoginAnswer;
use crate::link::socket::Socket;
use crate::settings::LinkSettings;
use crate::tls::TlsFault;

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
    Away(Absence),
    /// The node refuses the login.
    Unauthenticated,
    /// The answer to the login is malformed.
    Nonsense(String),
}

impl From<TlsFault> for DialError {
    fn from(fault: TlsFault) -> DialError {
        DialError::Away(Absence::Tls(fault))
    }
}

/// Makes a connection; its task runs on the current runtime.
pub(crate) async fn dial(node: &Node, settings: LinkSettings) -> Result<Connection, DialError> {
    let LinkSettings { watchdog, max_value, tls, login, .. } = settings;
    let allowed = watchdog.allowed;
    let deadline = Instant::now() + allowed;
    let silent = || DialError::Away(Absence::Silent(allowed));
    let connected = TcpStream::connect((node.host.as_str(), node.port));
    let stream = match timeout_at(deadline, connected).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(&error)),
        Err(_) => return Err(silent()),
    };
    // Without it requests would wait for each other's acknowledgement. If it cannot be set, they
    // are only slower.
    let _ = stream.set_nodelay(true);
    let mut socket = match tls {
        None => Socket::Plain(stream),
        Some(tls) => match timeout_at(deadline, tls.secure(&node.host, stream)).await {
            Ok(Ok(stream)) => Socket::Tls(Box::new(stream)),
            Ok(Err(fault)) => return Err(fault.into()),
            Err(_) => return Err(TlsFault::Late(allowed).into()),
        },
    };
    if let Some(login) = login {
        let answer = async {
            match &mut socket {
                Socket::Plain(stream) => login.send(stream).await,
                Socket::Tls(stream) => login.send(stream).await,
            }
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => granted(answer)?,
            Ok(Err(error)) => return Err(broken(&error)),
            Err(_) => return Err(silent()),
        }
    }
    Ok(Connection::new(socket, watchdog, max_value))
}

fn granted(answer: LoginAnswer) -> Result<(), DialError> {
    match answer {
        LoginAnswer::Granted => Ok(()),
        LoginAnswer::Refused => Err(DialError::Unauthenticated),
        LoginAnswer::Full => Err(DialError::Away(Absence::Full)),
        LoginAnswer::Closed => Err(DialError::Away(Absence::Closed)),
        LoginAnswer::OnlyTls => Err(TlsFault::OnlyTls.into()),
        LoginAnswer::Nonsense(got) => Err(DialError::Nonsense(got)),
    }
}

fn unreachable(error: &io::Error) -> DialError {
    DialError::Away(Absence::Unreachable(error.to_string()))
}

/// The error for a connection that broke during the login. With TLS 1.3 a node's verdict on this
/// client's certificate arrives only then.
fn broken(error: &io::Error) -> DialError {
    match TlsFault::of_stream(error) {
        Some(fault) => fault.into(),
        None => DialError::Away(Absence::Closed),
    }
}
