//! The exit codes of `ringbinderd`, by which a service manager or a script can tell causes apart.
//!
//! The numbers are those of `sysexits.h`, as memcached uses them: 64 for an invalid command line, 67
//! for an unknown user, 71 for a port in use. Every error type of this crate that may end the
//! process maps to one of these in an `exit_code` method; no other code picks a number.

/// The reason why the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Stopped on request, or printed the requested text.
    Ok = 0,
    /// A failure that none of the other codes describes.
    Failure = 1,
    /// The command line is wrong.
    Usage = 64,
    /// The user to run as does not exist.
    NoUser = 67,
    /// The operating system refused: an address in use, too few open files, no core dumps.
    OsError = 71,
    /// A file that must be written, such as the pid file or the snapshot, cannot be.
    CannotCreate = 73,
    /// A permission is missing.
    NoPermission = 77,
    /// The settings file or an environment variable is wrong, or the ring, or a file of secrets,
    /// certificates or users.
    Config = 78,
}

impl ExitCode {
    /// Every code with its meaning, in ascending order, for `--help` and the manual.
    pub(crate) const ALL: [(ExitCode, &'static str); 8] = [
        (ExitCode::Ok, "stopped on request"),
        (ExitCode::Failure, "any other failure"),
        (ExitCode::Usage, "invalid command line"),
        (ExitCode::NoUser, "unknown user for -u"),
        (ExitCode::OsError, "the system refused: address in use, too few open files"),
        (ExitCode::CannotCreate, "the pid file or the snapshot cannot be written"),
        (ExitCode::NoPermission, "permission denied"),
        (
            ExitCode::Config,
            "invalid settings file, environment variable, ring, certificate or users file",
        ),
    ];

    /// The number that the shell sees.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn the_numbers_are_those_of_sysexits() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|(code, _)| code.number()).collect();
        assert_eq!(numbers, [0, 1, 64, 67, 71, 73, 77, 78]);
    }
}
