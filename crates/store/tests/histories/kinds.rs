//! The kinds of stores in the histories.

use ringbinder_store::{EvictionObserver, Limits, ResizeResult, SegmentStore, Shape, Store};

use super::choices::Mix;

const MIB: u64 = 1 << 20;

/// A kind of store, and the operations on it.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) limits: Limits,
    /// Number of shards and bytes of a segment; by the budget if `None`.
    shape: Option<(usize, usize)>,
    /// The budget set before the store is used.
    resized: Option<u64>,
    pub(crate) mix: Mix,
}

impl Kind {
    pub(crate) fn store(&self, seed: u64, observer: EvictionObserver) -> SegmentStore {
        let store = match self.shape {
            None => SegmentStore::new(self.limits, Some(observer)),
            Some((shards, segment)) => {
                let shape = Shape { shards, segment, seed };
                SegmentStore::with_shape(self.limits, shape, Some(observer)).expect("a good shape")
            }
        };
        if let Some(budget) = self.resized {
            assert_eq!(store.resize(budget), ResizeResult::Done);
        }
        store
    }
}

/// All kinds.
pub(crate) fn all() -> Vec<Kind> {
    let evicting = |max_bytes| Limits { max_bytes, max_item: MIB, evict: true };
    let refusing = |max_bytes| Limits { evict: false, ..evicting(max_bytes) };
    let mix = |budgets: &[u64]| Mix {
        keys: 8_000,
        longest: 100 << 10,
        budgets: budgets.to_vec(),
        whole: 300,
    };
    let kind = |name, limits: Limits, shape, budgets: &[u64]| Kind {
        name,
        limits,
        shape,
        resized: None,
        mix: mix(budgets),
    };
    vec![
        kind("default", evicting(4 * MIB), None, &[2 * MIB, 4 * MIB, 5 * MIB]),
        kind("tiny segments", evicting(MIB), Some((1, 4 << 10)), &[MIB, 2 * MIB, MIB * 3 / 2]),
        kind("many shards", evicting(2 * MIB), Some((64, 4 << 10)), &[2 * MIB, 3 * MIB, MIB]),
        kind("large segments", evicting(4 * MIB), Some((2, 64 << 10)), &[2 * MIB, 6 * MIB]),
        Kind {
            resized: Some(MIB),
            ..kind("shrunk", evicting(256 * MIB), None, &[MIB, 2 * MIB, 4 * MIB])
        },
        Kind {
            mix: Mix { keys: 1_000, longest: 3 << 20, ..mix(&[MIB, 3 * MIB]) },
            ..kind(
                "items beyond the budget",
                Limits { max_item: 1 << 30, ..evicting(MIB) },
                Some((2, 8 << 10)),
                &[],
            )
        },
        Kind {
            mix: Mix { keys: 60_000, longest: 600, whole: 600, ..mix(&[MIB, MIB * 3 / 2]) },
            ..kind("small items", evicting(MIB), Some((4, 8 << 10)), &[])
        },
        kind("no eviction", refusing(4 * MIB), Some((1, 8 << 10)), &[4 * MIB, 5 * MIB, 2 * MIB]),
        kind("no eviction, shards", refusing(3 * MIB), Some((16, 4 << 10)), &[3 * MIB, 4 * MIB]),
        Kind {
            mix: Mix { keys: 60_000, longest: 250, whole: 600, ..mix(&[MIB, MIB * 3 / 2]) },
            ..kind("no eviction, small items", refusing(MIB), None, &[])
        },
    ]
}

/// Kinds for which a few hundred operations are enough to cause every event.
pub(crate) fn small() -> Vec<Kind> {
    let all = all().into_iter();
    let shaped = all.filter(|kind| kind.shape.is_some() || kind.resized.is_some());
    let few = |kind: Kind| Kind { mix: Mix { keys: 250, whole: 16, ..kind.mix.clone() }, ..kind };
    shaped.map(few).filter(|kind| kind.mix.longest > 600).collect()
}
