//! Users and passwords (`-Y`): a file of lines `user:password`, and the check of a client's
//! credentials against it.
//!
//! A client's credentials are compared with every line, by digests of one length, so that the time
//! reveals neither the line nor the number of correct bytes. Passwords are never logged.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest, SHA256};
use parking_lot::RwLock;
use ringbinder_ring::regular;
use subtle::{Choice, ConstantTimeEq as _};

use super::guessing::Guessing;
use super::tls::too_open;
use crate::observe::log_limit::LogLimit;
use crate::process::exit::ExitCode;

/// The most lines that count, as in memcached.
const MAX_ENTRIES: usize = 8;

/// The longest line in bytes, without its line end, as in memcached.
const MAX_LINE: usize = 254;

/// The longest file that is read.
const MAX_LEN: u64 = 64 * 1024;

/// The reason why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("cannot read the users in {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot use the users in {}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
}

impl AuthError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            AuthError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitCode::NoPermission
            }
            _ => ExitCode::Config,
        }
    }
}

/// The users that may use this node.
#[derive(Debug)]
pub(crate) struct Auth {
    path: PathBuf,
    users: RwLock<Arc<Users>>,
    /// Wrong passwords by source.
    pub(crate) guessing: Guessing,
    /// The log rate limit for failures.
    pub(crate) complaints: LogLimit,
}

impl Auth {
    /// Reads the file; also returns warnings for the operator, one line each.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(crate) fn load(path: &Path) -> Result<(Auth, Vec<String>), AuthError> {
        let (users, warnings) = read(path)?;
        let users = RwLock::new(Arc::new(users));
        let (guessing, complaints) = (Guessing::default(), LogLimit::default());
        Ok((Auth { path: path.into(), users, guessing, complaints }, warnings))
    }

    /// Reads the file again. Existing connections stay.
    ///
    /// # Errors
    /// A file that cannot be used; the current users then stay.
    pub(crate) fn reload(&self) -> Result<Vec<String>, AuthError> {
        let (users, warnings) = read(&self.path)?;
        *self.users.write() = Arc::new(users);
        Ok(warnings)
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a client may log in.
    pub(crate) fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        let users = Arc::clone(&self.users.read());
        users.admit(user, password)
    }

    /// This node's credentials for other nodes: the first line's user, a space, and the password.
    pub(crate) fn own_words(&self) -> Arc<Users> {
        Arc::clone(&self.users.read())
    }
}

/// The content of the file.
pub(crate) struct Users {
    digests: Vec<Digest>,
    first: Vec<u8>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.digests.len())
    }
}

impl Users {
    /// The credentials of the first line, as they are sent.
    pub(crate) fn first(&self) -> &[u8] {
        &self.first
    }

    fn admit(&self, user: &[u8], password: &[u8]) -> bool {
        let offered = digest_of(user, password);
        let mut found = Choice::from(0);
        for known in &self.digests {
            found |= known.as_ref().ct_eq(offered.as_ref());
        }
        found.into()
    }

    fn parse(text: &[u8], warnings: &mut Vec<String>) -> Result<Users, String> {
        let mut users = Users { digests: Vec::new(), first: Vec::new() };
        let mut beyond = 0;
        for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            if line.len() > MAX_LINE {
                return Err(format!("line {number} is longer than {MAX_LINE} bytes"));
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                return Err(format!("line {number} is not of the form user:password"));
            };
            let (user, password) = (&line[..colon], &line[colon + 1..]);
            if user.is_empty() || password.is_empty() {
                return Err(format!("line {number} has no user or no password"));
            }
            if user.contains(&b' ') {
                let reason = "has a user with a space, who could never log in";
                return Err(format!("line {number} {reason}"));
            }
            if users.digests.len() == MAX_ENTRIES {
                beyond += 1;
                continue;
            }
            if users.digests.is_empty() {
                users.first = [user, b" ", password].concat();
            }
            users.digests.push(digest_of(user, password));
        }
        if users.digests.is_empty() {
            return Err("the file has no line of the form user:password".to_owned());
        }
        if beyond > 0 {
            warnings.push(format!(
                "only the first {MAX_ENTRIES} users are used, as in memcached; ignored {beyond} \
                 more"
            ));
        }
        Ok(users)
    }
}

/// A digest of one length for every comparison. No user contains a space, so the space marks the
/// end of the user.
fn digest_of(user: &[u8], password: &[u8]) -> Digest {
    digest::digest(&SHA256, &[user, b" ", password].concat())
}

fn read(path: &Path) -> Result<(Users, Vec<String>), AuthError> {
    let failed = |source| AuthError::Read { path: path.into(), source };
    let malformed = |reason| AuthError::Malformed { path: path.into(), reason };
    let text = regular::read(path, MAX_LEN).map_err(failed)?;
    if text.len() as u64 > MAX_LEN {
        return Err(malformed(format!("the file has more than {MAX_LEN} bytes")));
    }
    let mut warnings: Vec<String> = too_open(path).into_iter().collect();
    let mut notes = Vec::new();
    let users = Users::parse(&text, &mut notes).map_err(malformed)?;
    warnings.extend(notes.into_iter().map(|what| format!("{}: {what}", path.display())));
    Ok((users, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Users, Vec<String>), String> {
        let mut warnings = Vec::new();
        Users::parse(text.as_bytes(), &mut warnings).map(|users| (users, warnings))
    }

    #[test]
    fn who_stands_in_the_file_comes_in() {
        let (users, warnings) = parse("foo:bar\r\n\nbaaaz:qu ux:1\nlast:one").unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        for (user, password) in [("foo", "bar"), ("baaaz", "qu ux:1"), ("last", "one")] {
            assert!(users.admit(user.as_bytes(), password.as_bytes()), "{user}");
        }
        for (user, password) in
            [("foo", "ba"), ("foo", "barr"), ("foo", ""), ("", "bar"), ("baaaz", "bar"), ("", "")]
        {
            assert!(!users.admit(user.as_bytes(), password.as_bytes()), "{user} {password}");
        }
        assert_eq!(users.first(), b"foo bar");
        assert!(!format!("{users:?}").contains("bar"));
    }

    #[test]
    fn a_file_that_lets_nobody_in_or_says_something_else_is_refused() {
        for (text, why) in [
            ("", "no line"),
            ("\n\n", "no line"),
            ("foo", "line 1 is not"),
            ("a:b\nfoo bar", "line 2 is not"),
            ("foo:", "line 1 has no user or no password"),
            (":bar", "line 1 has no user or no password"),
            ("a b:c", "line 1 has a user with a space"),
            (&format!("a:{}", "x".repeat(253)), "line 1 is longer"),
        ] {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(why), "{text:?}: {reason}");
            assert!(!reason.contains("bar"), "a password must not be shown: {reason}");
        }
        let many: String = (0..10).map(|number| format!("user{number}:p\n")).collect();
        let (users, warnings) = parse(&many).unwrap();
        assert!(users.admit(b"user7", b"p") && !users.admit(b"user8", b"p"));
        assert!(warnings[0].contains("ignored 2 more"));
    }
}
