//! The client's login: memcached's ASCII authentication (`protocol.txt`, "Authentication").
//!
//! It is the first request on a connection, and nothing else is sent before its answer. The
//! password never appears in a message, a log or `Debug`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringbinder_protocol::Refusal;
use ringbinder_ring::regular;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::tls::{is_alert, is_only_tls};

/// Largest file in bytes: its first line is far shorter.
const MAX_FILE: u64 = 64 << 10;

/// Longest answer to a login, in bytes.
const MAX_ANSWER: usize = 512;

/// A user and a password for nodes that require them (`--auth-file`, memcached's `-Y`).
///
/// ```
/// use ringbinder_client::{Client, Login};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let login = Login::new("shop", "correct-horse")?;
/// assert_eq!(format!("{login:?}"), r#"Login { user: "shop", password: "..." }"#);
/// let client = Client::with_servers(["127.0.0.1:11211"]).login(login).connect().await?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: Arc<str>,
    password: Arc<[u8]>,
}

impl Login {
    /// Makes a login, and checks that both parts can be sent.
    ///
    /// # Errors
    /// If either is empty or has a control character, or the user has a space or a colon: no server
    /// of this protocol could find its end. memcached does not accept a password with a space
    /// either.
    pub fn new(user: impl AsRef<str>, password: impl AsRef<[u8]>) -> Result<Login, LoginError> {
        let (user, password) = (user.as_ref(), password.as_ref());
        let is_line = |text: &[u8]| !text.is_empty() && !text.iter().any(u8::is_ascii_control);
        if !is_line(user.as_bytes()) || user.contains([' ', ':']) {
            return Err(LoginError::User);
        }
        if !is_line(password) {
            return Err(LoginError::Password);
        }
        Ok(Login { user: user.into(), password: password.into() })
    }

    /// Reads the login from the first non-empty line of a file, `user:password`: the form of
    /// memcached's own authentication files. The file is read once.
    ///
    /// # Errors
    /// If the file cannot be read, or that line is malformed.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Login, LoginError> {
        let path = path.as_ref();
        let text =
            read(path).map_err(|source| LoginError::Unreadable { path: path.into(), source })?;
        let lines = text.split(|&byte| byte == b'\n');
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let parts = line.iter().position(|&byte| byte == b':').and_then(|colon| {
            let user = std::str::from_utf8(&line[..colon]).ok()?;
            Login::new(user, &line[colon + 1..]).ok()
        });
        parts.ok_or_else(|| LoginError::Line { path: path.into() })
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The request. A server without authentication stores its value as an item: the item expires
    /// at once, so that nobody can read the password there.
    fn request(&self) -> Vec<u8> {
        let len = self.user.len() + 1 + self.password.len();
        let mut request = format!("set auth 0 -1 {len}\r\n{} ", self.user).into_bytes();
        request.extend_from_slice(&self.password);
        request.extend_from_slice(b"\r\n");
        request
    }

    /// Sends the login on a new connection, and reads the answer.
    pub(crate) async fn send<S>(&self, stream: &mut S) -> Result<LoginAnswer, io::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.write_all(&self.request()).await?;
        stream.flush().await?;
        let mut answer = Vec::with_capacity(MAX_ANSWER);
        while !answer.contains(&b'\n') && answer.len() < MAX_ANSWER {
            let room = (MAX_ANSWER - answer.len()) as u64;
            if (&mut *stream).take(room).read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        Ok(self.judge(&answer))
    }

