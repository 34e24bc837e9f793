//! A ring in etcd: reads it, and watches it for changes.
//!
//! The ring is always read by a linearizable read of the key, which no member can answer with old
//! data. The watch only triggers reads. The key is also read every [`CHECK_EVERY`]. That detects an
//! etcd that keeps its connections open and does nothing, and so replaces keepalive packets.
//!
//! All endpoints are asked at once and the first answer counts, so an unreachable or hanging member
//! costs nothing while another one answers.
//!
//! The key's ending determines the format, as a file's extension does. Without a known ending, the
//! first line that is neither empty nor a comment does.

use std::error::Error as _;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, KvClient, WatchOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::debug;

use super::report::Reporter;
use super::text::{self, on_blocking_thread};
use super::{Cache, Origin, SourceError, cache};
use crate::error::{RingError, RingFault};
use crate::{Format, MAX_FILE_BYTES, Ring};

/// Time that etcd has to answer, for connecting, logging in and reading together.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Interval of reads without any event.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// Bounds of the pause between attempts to reach etcd, which doubles each time.
const BACKOFF_LEAST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// Most bytes of a message from etcd: the value and its envelope.
const MAX_MESSAGE: usize = MAX_FILE_BYTES + 64 * 1024;

/// The credentials for etcd. Never prints the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Login {
    /// A login with a password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Login {
        Login { user: user.into(), password: password.into() }
    }

    /// The login from the environment, in the variables of etcdctl.
    pub(super) fn from_env() -> Option<Login> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Login::from_variables(variable("ETCDCTL_USER")?, variable("ETCDCTL_PASSWORD"))
    }

    /// The login in etcdctl's form: `user:password` in one variable, unless there is a second.
    fn from_variables(user: String, password: Option<String>) -> Option<Login> {
        Some(match (password, user.split_once(':')) {
            (Some(password), _) => Login::new(user, password),
            (None, Some((user, password))) => Login::new(user, password),
            (None, None) => Login::new(user, ""),
        })
    }
}

/// A key in etcd.
#[derive(Debug)]
pub(super) struct Etcd {
    endpoints: Vec<String>,
    key: String,
    login: Option<Login>,
}

/// A member of etcd that answers, and its value of the key.
struct Session {
    endpoint: String,
    client: Client,
    value: Value,
}

/// The value of a key at a moment.
struct Value {
    /// `None` if the key does not exist.
    bytes: Option<Vec<u8>>,
    /// The store's revision at that moment; a watch continues after it.
    revision: i64,
    /// The revision that last changed the key, 0 if it does not exist.
    changed: i64,
}

/// The reason why one member gave no value.
enum Failure {
    /// No answer; with the reason.
    Away(String),
    /// The member answered, but does not permit this program to read.
    Refused(String),
    /// The member's answer is larger than any valid ring.
    TooLarge,
}

impl Etcd {
    pub(super) fn new(endpoints: Vec<String>, key: String, login: Option<Login>) -> Self {
        Etcd { endpoints, key, login }
    }

    fn origin(&self) -> Origin {
        Origin::Etcd { endpoints: self.endpoints.clone(), key: self.key.clone() }
    }

    /// Reads the ring.
    pub(super) async fn read(&self) -> Result<Ring, SourceError> {
        self.ring(self.connect().await?.value.bytes).await
    }

    /// Reports every change of the ring, as long as it is polled. Copies each new ring to `cache`.
    pub(super) async fn watch(
        &self,
        cache: Option<&Cache>,
        mut reporter: Reporter,
        reload: &Notify,
    ) {
        let mut asked = false;
        let mut pause = BACKOFF_LEAST;
        loop {
            match self.connect().await {
                Ok(session) => {
                    let started = Instant::now();
                    let lost = self.follow(session, cache, &mut reporter, reload, &mut asked).await;
                    debug!("{}: {lost}; connecting again", self.origin());
                    // A member may answer reads and yet not keep a watch open.
                    if started.elapsed() > BACKOFF_MOST {
                        pause = BACKOFF_LEAST;
                    }
                }
                Err(failure) => {
                    reporter.report(Err(failure), asked).await;
                    asked = false;
                }
            }
            // Jitter, so that the nodes of a fleet do not read at the same moment.
            let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
            pause = (pause * 2).min(BACKOFF_MOST);
            tokio::select! {
                () = sleep(jittered) => {}
                () = reload.notified() => asked = true,
            }
        }
    }

