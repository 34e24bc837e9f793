//! Random histories of a full store, checked against a model.
//!
//! The store's budget is small, so items are evicted and segments are sealed, compacted and reused
//! all the time, while keys are flushed, forgotten and swept and the budget itself changes. An
//! observer reports which items were evicted, and in which state, so the model ([`model`]) stays
//! exact: a living item that was not evicted is there, with its value, flags, CAS unique, expiry
//! and marks, and an evicted item was the last state of its key. With evictions off, nothing may be
//! missing at all.
//!
//! The same code runs in tests, in the example `histories` and under the fuzzer.

#![allow(dead_code, reason = "no user of this uses all of it")]

pub(crate) mod choices;
mod held;
pub(crate) mod kinds;
pub(crate) mod model;
mod restoring;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ringbinder_store::{
    Counters, Evicted, KeyPredicate, MAX_KEY_LEN, Meta, Miss, NewValue, Readiness, ResizeResult,
    Seconds, SegmentStore, Store, WriteResult,
};

use self::choices::{Choices, Mix, Op};
use self::held::Holding;
use self::kinds::Kind;
use self::model::{Answer, Item, KeyOp, Step};
use self::restoring::Restoring;

/// Start time of a history.
const START: Seconds = 1_700_000_000;

/// Counts of the events in a history.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) hits: u64,
    pub(crate) stored: u64,
    pub(crate) evicted: u64,
    pub(crate) evicted_large: u64,
    pub(crate) reclaimed: u64,
    pub(crate) refused: u64,
    pub(crate) too_large: u64,
    pub(crate) sweeps: u64,
    pub(crate) flushes: u64,
    pub(crate) forgets: u64,
    pub(crate) resizes: u64,
    pub(crate) visits: u64,
    pub(crate) recounts: u64,
    pub(crate) restored: u64,
    pub(crate) outdated: u64,
}

/// An evicted item.
struct Gone {
    key: Vec<u8>,
    len: usize,
    meta: Meta,
}

type Predicate = dyn Fn(&[u8]) -> bool + Send + Sync;

/// A store, its expected state, and the counts of the history.
pub(crate) struct History {
    store: SegmentStore,
    mix: Mix,
    max_item: u64,
    evicts: bool,
    gone: Arc<Mutex<Vec<Gone>>>,
    names: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u32>,
    items: HashMap<u32, Item>,
    last_cas: u64,
    era: u32,
    flush_due: Option<Seconds>,
    forgets: Vec<Weak<Predicate>>,
    now: Seconds,
    budget: u64,
    /// The expected most bytes: above the budget if it was lowered while evictions are off.
    ceiling: u64,
    /// Items stored, and items removed, since the counters were reset.
    entered: u64,
    removed: u64,
    total: u64,
    refused: u64,
    evicted: u64,
    restoring: Option<Restoring>,
    holding: Holding,
    tally: Tally,
}

