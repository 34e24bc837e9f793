//! Reloads the data that may change while a node runs: certificates, users and, through its ring
//! manager, the ring.
//!
//! Each part is replaced as a whole or not at all. If new data cannot be used, that is logged, and
//! the current data stays. No connection ends because of a reload.

use std::sync::Arc;

use ringbinder_store::Seconds;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::auth::Auth;
use super::tls::Tls;

/// Reads the certificates again. The error, which is also logged, says why the current ones stay.
pub(crate) fn certificates(tls: Option<&Tls>, now: Seconds) -> Result<(), String> {
    let Some(tls) = tls else { return Err("TLS not enabled".to_owned()) };
    match tls.reload(now) {
        Ok(warnings) => {
            for warning in warnings {
                warn!("{warning}");
            }
            info!("certificates reloaded; new connections use them");
            Ok(())
        }
        Err(error) => {
            error!("{error}; keeping the current certificates");
            Err(format!("{error}; keeping the current certificates"))
        }
    }
}

fn users(auth: &Auth) {
    match auth.reload() {
        Ok(warnings) => {
            for warning in warnings {
                warn!("{warning}");
            }
            info!("users reloaded from {}", auth.path().display());
        }
        Err(error) => error!("{error}; keeping the current users"),
    }
}

/// Reloads everything, as SIGHUP asks. `ring` wakes the ring manager.
pub(crate) async fn all(
    tls: Option<Arc<Tls>>,
    auth: Option<Arc<Auth>>,
    ring: Option<&Notify>,
    now: Seconds,
) {
    if tls.is_none() && auth.is_none() && ring.is_none() {
        info!("SIGHUP: nothing to reload");
    }
    let reading = tokio::task::spawn_blocking(move || {
        if tls.is_some() {
            // The error is in the log.
            let _ = certificates(tls.as_deref(), now);
        }
        if let Some(auth) = auth {
            users(&auth);
        }
    });
    // This fails only if the runtime ends.
    let _ = reading.await;
    if let Some(ring) = ring {
        ring.notify_one();
    }
}
