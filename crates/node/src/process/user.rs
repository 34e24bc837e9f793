//! Gives up root for the user named with `-u`.
//!
//! This happens after the listeners are bound, because only root may bind a port below 1024, and
//! before the first client is served. Supplementary groups are dropped first, then the group, then
//! the user: in the other order, the process would lose the right to drop the rest.

use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{Uid, User, initgroups, setgid, setuid};

use super::exit::ExitCode;

/// The user of the process after [`drop_privileges`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunsAs {
    /// Started without root: `-u` has no effect, as in memcached.
    Unprivileged,
    /// Still root, because no other user was named, or because root was named.
    Root {
        /// A warning for the operator; `None` if root was named with `-u root`.
        warning: Option<String>,
    },
    /// No longer root.
    Dropped {
        /// The user's name.
        user: String,
        /// The user's number.
        uid: u32,
        /// The number of the user's own group.
        gid: u32,
        /// A warning for the operator, if the supplementary groups could not be changed.
        warning: Option<String>,
    },
}

/// The reason why the process could not become the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    /// No account has that name.
    #[error("user '{0}' does not exist; create it, or name another with -u")]
    Unknown(String),
    /// The account database could not be read.
    #[error("cannot look up user '{user}': {source}")]
    Lookup {
        /// The requested name.
        user: String,
        /// The system's error.
        source: Errno,
    },
    /// The system refused the change.
    #[error("cannot become user '{user}' ({step}): {source}; start as root or leave out -u")]
    Switch {
        /// The requested name.
        user: String,
        /// The call that failed.
        step: &'static str,
        /// The system's error.
        source: Errno,
    },
    /// The process could still become root again, so privileges were not dropped.
    #[error("became user '{0}' but could still return to root; refusing to run")]
    NotDropped(String),
}

impl UserError {
    /// The code to end the process with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unknown(_) => ExitCode::NoUser,
            Self::Lookup { .. } | Self::Switch { .. } | Self::NotDropped(_) => ExitCode::OsError,
        }
    }
}

/// Becomes `user`, if the process is root and a user is named.
///
/// Without a name, root stays root and the result has a warning. memcached refuses to start in this
/// case, which would mean that a server in a container does not start with its default settings.
pub(crate) fn drop_privileges(user: Option<&str>) -> Result<RunsAs, UserError> {
    if !Uid::current().is_root() && !Uid::effective().is_root() {
        return Ok(RunsAs::Unprivileged);
    }
    let Some(name) = user.filter(|name| !name.is_empty()) else {
        let warning =
            "running as root; name an unprivileged user with -u, or -u root to silence this";
        return Ok(RunsAs::Root { warning: Some(warning.into()) });
    };
    let account = look_up(name)?;
    if account.uid.is_root() {
        return Ok(RunsAs::Root { warning: None });
    }
    switch(&account)
}

fn look_up(name: &str) -> Result<User, UserError> {
    match User::from_name(name) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(UserError::Unknown(name.into())),
        Err(source) => Err(UserError::Lookup { user: name.into(), source }),
    }
}

fn switch(account: &User) -> Result<RunsAs, UserError> {
    let user = account.name.clone();
    let failed = |step| {
        let user = user.clone();
        move |source| UserError::Switch { user, step, source }
    };
    let c_name = CString::new(user.as_str()).map_err(|_| UserError::Unknown(user.clone()))?;
    // In a user namespace, or in a container without CAP_SETGID, the groups cannot be changed,
    // although there are no privileges left to drop. memcached continues in this case too.
    let warning = match initgroups(&c_name, account.gid) {
        Ok(()) => None,
        Err(Errno::EPERM) => {
            Some(format!("the supplementary groups of user '{user}' could not be set"))
        }
        Err(source) => return Err(failed("initgroups")(source)),
    };
    setgid(account.gid).map_err(failed("setgid"))?;
    setuid(account.uid).map_err(failed("setuid"))?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(UserError::NotDropped(user));
    }
    Ok(RunsAs::Dropped { user, uid: account.uid.as_raw(), gid: account.gid.as_raw(), warning })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_user_is_named_and_has_its_own_exit_code() {
        let error = look_up("no-such-user-here").unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NoUser);
        assert!(error.to_string().contains("'no-such-user-here' does not exist"), "{error}");
    }

    #[test]
    fn without_a_name_nobody_changes() {
        let before = (Uid::current(), Uid::effective());
        let identity = drop_privileges(None).unwrap();
        assert_eq!((Uid::current(), Uid::effective()), before);
        match identity {
            RunsAs::Root { warning } => assert!(warning.unwrap().contains("-u")),
            other => assert_eq!(other, RunsAs::Unprivileged),
        }
    }

    #[test]
    fn root_asked_for_by_name_is_not_warned_about() {
        let identity = drop_privileges(Some("root")).unwrap();
        if Uid::current().is_root() {
            assert_eq!(identity, RunsAs::Root { warning: None });
        } else {
            assert_eq!(identity, RunsAs::Unprivileged);
        }
    }
}