impl History {
    pub(crate) fn new(kind: &Kind, seed: u64) -> History {
        let gone = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&gone);
        let observer = move |evicted: Evicted<'_>| {
            let Evicted { key, len, meta } = evicted;
            let mut gone = noted.lock().unwrap_or_else(PoisonError::into_inner);
            gone.push(Gone { key: key.to_vec(), len, meta });
        };
        let holding = Holding::default();
        let store =
            kind.store(seed, Box::new(observer)).with_outside(Arc::clone(holding.outside()));
        let names: Vec<_> = (0..kind.mix.keys).map(name).collect();
        let numbers = names.iter().cloned().zip(0..).collect();
        let budget = store.counters().max_bytes;
        History {
            store,
            mix: kind.mix.clone(),
            max_item: kind.limits.max_item,
            evicts: kind.limits.evict,
            gone,
            names,
            numbers,
            items: HashMap::new(),
            last_cas: 0,
            era: 0,
            flush_due: None,
            forgets: Vec::new(),
            now: START,
            budget,
            ceiling: budget,
            entered: 0,
            removed: 0,
            total: 0,
            refused: 0,
            evicted: 0,
            restoring: None,
            holding,
            tally: Tally::default(),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Performs the next operation and panics if the store deviates from the model.
    pub(crate) fn step(&mut self, choices: &mut impl Choices) {
        let op = self.mix.next(choices, self.now, |key| self.items.get(&key));
        self.tally.steps += 1;
        self.apply_due();
        match op {
            Op::Key(key, op) => self.step_on_key(key, &op),
            Op::Forget(one, of) => self.forget(one, of),
            Op::Flush(after) => self.flush(after),
            Op::Sweep => self.sweep(),
            Op::Resize(bytes) => self.resize(bytes),
            Op::ForEach => self.visit(),
            Op::ResetCounters => self.reset_counters(),
            Op::Validate => {
                self.store.validate(self.now);
                self.tally.recounts += 1;
            }
            Op::Restore => self.restore_or_stop(choices),
            Op::Pass(seconds) => self.now += seconds,
        }
        self.restore_some(choices);
        self.check_counters();
        self.holding.check();
    }

    /// Checks everything.
    pub(crate) fn finish(&mut self) {
        self.apply_due();
        self.stop_restoring();
        self.visit();
        self.sweep();
        self.store.validate(self.now);
        self.visit();
        self.check_counters();
        self.holding.check_reached(&self.store, self.now, true);
        self.holding.let_go_of_all();
    }

    fn apply_due(&mut self) {
        if self.flush_due.is_some_and(|due| due <= self.now) {
            self.flush_due = None;
            self.era += 1;
        }
    }

    fn step_on_key(&mut self, key: u32, op: &KeyOp) {
        self.note_use(key, op);
        let name = self.names[key as usize].clone();
        let before = self.store.counters();
        let seen = self.ask(&name, op);
        let mut own = self.take_gone(Some(&name));
        assert!(own.len() < 2, "{key} was given up twice in {op:?}");
        let own = own.pop();
        let refused = self.store.counters().out_of_memory > before.out_of_memory;
        // The item evicted during this operation was evicted before it, or after it if it took more
        // memory than expected.
        let orders: &[(bool, bool)] =
            if own.is_some() { &[(true, false), (false, true)] } else { &[(false, false)] };
        let mut expectations = Vec::new();
        let mut agreed = None;
        for &(first, last) in orders {
            let mut state = self.items.get(&key).cloned();
            let (mut last_cas, mut total) = (self.last_cas, self.total);
            if first && !leaves(&mut state, own.as_ref(), self.era, self.now) {
                continue;
            }
            let was_live = is_live(state.as_ref(), self.era, self.now);
            let step = Step {
                key_len: name.len(),
                state: &mut state,
                last_cas: &mut last_cas,
                total: &mut total,
                era: self.era,
                max_item: self.max_item,
                now: self.now,
            };
            let expected = if refused { step.refuse(op) } else { step.take(op) };
            let enters = total > self.total && !was_live;
            let removes = was_live && state.is_none();
            let left = !last || leaves(&mut state, own.as_ref(), self.era, self.now);
            if left && agrees(&seen, &expected) {
                agreed = Some((state, last_cas, total, enters, removes));
                break;
            }
            expectations.push(expected);
        }
        let Some((state, last_cas, total, enters, removes)) = agreed else {
            let item = self.items.get(&key);
            panic!(
                "key {key} at {} answered {seen:?}, expected {expectations:?}\nasked {}\nbefore \
                 {:?}, era {}; given up meanwhile: {}",
                self.now,
                shortened(op),
                item.map(|item| (item.value.len(), item.meta, item.era, item.lost)),
                self.era,
                own.is_some(),
            );
        };
        (self.last_cas, self.total) = (last_cas, total);
        self.entered += u64::from(enters);
        self.removed += u64::from(removes);
        if refused {
            self.refused += 1;
            self.tally.refused += 1;
            self.check_refusal(op, &name, before);
        }
        self.tally.hits += u64::from(matches!(seen, Answer::Read(Ok(_)) | Answer::Touched(true)));
        self.tally.stored += u64::from(matches!(seen, Answer::Written(WriteResult::Stored { .. })));
        self.tally.too_large += u64::from(seen == Answer::Written(WriteResult::TooLarge));
        match state {
            Some(item) => self.items.insert(key, item),
            None => self.items.remove(&key),
        };
    }

    fn ask(&mut self, name: &[u8], op: &KeyOp) -> Answer {
        let (store, now, holding) = (&self.store, self.now, &mut self.holding);
        let outside = Arc::clone(holding.outside());
        let all = |item: &dyn ringbinder_store::ItemRef| {
            assert_eq!(item.key(), name);
            holding.meet(item);
            (item.value().to_vec(), item.meta(), false)
        };
        match op {
            KeyOp::Get => Answer::Read(store.get(name, now, all)),
            KeyOp::Peek => Answer::Read(store.peek(name, now, all)),
            KeyOp::GetAndTouch(expiry) => {
                Answer::Read(store.get_and_touch(name, *expiry, now, all))
            }
            KeyOp::Touch(expiry) => Answer::Touched(store.touch(name, *expiry, now)),
            KeyOp::MetaGet { how, expiry, win } => {
                Answer::Read(store.meta_get(name, *how, true, now, |item, is_new| {
                    if let Some(expiry) = *expiry {
                        item.set_expiry(expiry);
                    }
                    if *win {
                        item.set_win_sent();
                    }
                    (item.value().to_vec(), item.meta(), is_new)
                }))
            }
            KeyOp::Write { .. } => {
                let mut write = op.to_write(name, &outside).expect("a write");
                if let NewValue::Large(value) = &mut write.value {
                    while store.make_ready(name, write.mode, value, now) == Readiness::Unfinished {}
                }
                Answer::Written(store.write(write, now))
            }
            KeyOp::Arithmetic(how) => {
                let read = |item: &mut dyn ringbinder_store::ItemMut, number, _| {
                    (item.value().to_vec(), item.meta(), number)
                };
                Answer::Counted(store.arithmetic(name, *how, false, now, read))
            }
            KeyOp::Delete(how) => Answer::Deleted(store.delete(name, *how, now)),
        }
    }

    /// An operation may find no room only if there is hardly any.
    fn check_refusal(&self, op: &KeyOp, name: &[u8], before: Counters) {
        let part = match op {
            KeyOp::Write { value, .. } => value.len(),
            _ => 20,
        };
        let there = self.numbers.get(name).and_then(|key| self.items.get(key));
        let wanted = (part + name.len() + 100 + there.map_or(0, |item| item.value.len())) as u64;
        // Allow for the bookkeeping of large values.
        let wanted = wanted + wanted / 8;
        if self.evicts {
            assert!(wanted > self.budget / 4, "no room for {wanted} bytes in {}", self.budget);
        } else {
            let used = before.bytes + wanted;
            assert!(used > self.budget / 100 * 80, "no room in {} with {used}", self.budget);
        }
    }

    /// Records evicted items. Returns those under the key `own` instead.
    fn take_gone(&mut self, own: Option<&[u8]>) -> Vec<Gone> {
        let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rest = Vec::new();
        for gone in gone {
            assert!(self.evicts, "an item was given up where nothing is");
            self.evicted += 1;
            self.tally.evicted += 1;
            self.tally.evicted_large += u64::from(gone.len > 10_000);
            if own == Some(&gone.key) {
                self.note_gone(self.numbers[&gone.key]);
                rest.push(gone);
                continue;
            }
            let key = self.numbers[&gone.key];
            self.note_gone(key);
            let mut state = self.items.remove(&key);
            let before = state.as_ref().map(|item| (item.value.len(), item.meta));
            assert!(
                leaves(&mut state, Some(&gone), self.era, self.now),
                "key {key} was given up as {:?}, was {before:?}",
                (gone.len, gone.meta),
            );
        }
        rest
    }

    fn forget(&mut self, one: u32, of: u32) {
        let lost: KeyPredicate = Arc::new(move |name| hash(name) % u64::from(of) == u64::from(one));
        for (key, item) in &mut self.items {
            item.lost |= lost(&self.names[*key as usize]);
        }
        self.note_forgotten(&lost);
        self.forgets.push(Arc::downgrade(&lost));
        self.store.forget(lost, self.now);
        self.tally.forgets += 1;
    }

    fn flush(&mut self, after: Seconds) {
        self.store.flush(self.now + after, self.now);
        self.flush_due = None;
        if after == 0 {
            self.era += 1;
            self.last_cas += 1;
        } else {
            self.flush_due = Some(self.now + after);
        }
        self.tally.flushes += 1;
    }

    fn sweep(&mut self) {
        let before = self.store.counters();
        let swept = self.store.sweep(self.now);
        let after = self.store.counters();
        assert_eq!(before.items - after.items, swept, "a sweep tells how many went");
        let (era, now) = (self.era, self.now);
        self.items.retain(|_, item| item.dead(era, now).is_none());
        assert_eq!(after.items, self.items.len() as u64, "after a sweep only the living are there");
        let kept = self.forgets.drain(..).filter(|lost| lost.upgrade().is_some()).count();
        assert_eq!(kept, 0, "a predicate is kept after a sweep");
        self.tally.sweeps += 1;
    }

    fn resize(&mut self, bytes: u64) {
        let charged = self.store.counters().bytes;
        // A resize does not know the time: apply a due flush first.
        self.store.forget(Arc::new(|_| false), self.now);
        assert_eq!(self.store.resize(bytes), ResizeResult::Done);
        self.budget = bytes;
        // With evictions off there may be more than the budget: an expiry kept beside an item
        // becomes part of the record, and is charged, when the record is moved.
        self.ceiling = if self.evicts { bytes } else { bytes.max(charged + charged / 64) };
        self.take_gone(None);
        self.store.validate(self.now);
        self.tally.resizes += 1;
    }

    fn visit(&mut self) {
        let mut met = HashMap::new();
        self.store.for_each(self.now, &mut |item| {
            let key = self.numbers[item.key()];
            let known = &self.items[&key];
            assert_eq!(known.meta, item.meta(), "key {key} is visited with other metadata");
            assert!(known.value == item.value().to_vec(), "key {key} is visited with other bytes");
            *met.entry(key).or_insert(0) += 1;
            true
        });
        for (key, item) in &self.items {
            let times = u32::from(is_live(Some(item), self.era, self.now));
            assert_eq!(met.get(key).copied().unwrap_or(0), times, "visits of key {key}");
        }
        self.holding.check_reached(&self.store, self.now, false);
        self.tally.visits += 1;
    }

    fn reset_counters(&mut self) {
        let before = self.store.counters();
        self.store.reset_counters();
        // The present items have entered and not left.
        (self.entered, self.removed, self.evicted, self.refused) = (before.items, 0, 0, 0);
    }

    fn check_counters(&mut self) {
        let counters = self.store.counters();
        let Counters { items, bytes, max_bytes, evictions, reclaimed, .. } = counters;
        assert_eq!(max_bytes, self.budget);
        assert!(bytes <= self.ceiling, "{bytes} are charged of {}", self.budget);
        assert_eq!(
            items + evictions + reclaimed + self.removed,
            self.entered,
            "what came is there or left: {counters:?}, {} removed",
            self.removed
        );
        assert_eq!((evictions, counters.total_items), (self.evicted, self.total));
        assert_eq!(counters.out_of_memory, self.refused);
        assert!(counters.evicted_unfetched <= evictions && counters.evicted_nonzero <= evictions);
        assert!(counters.sweep_reclaimed <= reclaimed && counters.expired_unfetched <= reclaimed);
        // Dead items may be gone already; no others are.
        assert!(items <= self.items.len() as u64, "there are more items than were stored");
        self.tally.reclaimed = self.tally.reclaimed.max(reclaimed);
    }
}

