//! Generated histories, sent to memcached and to a subject alike, every answer compared.
//!
//! A history is made of batches. In a *framed* batch each command is followed by `mn`, whose `MN`
//! separates the answers, so commands may be malformed and are compared one by one. In a *raw*
//! batch nothing stands between the commands and the whole output is compared byte for byte.

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

/// What may be sent, and how CAS numbers compare, by the memcached that is the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Up to 1.6.18 or thereabouts: meta flags that it does not know are not sent, and CAS numbers must
    /// be the very same. It refuses more lines than ringbinderd, in other words.
    Debian,
    /// 1.6.45, which ringbinderd follows: its meta flags are sent, and CAS numbers are compared by order,
    /// for it skips numbers where 1.6.18 does not.
    Latest,
}

impl Profile {
    /// The profile for a reference of this version.
    pub fn of(version: (u32, u32, u32)) -> Profile {
        if version >= (1, 6, 32) { Profile::Latest } else { Profile::Debian }
    }
}