    /// Reports the value of `session` and all that follow, until the session is lost, and returns
    /// the reason. `asked` is true if a caller waits for an answer, and becomes false once the
    /// answer is given.
    async fn follow(
        &self,
        session: Session,
        cache: Option<&Cache>,
        reporter: &mut Reporter,
        reload: &Notify,
        asked: &mut bool,
    ) -> String {
        let Session { endpoint, client, value } = session;
        let mut known = value.changed;
        let options = WatchOptions::new().with_start_revision(value.revision + 1);
        self.report(value, cache, reporter, std::mem::take(asked)).await;

        let mut watcher = client.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let watching = watcher.watch(self.key.as_str(), Some(options));
        let mut events = match timeout(TIMEOUT, watching).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return format!("{endpoint} rejects the watch: {}", reason(&error)),
            Err(_) => return format!("{endpoint} did not start the watch in time"),
        };
        let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
        let mut checks = interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = events.message() => match message {
                    Ok(Some(message)) if message.canceled() => {
                        return format!("{endpoint} ended the watch: {}", message.cancel_reason());
                    }
                    Ok(Some(message)) if message.events().is_empty() => continue,
                    Ok(Some(_)) => {}
                    Ok(None) => return format!("{endpoint} ended the watch"),
                    Err(error) => return format!("{endpoint}: {}", reason(&error)),
                },
                _ = checks.tick() => {}
                () = reload.notified() => *asked = true,
            }
            let value = match timeout(TIMEOUT, get(&mut kv, &self.key)).await {
                Ok(Ok(value)) => value,
                Ok(Err(error)) => return format!("{endpoint}: {}", reason(&error)),
                Err(_) => return format!("{endpoint} does not answer"),
            };
            if value.changed != known || *asked {
                known = value.changed;
                self.report(value, cache, reporter, std::mem::take(asked)).await;
            }
        }
    }

    async fn report(
        &self,
        value: Value,
        cache: Option<&Cache>,
        reporter: &mut Reporter,
        asked: bool,
    ) {
        let reading = match self.ring(value.bytes).await {
            Ok(ring) if reporter.is_new(&ring) => {
                let keep = |cache: &Cache, ring: &Ring| cache.keep(ring, Some(ring.id()));
                Ok(cache::keep(cache.cloned(), ring, keep).await)
            }
            other => other,
        };
        reporter.report(reading, asked).await;
    }

    /// The ring in a value.
    async fn ring(&self, bytes: Option<Vec<u8>>) -> Result<Ring, SourceError> {
        let origin = self.origin();
        let bytes = bytes.ok_or_else(|| SourceError::Missing(origin.clone()))?;
        let text = text::decode(bytes, &origin)?;
        let format = Format::of(Path::new(&self.key)).unwrap_or_else(|_| by_looks(&text));
        let ring = on_blocking_thread(move || Ring::parse(&text, format, &origin.to_string()));
        ring.await.map_err(SourceError::Invalid)
    }

    /// Asks all endpoints for the key and uses the first answer.
    async fn connect(&self) -> Result<Session, SourceError> {
        let mut attempts = JoinSet::new();
        for endpoint in self.endpoints.clone() {
            let (key, login) = (self.key.clone(), self.login.clone());
            attempts.spawn(async move {
                let opened = timeout(TIMEOUT, open(endpoint.clone(), &key, login)).await;
                let silent = || format!("no answer within {} s", TIMEOUT.as_secs());
                let opened = opened.unwrap_or_else(|_| Err(Failure::Away(silent())));
                opened.map_err(|failure| (endpoint, failure))
            });
        }
        let origin = self.origin();
        let mut decisive = None;
        let mut reasons = Vec::new();
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err((endpoint, Failure::Away(reason)))) => {
                    reasons.push(format!("{endpoint}: {reason}"));
                }
                Ok(Err((_, Failure::Refused(reason)))) => {
                    decisive = Some(SourceError::Refused { origin: origin.clone(), reason });
                }
                Ok(Err((_, Failure::TooLarge))) => {
                    let error = RingError::new(&origin.to_string(), RingFault::TooLarge);
                    decisive = Some(SourceError::Invalid(error));
                }
                Err(failed) => reasons.push(failed.to_string()),
            }
        }
        let away = || SourceError::Away { origin, reason: reasons.join(", ") };
        Err(decisive.unwrap_or_else(away))
    }
}