fn is_live(item: Option<&Item>, era: u32, now: Seconds) -> bool {
    item.is_some_and(|item| item.dead(era, now).is_none())
}

/// Removes an evicted item. Returns whether that is valid: the item was alive, and in the reported
/// state. A shard without recent operations may not know yet which items are too old, so it may
/// evict those as well.
fn leaves(state: &mut Option<Item>, gone: Option<&Gone>, era: u32, now: Seconds) -> bool {
    let (Some(item), Some(gone)) = (state.take(), gone) else { return false };
    matches!(item.dead(era, now), None | Some(Miss::Expired))
        && item.meta == gone.meta
        && item.value.len() == gone.len
}

/// Whether an answer is the expected one. A dead item may already be gone when an operation meets
/// it.
fn agrees(seen: &Answer, expected: &Answer) -> bool {
    match (seen, expected) {
        (Answer::Read(Err(Miss::Absent)), Answer::Read(Err(_))) => true,
        (seen, expected) => seen == expected,
    }
}

fn shortened(op: &KeyOp) -> String {
    let mut text = format!("{op:?}");
    text.truncate(600);
    text
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The name of a key: most are short, and some have the maximum length.
fn name(key: u32) -> Vec<u8> {
    let mut name = key.to_string().into_bytes();
    let longest = if key % 8 == 7 { MAX_KEY_LEN } else { 24 };
    let len = name.len().max(key as usize * 31 % longest);
    name.resize(len, b'.');
    if key % 97 == 13 {
        name.resize(MAX_KEY_LEN, b'!');
    }
    name
}

/// Runs `steps` steps of a kind. Returns the counts of events.
pub(crate) fn run(kind: &Kind, seed: u64, steps: u64) -> Tally {
    let mut history = History::new(kind, seed);
    let mut random = choices::Random(seed);
    for _ in 0..steps {
        history.step(&mut random);
    }
    history.finish();
    history.tally()
}
