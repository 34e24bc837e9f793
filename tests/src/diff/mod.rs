//! Differential testing: generated histories are sent to memcached and to a subject, and all answers are
//! compared.
//!
//! A history consists of batches. In a *framed* batch each command is followed by `mn`, whose `MN` separates
//! the answers. Its commands may be malformed and are compared one by one. In a *raw* batch the commands
//! follow each other directly, and the whole output is compared byte for byte.

mod batch;
mod command;
mod errors;
mod generate;
mod meta;
mod renaming;
mod run;

pub use command::{CasPair, Command, Side};
pub use generate::Generator;
pub(crate) use meta::unbase64;
pub use renaming::Renaming;
pub use run::{Outcome, Plan, run};

/// The version of the reference, which decides which commands are sent and how CAS numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Versions up to about 1.6.18. Meta flags that they do not know are not sent, and CAS numbers must be
    /// equal. They refuse more lines than ringbinderd.
    Debian,
    /// Version 1.6.45, which ringbinderd follows. Its meta flags are sent. CAS numbers are compared by order,
    /// because it skips numbers that 1.6.18 does not.
    Latest,
}

impl Profile {
    /// The profile for a reference of this version.
    pub fn of(version: (u32, u32, u32)) -> Profile {
        if version >= (1, 6, 32) { Profile::Latest } else { Profile::Debian }
    }
}
