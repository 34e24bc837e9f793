//! Messages to a service manager by `sd_notify`, if there is one (`NOTIFY_SOCKET`): that clients can
//! connect, that settings are read again, that another process takes this one's place, that the end has
//! begun, and that it takes its time.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// How much more time is asked for at once, and how often.
const MORE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(5);

/// Clients can connect. Names this process, which may have taken over from another.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Another process serves from now on: it is the service's main process.
///
/// The manager must learn this before the present process ends, because it stops a service whose main
/// process is gone. The new process says the same in [`ready`], but may come to that too late. The number
/// 0 stands for a process that cannot be seen from here.
pub(crate) fn replaced_by(process: u32) {
    if process != 0 {
        tell(&[NotifyState::MainPid(process)]);
    }
}

/// Settings are being read again; [`ready`] says when that is over.
pub(crate) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The end has begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
    still_stopping();
}

/// The end takes its time, and goes on.
pub(crate) fn still_stopping() {
    let more = u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(more)]);
}

/// Asks for more time again and again while `work` runs.
pub(crate) fn while_waiting<R>(work: impl FnOnce() -> R) -> R {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return work();
    }
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                still_stopping();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn tell(states: &[NotifyState<'_>]) {
    // A manager that does not listen is none.
    let _ = sd_notify::notify(false, states);
}
