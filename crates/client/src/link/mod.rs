//! A node, and this client's connections to it.
//!
//! | file | purpose |
//! |---|---|
//! | `slot`, `health` | one slot for a connection; whether the node is worth asking |
//! | `dial`, `socket`, `login` | opening a connection |
//! | `connection`, `watchdog` | one pipelined connection; requests that wait too long |

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod health;
pub(crate) mod login;
pub(crate) mod slot;
pub(crate) mod socket;
pub(crate) mod watchdog;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ringbinder_protocol::Refusal;
use ringbinder_ring::Node;

use crate::error::{Absence, Error};
use crate::link::connection::{Cause, Fault};
use crate::link::dial::DialError;
use crate::link::health::{Health, Permit};
use crate::link::slot::ConnectionSlot;
use crate::settings::LinkSettings;
use crate::tls::{TlsFault, is_only_tls};
use crate::wire::{Answer, Line, Request};

/// One node and its health, with a pipelined connection for each worker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: Node,
    /// `name (host:port)`, for messages.
    pub(crate) title: Arc<str>,
    slots: Box<[ConnectionSlot]>,
    health: Health,
    /// Whether the node rests because it refused the login.
    locked_out: AtomicBool,
    settings: LinkSettings,
}

impl Link {
    pub(crate) fn new(node: Node, settings: &LinkSettings) -> Link {
        let title = format!("{} ({node})", node.name).into();
        let slots = (0..settings.slots.max(1)).map(|_| ConnectionSlot::default()).collect();
        Link {
            node,
            title,
            slots,
            health: Health::new(),
            locked_out: AtomicBool::new(false),
            settings: settings.clone(),
        }
    }

    /// Sends a request and returns its answer, or the node's refusal as an error.
    ///
    /// A request is sent again if the node has certainly not seen it, or if it only reads, at most
    /// as often as the settings allow.
    #[inline]
    pub(crate) async fn call(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let LinkSettings { watchdog, retries, .. } = &self.settings;
        // The time for a connection, and for an answer.
        let Some(permit) = self.health.may_ask(watchdog.allowed * 2) else {
            return Err(self.resting());
        };
        let slot = &self.slots[worker() % self.slots.len()];
        let mut left = *retries;
        loop {
            let connection = match slot.connection(&self.node, &self.settings).await {
                Ok(connection) => connection,
                Err(why) => return Err(self.dial_failed(permit, why)),
            };
            let fault = match connection.call(request).await {
                Ok(answer) => return self.judged(permit, answer),
                Err(fault) => fault,
            };
            if left == 0 || !may_be_repeated(&fault, request) {
                return Err(self.error_of(permit, fault.cause));
            }
            left -= 1;
        }
    }

    #[inline]
    fn judged(&self, permit: Permit<'_>, answer: Answer) -> Result<Answer, Error> {
        let node = || Arc::clone(&self.title);
        match answer {
            Answer::Line(Line::ClientError(says)) if is_full(&says) => {
                Err(self.failed(permit, Absence::Full))
            }
            Answer::Line(Line::ClientError(says)) if is_only_tls(says.as_bytes()) => {
                Err(self.failed(permit, Absence::Tls(TlsFault::OnlyTls)))
            }
            Answer::Line(Line::ClientError(says)) if asks_for_login(&says) => {
                permit.answered();
                Err(self.unauthenticated())
            }
            answer => {
                permit.answered();
                match answer {
                    Answer::Line(Line::ClientError(says)) => {
                        Err(Error::Refused { node: node(), says })
                    }
                    Answer::Line(Line::ServerError(says)) if says == Refusal::OwnerAway.line() => {
                        Err(self.away(Absence::ByProxy))
                    }
                    Answer::Line(Line::ServerError(says)) => {
                        Err(Error::Failed { node: node(), says })
                    }
                    answer => Ok(answer),
                }
            }
        }
    }

    fn error_of(&self, permit: Permit<'_>, cause: Cause) -> Error {
        match cause {
            Cause::Silent => self.failed(permit, Absence::Silent(self.settings.watchdog.allowed)),
            Cause::Tls(fault) => self.failed(permit, Absence::Tls(fault)),
            Cause::Closed | Cause::Unused => {
                self.cut_off(permit);
                self.away(Absence::Closed)
            }
            // The node sent this before it was asked anything.
            Cause::Nonsense(got) if is_full(&got) => self.failed(permit, Absence::Full),
            Cause::Nonsense(got) => {
                self.cut_off(permit);
                Error::Nonsense { node: Arc::clone(&self.title), got }
            }
        }
    }

    fn failed(&self, permit: Permit<'_>, why: Absence) -> Error {
        self.locked_out.store(false, Ordering::Relaxed);
        match (permit.failed(), &why) {
            // An operator must act on it, and no caller sees it if it is a miss.
            (true, Absence::Tls(fault)) => tracing::warn!(node = %self.title, %fault, "away"),
            (_, why) => tracing::debug!(node = %self.title, %why, "away"),
        }
        self.away(why)
    }

    fn dial_failed(&self, permit: Permit<'_>, why: DialError) -> Error {
        match why {
            DialError::Away(why) => self.failed(permit, why),
            DialError::Unauthenticated => {
                self.locked_out.store(true, Ordering::Relaxed);
                permit.failed();
                self.unauthenticated()
            }
            DialError::Nonsense(got) => {
                self.cut_off(permit);
                Error::Nonsense { node: Arc::clone(&self.title), got }
            }
        }
    }

    fn cut_off(&self, permit: Permit<'_>) {
        self.locked_out.store(false, Ordering::Relaxed);
        permit.cut_off();
    }

    /// The error while the node rests. It cannot have changed its mind about the login meanwhile.
    fn resting(&self) -> Error {
        match self.locked_out.load(Ordering::Relaxed) {
            true => self.unauthenticated(),
            false => self.away(Absence::Resting),
        }
    }

    fn unauthenticated(&self) -> Error {
        let user = self.settings.login.as_ref().map(|login| login.user().into());
        Error::Unauthenticated { node: Arc::clone(&self.title), user }
    }

    fn away(&self, why: Absence) -> Error {
        Error::Away { node: Arc::clone(&self.title), why }
    }

    /// The error for an answer that is valid but does not fit the request.
    pub(crate) fn unexpected(&self, answer: &Answer) -> Error {
        let got = match answer {
            Answer::Line(Line::Other(line)) => line.clone(),
            answer => format!("{answer:?}").chars().take(60).collect(),
        };
        Error::Nonsense { node: Arc::clone(&self.title), got }
    }
}

/// Whether a request may be sent again: if the node has certainly not seen it, or if it only reads.
/// Asking a silent node again would not make it answer.
fn may_be_repeated(fault: &Fault, request: &Request<'_>) -> bool {
    match fault.cause {
        Cause::Silent | Cause::Tls(_) => false,
        Cause::Nonsense(_) => !fault.sent,
        Cause::Closed | Cause::Unused => !fault.sent || request.is_read(),
    }
}

/// Whether the node reports that it has no room for another connection, before it closes this one.
fn is_full(says: &str) -> bool {
    says.starts_with(Refusal::TooManyConnections.line())
}

/// Whether the node serves only authenticated clients. Such a node treats a storage command as a
/// login.
fn asks_for_login(says: &str) -> bool {
    [Refusal::Unauthenticated, Refusal::LoginFailed, Refusal::LoginFormat, Refusal::LoginTooLong]
        .iter()
        .any(|refusal| says == refusal.line())
}

/// A number of the current thread: threads do not share a connection as long as there are enough.
#[inline]
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static WORKER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    WORKER.get()
}