    fn judge(&self, answer: &[u8]) -> LoginAnswer {
        match answer {
            b"STORED\r\n" => LoginAnswer::Granted,
            _ if is_alert(answer) || is_only_tls(answer) => LoginAnswer::OnlyTls,
            // A node without authentication that could not store the item, for example because the
            // key's owner in its ring is unreachable. A node with authentication never answers so.
            _ if answer.starts_with(b"SERVER_ERROR") && answer.ends_with(b"\n") => {
                LoginAnswer::Granted
            }
            _ if answer.starts_with(Refusal::TooManyConnections.line().as_bytes()) => {
                LoginAnswer::Full
            }
            _ if answer.starts_with(b"CLIENT_ERROR") || answer.starts_with(b"ERROR") => {
                LoginAnswer::Refused
            }
            b"" => LoginAnswer::Closed,
            _ => {
                // An unknown server may echo what it received.
                let echoes =
                    answer.windows(self.password.len()).any(|part| *part == *self.password);
                let shown = &answer[..answer.len().min(60)];
                LoginAnswer::Nonsense(match echoes {
                    true => "(an echo)".to_owned(),
                    false => String::from_utf8_lossy(shown).into_owned(),
                })
            }
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("password", &"...").finish()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let text = regular::read(path, MAX_FILE)?;
    match text.len() as u64 > MAX_FILE {
        true => Err(io::Error::other(format!("it has more than {MAX_FILE} bytes"))),
        false => Ok(text),
    }
}

/// The result of a login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LoginAnswer {
    Granted,
    Refused,
    /// The node has no room for another connection.
    Full,
    /// The node closed the connection.
    Closed,
    /// The node speaks TLS, and the login came without.
    OnlyTls,
    /// Malformed answer; its first bytes.
    Nonsense(String),
}

/// The reason why there is no [`Login`]. Never contains a password or a line of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The user is invalid.
    #[error("the user must be one word without spaces, colons and control characters")]
    User,
    /// The password is invalid.
    #[error("the password must be one line without control characters, and not empty")]
    Password,
    /// The file cannot be read.
    #[error("cannot read the auth file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file does not begin with a user and a password.
    #[error("the first line of the auth file {} is not user:password", path.display())]
    Line {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login::new("shop", "s3cret:x").unwrap()
    }

    #[test]
    fn it_is_sent_as_a_value_that_nobody_can_read() {
        assert_eq!(login().request(), b"set auth 0 -1 13\r\nshop s3cret:x\r\n");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for user in ["", "a b", "a:b", "a\nb", "a\tb"] {
            assert!(matches!(Login::new(user, "x"), Err(LoginError::User)), "{user:?}");
        }
        for password in ["", "a\r\nset k 0 0 1", "a\0"] {
            assert!(matches!(Login::new("u", password), Err(LoginError::Password)), "{password:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_regular_one_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = Login::from_file(path).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }

    #[test]
    fn answers_are_told_apart_and_give_nothing_away() {
        for (answer, entry) in [
            (&b"STORED\r\n"[..], LoginAnswer::Granted),
            (b"CLIENT_ERROR authentication failure\r\n", LoginAnswer::Refused),
            (b"ERROR\r\n", LoginAnswer::Refused),
            (b"ERROR Too many open connections\r\n", LoginAnswer::Full),
            (b"SERVER_ERROR out of memory storing object\r\n", LoginAnswer::Granted),
            (b"SERVER_ERROR", LoginAnswer::Nonsense("SERVER_ERROR".to_owned())),
            (b"STORED\r\nSTORED\r\n", LoginAnswer::Nonsense("STORED\r\nSTORED\r\n".to_owned())),
            (b"shop s3cret:x\r\n", LoginAnswer::Nonsense("(an echo)".to_owned())),
            (b"\x15\x03\x03\x00\x02\x02\x46", LoginAnswer::OnlyTls),
            (b"CLIENT_ERROR this port speaks TLS only: connect with it\r\n", LoginAnswer::OnlyTls),
            (b"220 mail\r\n", LoginAnswer::Nonsense("220 mail\r\n".to_owned())),
            (b"", LoginAnswer::Closed),
        ] {
            assert_eq!(login().judge(answer), entry, "{}", answer.escape_ascii());
        }
        assert!(!format!("{:?}", login()).contains("s3cret"));
    }
}
