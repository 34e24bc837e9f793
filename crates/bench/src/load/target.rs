//! Where the connections of a load go, and which keys they ask for there.

use std::net::SocketAddr;
use std::sync::Arc;

/// Which of a load's keys are asked for, by their numbers from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Each up to this one.
    UpTo(u64),
    /// These.
    Chosen(Arc<[u64]>),
}

impl Numbers {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::UpTo(last) => *last,
            Self::Chosen(numbers) => numbers.len() as u64,
        }
    }

    /// One of them, by its place from 0 on; None beyond the last.
    pub(super) fn at(&self, place: u64) -> Option<u64> {
        match self {
            Self::UpTo(last) => (place < *last).then_some(place + 1),
            Self::Chosen(numbers) => numbers.get(usize::try_from(place).ok()?).copied(),
        }
    }
}

/// One server of a load. The load's connections are dealt out to its targets in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The keys that its connections ask for.
    pub(crate) numbers: Numbers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let all = Numbers::UpTo(2);
        assert_eq!((all.count(), all.at(0), all.at(1), all.at(2)), (2, Some(1), Some(2), None));
        let some = Numbers::Chosen([7, 3].into());
        assert_eq!((some.count(), some.at(0), some.at(1), some.at(2)), (2, Some(7), Some(3), None));
        assert_eq!(Numbers::Chosen([].into()).at(0), None);
    }
}
