//! Reloads the data that may change while a node runs: certificates, users and, through its keeper,
//! the ring.
//!
//! Each part is replaced as a whole or not at all. If new data cannot be used, that is logged, and
//! the current data stays. No connection ends because of a reload.

use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::auth::Auth;
use crate::shared::Shared;

/// Reads the certificates again. The error, which is also logged, says why the current ones stay.
pub(crate) fn certificates(shared: &Shared) -> Result<(), String> {
    let Some(tls) = &shared.tls else {
        return Err("TLS not enabled".to_owned());
    };
    match tls.reload(shared.clock.now()) {
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

/// Reloads everything, as SIGHUP asks. `ring` wakes the keeper of the ring.
pub(crate) async fn all(shared: &Arc<Shared>, ring: Option<&Notify>) {
    if shared.tls.is_none() && shared.auth.is_none() && ring.is_none() {
        info!("SIGHUP: nothing to reload");
    }
    let reader = Arc::clone(shared);
    let reading = tokio::task::spawn_blocking(move || {
        if reader.tls.is_some() {
            // The error is in the log.
            let _ = certificates(&reader);
        }
        if let Some(auth) = &reader.auth {
            users(auth);
        }
    });
    // This fails only if the runtime ends.
    let _ = reading.await;
    if let Some(ring) = ring {
        ring.notify_one();
    }
}
