//! Targets of a load: servers, and the keys requested from each.

use std::net::SocketAddr;
use std::sync::Arc;

/// The requested subset of a load's keys, by number from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// All keys up to this number.
    UpTo(u64),
    /// Exactly these keys.
    Chosen(Arc<[u64]>),
}

impl Numbers {
    /// Number of keys in the subset.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::UpTo(last) => *last,
            Self::Chosen(numbers) => numbers.len() as u64,
        }
    }

    /// The key at this index, from 0 on; `None` beyond the last.
    pub(super) fn at(&self, place: u64) -> Option<u64> {
        match self {
            Self::UpTo(last) => (place < *last).then_some(place + 1),
            Self::Chosen(numbers) => numbers.get(usize::try_from(place).ok()?).copied(),
        }
    }
}

/// One server of a load. The load's connections are assigned to its targets in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its address.
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