/// Reads the key from one member.
async fn open(endpoint: String, key: &str, login: Option<Login>) -> Result<Session, Failure> {
    // A member that has lost the others must not answer.
    let anonymous = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
    let client = match login {
        None => Client::connect([&endpoint], Some(anonymous)).await,
        Some(Login { user, password }) => {
            let known = anonymous.clone().with_user(user, password);
            match Client::connect([&endpoint], Some(known)).await {
                // etcd does not require a login yet: operators give programs a login first, and
                // then require it.
                Err(error) if code(&error) == Some(FAILED_PRECONDITION) => {
                    Client::connect([&endpoint], Some(anonymous)).await
                }
                other => other,
            }
        }
    };
    let client = client.map_err(Failure::of)?;
    let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
    let value = get(&mut kv, key).await.map_err(Failure::of)?;
    Ok(Session { endpoint, client, value })
}

async fn get(kv: &mut KvClient, key: &str) -> Result<Value, Error> {
    let answer = kv.get(key, None).await?;
    let pair = answer.kvs().first();
    Ok(Value {
        bytes: pair.map(|pair| pair.value().to_vec()),
        revision: answer.header().map_or(0, |header| header.revision()),
        changed: pair.map_or(0, |pair| pair.mod_revision()),
    })
}

impl Failure {
    fn of(error: Error) -> Failure {
        let text = reason(&error);
        match code(&error) {
            Some(INVALID_ARGUMENT | PERMISSION_DENIED | UNAUTHENTICATED) => Failure::Refused(text),
            Some(OUT_OF_RANGE) => Failure::TooLarge,
            _ => Failure::Away(text),
        }
    }
}

// Codes of the gRPC specification, with their meaning in etcd.

/// The user or the password is wrong or missing.
const INVALID_ARGUMENT: i32 = 3;
/// The user has no right to read this key.
const PERMISSION_DENIED: i32 = 7;
/// There is a login, but etcd does not use logins.
const FAILED_PRECONDITION: i32 = 9;
/// Raised on this side: the message is larger than [`MAX_MESSAGE`].
const OUT_OF_RANGE: i32 = 11;
/// The login has expired.
const UNAUTHENTICATED: i32 = 16;

/// The gRPC code of an answer that is an error.
fn code(error: &Error) -> Option<i32> {
    match error {
        Error::GRpcStatus(status) => Some(status.code().into()),
        _ => None,
    }
}

/// The innermost cause of an error.
fn reason(error: &Error) -> String {
    let top: &dyn std::error::Error = match error {
        Error::GRpcStatus(status) => match status.source() {
            Some(source) => source,
            None if status.message().is_empty() => return status.code().to_string(),
            None => return status.message().to_owned(),
        },
        Error::TransportError(error) => error,
        other => other,
    };
    let mut root = top;
    while let Some(below) = root.source() {
        root = below;
    }
    root.to_string()
}

/// The format by the first line that is neither empty nor a comment.
///
/// Decided before parsing, not by trying each format, so that an error message refers to the
/// intended format.
fn by_looks(text: &str) -> Format {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let sign = first.find(['=', ':']).map(|at| first.as_bytes()[at]);
    if first.starts_with('{') {
        Format::Json
    } else if first.starts_with("---") || first.starts_with('%') || sign == Some(b':') {
        Format::Yaml
    } else {
        Format::Toml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_shows_in_the_first_line_that_says_something() {
        for (text, expected) in [
            ("version = 1\n", Format::Toml),
            ("\u{feff}version = 1\n", Format::Toml),
            ("# ring: of the cache\n\n  version=1\n", Format::Toml),
            ("[[node]]\naddress = \"a:1\"\n", Format::Toml),
            ("address = \"a:1\"\n", Format::Toml),
            ("version: 1\n", Format::Yaml),
            ("# a = b\nhash: \"a=b\"\n", Format::Yaml),
            ("---\nversion: 1\n", Format::Yaml),
            ("%YAML 1.2\n---\n", Format::Yaml),
            ("\n {\"version\": 1}", Format::Json),
            ("hello", Format::Toml),
        ] {
            assert_eq!(by_looks(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_login_is_written_as_for_etcdctl_and_never_shown() {
        let login = |user: &str, password: Option<&str>| {
            Login::from_variables(user.into(), password.map(Into::into)).unwrap()
        };
        assert_eq!(login("ada:se:cret", None), Login::new("ada", "se:cret"));
        assert_eq!(login("ada", Some("secret")), Login::new("ada", "secret"));
        assert_eq!(login("ada:x", Some("secret")), Login::new("ada:x", "secret"));
        assert_eq!(login("ada", None), Login::new("ada", ""));
        assert!(!format!("{:?}", login("ada:secret", None)).contains("secret"));
    }
}
