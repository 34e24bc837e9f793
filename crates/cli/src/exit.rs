//! The exit codes of `ringbinder`, by which a script can tell causes apart.
//!
//! The numbers from 64 to 77 come from `sysexits.h`. Every [`CliError`](crate::error::CliError) maps to one
//! of these codes; no other code picks a number.

use std::process::ExitCode;

/// The result of a command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Success: done, found, or no problems.
    Yes,
    /// Negative answer: problems found, or a missing key.
    No,
    /// Processes do not match the ring.
    WrongProcess,
}

/// The reason why the process exits; [`Exit::ALL`] has the meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    No = 1,
    Usage = 64,
    Data = 65,
    NoInput = 66,
    Unavailable = 69,
    Os = 71,
    CannotCreate = 73,
    Io = 74,
    TryAgain = 75,
    Protocol = 76,
    NoPermission = 77,
    Identity = 78,
    Interrupted = 130,
}

impl Exit {
    /// All codes with their meanings, in ascending order, as `--help` and the manual list them.
    pub(crate) const ALL: [(Exit, &'static str); 14] = [
        (Exit::Ok, "done"),
        (
            Exit::No,
            "the answer is no: a check found a problem, a key does not exist, a node refused, or \
             a benchmark result is flagged",
        ),
        (Exit::Usage, "invalid command line"),
        (
            Exit::Data,
            "invalid input: a ring, trace, certificate, login or key, or a change that does not \
             fit the ring",
        ),
        (Exit::NoInput, "missing input: a ring, a trace, or a file of certificates or logins"),
        (
            Exit::Unavailable,
            "nodes or etcd are unreachable; a server to start is missing, or it exited",
        ),
        (Exit::Os, "the operating system refused"),
        (Exit::CannotCreate, "a file cannot be written; the old one is intact"),
        (Exit::Io, "reading or printing failed"),
        (Exit::TryAgain, "another process is changing the ring: try again"),
        (
            Exit::Protocol,
            "a node sent a malformed answer, only one side uses TLS, or the node's certificate is \
             not trusted",
        ),
        (
            Exit::NoPermission,
            "a permission is missing, or a node requires or rejects this program's login or \
             certificate",
        ),
        (
            Exit::Identity,
            "check found a process that is not the node that the ring lists at its address, or \
             two processes for one name",
        ),
        (Exit::Interrupted, "a benchmark was interrupted; its servers are stopped"),
    ];

    /// The number that the shell sees.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_numbers_are_those_of_sysexits_and_of_shells() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.number()).collect();
        assert_eq!(numbers, [0, 1, 64, 65, 66, 69, 71, 73, 74, 75, 76, 77, 78, 130]);
    }
}
