//! Restoring items of another store in the middle of a history.
//!
//! The model knows exactly which keys were used, evicted, flushed or forgotten since the restore
//! began. A restored item must have another key, and is there unchanged from then on. An item that
//! is left out proves nothing, since keys share marks.

use std::collections::HashSet;

use ringbinder_store::snapshot::SavedItem;
use ringbinder_store::{KeyPredicate, Meta, Restore, Restored, Store};

use super::choices::{self, Choices};
use super::model::{Item, KeyOp};
use super::{History, is_live};

/// Items of one restore.
const ITEMS: u32 = 300;

pub(crate) struct Restoring {
    restore: Restore,
    /// Items not restored yet.
    items: Vec<(u32, Vec<u8>, Meta)>,
    /// Keys that were used, or whose items were present or left, since the restore began.
    used: HashSet<u32>,
    era: u32,
}

impl History {
    pub(super) fn restore_or_stop(&mut self, choices: &mut impl Choices) {
        if self.restoring.is_some() {
            return self.stop_restoring();
        }
        let (now, longest) = (self.now, self.mix.longest.min(20_000));
        let cas = self.last_cas + 1_000;
        let items: Vec<_> = (0..ITEMS)
            .map(|_| {
                let key = choices.below(self.mix.keys);
                let value = choices::value(choices, longest);
                let marks = choices.below(16);
                let meta = Meta {
                    flags: choices.below(3),
                    cas: cas - u64::from(choices.below(999)),
                    expiry: choices::expiry(choices, now),
                    last_access: now - choices.below(1_000),
                    fetched: marks & 1 != 0,
                    stale: marks & 2 != 0,
                    win_sent: marks & 4 != 0,
                    binary_key: marks & 8 != 0,
                };
                (key, value, meta)
            })
            .collect();
        let restore = self.store.begin_restore(20 * u64::from(ITEMS), cas, now);
        let restore = restore.expect("nothing is taken up");
        self.last_cas = cas;
        // The marks take memory.
        self.take_gone(None);
        let living = |(_, item): &(&u32, &Item)| is_live(Some(item), self.era, now);
        let used = self.items.iter().filter(living).map(|(key, _)| *key).collect();
        self.restoring = Some(Restoring { restore, items, used, era: self.era });
        self.store.validate(now);
    }

    pub(super) fn stop_restoring(&mut self) {
        if self.restoring.take().is_some() {
            self.store.end_restore();
        }
    }

    pub(super) fn restore_some(&mut self, choices: &mut impl Choices) {
        if self.restoring.is_some() && choices.below(3) == 0 {
            self.apply_due();
            self.restore_one();
        }
    }

    fn restore_one(&mut self) {
        let Some(restoring) = &mut self.restoring else { return };
        let Some((key, value, meta)) = restoring.items.pop() else { return };
        let name = &self.names[key as usize];
        let item = SavedItem { key: name, value: &value, meta };
        let evictions = self.store.counters().evictions;
        let restored = self.store.restore(&restoring.restore, &item, self.now);
        assert_eq!(self.store.counters().evictions, evictions, "something was given up for it");
        if restored != Restored::Kept {
            self.tally.outdated += u64::from(restored == Restored::Outdated);
            return;
        }
        assert!(!restoring.used.contains(&key), "key {key} comes back although it was used");
        assert_eq!(restoring.era, self.era, "key {key} comes back although all was flushed");
        assert!(!meta.expiry.is_past(self.now), "key {key} comes back dead");
        restoring.used.insert(key);
        self.items.insert(key, Item { value, meta, era: self.era, lost: false });
        self.entered += 1;
        self.tally.restored += 1;
    }

    pub(super) fn note_use(&mut self, key: u32, op: &KeyOp) {
        let reads = match op {
            KeyOp::Get | KeyOp::Peek => true,
            KeyOp::MetaGet { how, .. } => !how.vivify,
            _ => false,
        };
        if !reads {
            self.note_gone(key);
        }
    }

    pub(super) fn note_gone(&mut self, key: u32) {
        if let Some(restoring) = &mut self.restoring {
            restoring.used.insert(key);
        }
    }

    pub(super) fn note_forgotten(&mut self, lost: &KeyPredicate) {
        if let Some(restoring) = &mut self.restoring {
            let lost = self.names.iter().zip(0..).filter(|(name, _)| lost(name));
            restoring.used.extend(lost.map(|(_, key)| key));
        }
    }
}
