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

/// The reason why the process exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success.
    Ok = 0,
    /// Negative answer.
    No = 1,
    /// The command line is invalid.
    Usage = 64,
    /// The input is invalid.
    Data = 65,
    /// There is no input.
    NoInput = 66,
    /// Nodes or etcd are unreachable.
    Unavailable = 69,
    /// The operating system refused.
    Os = 71,
    /// A file cannot be written.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Another process holds the lock or changed the file.
    TryAgain = 75,
    /// A node violated the protocol.
    Protocol = 76,
    /// A permission is missing.
    NoPermission = 77,
    /// A process is not the node that the ring lists at its address.
    Identity = 78,
    /// Ctrl-C, as shells number it.
    Interrupted = 130,
}

impl Exit {
    /// All codes with their meanings, in ascending order, as `--help` and the manual list them.
    pub(crate) const ALL: [(Exit, &'static str); 14] = [
        (Exit::Ok, "done"),
        (
            Exit::No,
            "the answer is no: a check found something, a key is not there, a node refuses, a \
             benchmark's figures carry a flag",
        ),
        (Exit::Usage, "wrong command line"),
        (
            Exit::Data,
            "what was read is no ring, no trace, no certificate or no login, a key is no key, a change \
             does not fit the ring",
        ),
        (Exit::NoInput, "there is no ring, no trace, or no file of certificates or logins"),
        (
            Exit::Unavailable,
            "nodes, or etcd, are away; there is no server to start, or it does not go on",
        ),
        (Exit::Os, "the system refused"),
        (Exit::CannotCreate, "a file cannot be written; the old one is intact"),
        (Exit::Io, "reading or printing failed on the way"),
        (Exit::TryAgain, "somebody else is changing the ring: try again"),
        (
            Exit::Protocol,
            "a node answers nonsense, speaks TLS where this program does not or the other way round, \
             or shows a certificate that is not trusted",
        ),
        (
            Exit::NoPermission,
            "a permission is missing; a node refuses the login or the certificate of this program, or \
             asks for one",
        ),
        (
            Exit::Identity,
            "check found a process that is not the node which the ring names at its address, or two \
             processes for one name",
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
