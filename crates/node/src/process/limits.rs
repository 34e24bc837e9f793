//! The limits that the operating system puts on the process: open files, core dumps, locked memory.
//!
//! Limits are only ever raised. memcached lowers the limit of open files to exactly `-c` and counts
//! its own descriptors against it. Here the reserve for listeners, timers and files is added, so
//! that `-c` connections really fit.

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::exit::ExitCode;

/// The reason why a limit could not be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitError {
    /// The limit could not be read.
    #[error("cannot read the limit of {what}: {source}")]
    Unreadable {
        /// The limited resource.
        what: &'static str,
        /// The system's error.
        source: Errno,
    },
    /// `-c` asks for more connections than the process may hold.
    #[error(
        "cannot serve {wanted} connections (-c): only {allowed} open files are allowed; start as \
         root, raise the limit (ulimit -n, LimitNOFILE=), or lower -c"
    )]
    OpenFiles {
        /// The requested number of connections.
        wanted: u32,
        /// The number of open files that the system grants.
        allowed: u64,
    },
    /// `-r` was given but the system forbids core files.
    #[error(
        "cannot enable core files (-r): the system forbids them; raise the limit (ulimit -c, \
         LimitCORE=) or leave out -r"
    )]
    NoCoreFiles,
}

impl LimitError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::OsError
    }
}

/// The result of [`raise_open_files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    /// The number of files that the process may hold open.
    pub(crate) limit: u64,
    /// A warning for the operator, if there is room for `-c` connections but not for the reserve.
    pub(crate) warning: Option<String>,
    /// The number of files left beyond `-c` connections and the reserve.
    pub(crate) spare: u64,
}

/// Allows the process to hold `conn_limit` connections and `reserve` other open files, and `extra`
/// more if the system permits it.
pub(crate) fn raise_open_files(
    conn_limit: u32,
    reserve: u32,
    extra: u32,
) -> Result<OpenFiles, LimitError> {
    let what = "open files";
    let read = || {
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|source| LimitError::Unreadable { what, source })
    };
    let (soft, hard) = read()?;
    let needed = u64::from(conn_limit) + u64::from(reserve) + u64::from(extra);
    if soft < needed {
        // Root may raise the hard limit as well; any other user goes as high as the hard limit.
        if setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_err() {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard);
        }
    }
    judge(read()?.0, conn_limit, reserve)
}

fn judge(limit: u64, conn_limit: u32, reserve: u32) -> Result<OpenFiles, LimitError> {
    let connections = u64::from(conn_limit);
    if limit < connections {
        return Err(LimitError::OpenFiles { wanted: conn_limit, allowed: limit });
    }
    let fits = limit.saturating_sub(u64::from(reserve));
    let warning = (fits < connections).then(|| {
        format!(
            "only {limit} open files are allowed, enough for {fits} of {conn_limit} connections \
             (-c)"
        )
    });
    let spare = limit.saturating_sub(connections + u64::from(reserve));
    Ok(OpenFiles { limit, warning, spare })
}

/// Makes core files as large as the system allows (`-r`).
pub(crate) fn raise_core_size() -> Result<(), LimitError> {
    let what = "the size of core files";
    let read = || {
        getrlimit(Resource::RLIMIT_CORE).map_err(|source| LimitError::Unreadable { what, source })
    };
    let (_, hard) = read()?;
    if setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY).is_err() {
        let _ = setrlimit(Resource::RLIMIT_CORE, hard, hard);
    }
    if read()?.0 == 0 { Err(LimitError::NoCoreFiles) } else { Ok(()) }
}

/// Keeps all memory of the process out of swap (`-k`). Returns a warning if that fails.
///
/// `needed` is the size in bytes to which the process may grow. If the limit is smaller, nothing is
/// locked: once all future memory must be locked too, the first allocation beyond the limit would
/// end the process.
pub(crate) fn lock_memory(needed: u64) -> Option<String> {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let allowed = match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((soft, _)) => soft,
        Err(error) => return Some(format!("cannot lock memory (-k): {error}")),
    };
    if let Some(warning) = too_little_to_lock(allowed, needed) {
        return Some(warning);
    }
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
        .err()
        .map(|error| format!("cannot lock memory (-k): {error}"))
}

fn too_little_to_lock(allowed: u64, needed: u64) -> Option<String> {
    (allowed < needed).then(|| {
        format!(
            "cannot lock memory (-k): only {allowed} of {needed} bytes may be locked; start as \
             root or raise the limit (ulimit -l, LimitMEMLOCK=)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_suffices_is_left_alone() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let files = raise_open_files(1, 1, 1).unwrap();
        assert_eq!(files, OpenFiles { limit: soft, warning: None, spare: soft - 2 });
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (soft, hard));
    }

    #[test]
    fn too_few_files_for_the_connections_is_an_error() {
        let error = judge(100, 1024, 32).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::OsError);
        assert!(error.to_string().starts_with("cannot serve 1024 connections (-c)"), "{error}");
    }

    #[test]
    fn too_few_files_for_the_reserve_is_a_warning() {
        let files = judge(1024, 1024, 32).unwrap();
        assert!(files.warning.unwrap().contains("992 of 1024"));
        assert_eq!(judge(1056, 1024, 32).unwrap().warning, None);
        assert_eq!(judge(1060, 1024, 32).unwrap().spare, 4);
    }

    #[test]
    fn nothing_is_locked_under_a_limit_that_the_cache_would_outgrow() {
        assert!(too_little_to_lock(65_536, 64 << 20).unwrap().contains("ulimit -l"));
        assert_eq!(too_little_to_lock(RLIM_INFINITY, 64 << 20), None);
    }
}
