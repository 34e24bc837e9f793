//! The state of a connection before its client has authenticated: with `-Y`, it accepts nothing but
//! a login.
//!
//! As in memcached, a client may try again after any refusal. This module makes guessing expensive:
//! the answer to a wrong password is delayed by [`PENALTY`], and after [`MAX_FAILURES`] wrong
//! passwords the connection closes. If many come from one source, all logins from there wait
//! ([`crate::security::guessing`]).

use std::future::poll_fn;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use ringbinder_protocol::{Login, Refusal, answer, login};
use tracing::{debug, warn};

use super::Connection;
use crate::command::step::Step;
use crate::net::connections::CloseReason;
use crate::net::input::Input;
use crate::net::output::Output;
use crate::security::auth::Auth;
use crate::security::reload::certificates;
use crate::security::source::Source;

/// The delay before a wrong password is answered.
const PENALTY: Duration = Duration::from_millis(100);

/// The number of wrong passwords after which a connection closes.
const MAX_FAILURES: u8 = 8;

impl Connection {
    /// Expects a login, and continues with the requests after a correct one.
    #[cold]
    pub(super) fn admit(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        turns: &mut u32,
    ) -> Step {
        let shared = std::sync::Arc::clone(&self.local.shared);
        let Some(auth) = &shared.auth else {
            self.locked = false;
            return self.step(input, output, turns);
        };
        self.ticket.start_timeout();
        loop {
            if input.unread().is_empty() {
                return Step::Starved;
            }
            if output.is_full() {
                return Step::Flush;
            }
            if *turns == 0 {
                return Step::Yield;
            }
            let (consumed, refusal) = match login(input.unread()) {
                Login::Incomplete => return Step::Starved,
                Login::Foreign(foreign) => return self.foreign(foreign, output),
                Login::Refused { refusal, consumed } => (consumed, Some(refusal)),
                Login::Offered { user, password, consumed } => {
                    let (source, now) = (Source::of(&self.ticket.remote), shared.clock.now());
                    let wait = auth.guessing.wait(source, now);
                    if !std::mem::replace(&mut self.slowed, true) && !wait.is_zero() {
                        self.local.counters.auth_slowed.increment();
                        return Step::Slow(wait);
                    }
                    self.slowed = false;
                    self.local.counters.auth_cmds.increment();
                    let admitted = auth.admits(user, password);
                    (consumed, (!admitted).then_some(Refusal::LoginFailed))
                }
            };
            // The input may hold a password, so it is never shown.
            debug!("<{} (authentication)", self.ticket.id);
            input.consume(consumed);
            *turns -= 1;
            match refusal {
                None => {
                    answer::line(&mut output.bytes, "STORED");
                    self.locked = false;
                    self.ticket.begin_proof();
                    return self.step(input, output, turns);
                }
                Some(refusal) => answer::refusal(&mut output.bytes, refusal),
            }
            if refusal == Some(Refusal::LoginFailed) {
                self.failed(auth);
                return Step::Penalty;
            }
        }
    }

    fn failed(&mut self, auth: &Auth) {
        self.failures += 1;
        self.local.counters.auth_errors.increment();
        let now = self.local.shared.clock.now();
        auth.guessing.wrong(Source::of(&self.ticket.remote), now);
        if auth.complaints.allows(&self.ticket.remote, "", now) {
            warn!(
                "{} did not authenticate: its user or its password is not in {} (logged once a \
                 minute; auth_errors in stats counts all)",
                self.ticket.remote,
                auth.path().display()
            );
        }
    }

    /// Delays the check of a login.
    pub(super) async fn slow(
        &mut self,
        wait: Duration,
        output: &mut Output,
    ) -> Result<(), CloseReason> {
        self.flush(output).await?;
        self.pause(wait).await
    }

    /// Delays the answer to a wrong password; returns an error if that was the last one allowed.
    pub(super) async fn penalty(&mut self, output: &mut Output) -> Result<(), CloseReason> {
        self.pause(PENALTY).await?;
        self.flush(output).await?;
        if self.failures >= MAX_FAILURES { Err(CloseReason::Error) } else { Ok(()) }
    }

    /// Waits, unless the connection must end.
    async fn pause(&self, wait: Duration) -> Result<(), CloseReason> {
        let ticket = &self.ticket;
        let kicked = poll_fn(|context: &mut TaskContext<'_>| match ticket.poll_kick(context) {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        });
        tokio::select! {
            reason = kicked => Err(reason),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Carries out `refresh_certs`.
    pub(super) async fn refresh(&mut self, output: &mut Output) {
        let shared = std::sync::Arc::clone(&self.local.shared);
        let reading = tokio::task::spawn_blocking(move || {
            certificates(shared.tls.as_deref(), shared.clock.now())
        });
        match reading.await {
            Ok(Ok(())) => answer::line(&mut output.bytes, "OK"),
            Ok(Err(reason)) => answer::line(&mut output.bytes, &format!("Error {reason}")),
            Err(_) => answer::line(&mut output.bytes, "Error reading the certificates"),
        }
    }
}
