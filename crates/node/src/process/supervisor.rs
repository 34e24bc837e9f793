//! Messages to a service manager by `sd_notify`, if there is one (`NOTIFY_SOCKET`): clients can
//! connect, settings are being reloaded, another process takes this one's place, the process is
//! stopping, and the stop takes longer.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// The additional time requested at once, and the interval between requests.
const MORE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(5);

/// Reports that clients can connect. Names this process, which may have taken over from another.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Reports that another process serves and is the service's main process.
///
/// The manager must learn this before the present process ends, because it stops a service whose
/// main process is gone. The new process reports the same in [`ready`], but that may come too late.
/// The number 0 stands for a process that is not visible from here.
pub(crate) fn replaced_by(process: u32) {
    if process != 0 {
        notify(&[NotifyState::MainPid(process)]);
    }
}

/// Reports that settings are being reloaded; [`ready`] reports the end of that.
pub(crate) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// Reports that the process is stopping.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
    still_stopping();
}

/// Reports that the stop continues and takes longer.
pub(crate) fn still_stopping() {
    let more = u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::ExtendTimeoutUsec(more)]);
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

fn notify(states: &[NotifyState<'_>]) {
    // A manager that does not listen counts as no manager.
    let _ = sd_notify::notify(false, states);
}
