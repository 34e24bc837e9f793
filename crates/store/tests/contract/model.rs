//! Random histories: an engine and a plain map get the same requests and must give the same
//! answers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringbinder_store::{
    Arithmetic, ArithmeticResult, Delete, DeleteResult, Expiry, KeyPredicate, Limits, Meta,
    MetaGet, Miss, Mode, NewValue, Seconds, Store, Write, WriteResult,
};

use super::{NOW, roomy};

#[derive(Clone, Debug)]
struct Item {
    value: Vec<u8>,
    meta: Meta,
    /// Number of flushes before the item was stored.
    era: u32,
    /// Whether the item was there when its key was forgotten.
    lost: bool,
}

#[derive(Default)]
struct Model {
    items: HashMap<u8, Item>,
    last_cas: u64,
    era: u32,
    flush_due: Option<Seconds>,
    /// The forgets since the last sweep.
    forgets: Vec<Weak<Predicate>>,
}

type Predicate = dyn Fn(&[u8]) -> bool + Send + Sync;

#[derive(Clone, Debug)]
enum Op {
    Get,
    Peek,
    GetAndTouch(Expiry),
    Touch(Expiry),
    MetaGet {
        bump: bool,
        vivify: bool,
        expiry: Option<Expiry>,
        win: bool,
    },
    Write {
        mode: Mode,
        value: Vec<u8>,
        flags: u32,
        expiry: Expiry,
        compare: Compare,
        stale: bool,
        vivify: Option<Expiry>,
        chosen: bool,
    },
    Arithmetic {
        increment: bool,
        delta: u64,
        compare: Compare,
        vivify: Option<u64>,
    },
    Delete {
        compare: Compare,
        mark_stale: bool,
        expiry: Option<Expiry>,
        drop_value: bool,
    },
    Flush(Seconds),
    /// Forgets the keys whose bits are set.
    Forget(u8),
    Sweep,
    Pass(Seconds),
}

/// A CAS relative to the item's own.
#[derive(Clone, Copy, Debug)]
enum Compare {
    None,
    Same,
    Lower,
    Higher,
}

fn modes() -> impl Strategy<Value = Mode> {
    use Mode::{Add, Append, Cas, Prepend, Replace, Set};
    prop::sample::select(vec![Set, Set, Add, Replace, Append, Prepend, Cas, Cas])
}

fn compares() -> impl Strategy<Value = Compare> {
    use Compare::{Higher, Lower, None, Same};
    prop::sample::select(vec![None, Same, Same, Lower, Higher])
}

fn expiries() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        3 => Just(Expiry::NEVER),
        1 => Just(Expiry::PAST),
        4 => (1..60_u32).prop_map(|after| Expiry::at(NOW + after)),
    ]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        (0..2_000_u64).prop_map(|number| number.to_string().into_bytes()),
        Just(b"99 ".to_vec()),
        Just(u64::MAX.to_string().into_bytes()),
        (1..200_usize).prop_map(|len| vec![b'v'; len]),
        (8_000..9_000_usize).prop_map(|len| vec![b'7'; len]),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let some_expiry = || prop::option::of(expiries());
    prop_oneof![
        4 => Just(Op::Get),
        1 => Just(Op::Peek),
        1 => expiries().prop_map(Op::GetAndTouch),
        1 => expiries().prop_map(Op::Touch),
        3 => (any::<bool>(), any::<bool>(), some_expiry(), any::<bool>())
            .prop_map(|(bump, vivify, expiry, win)| Op::MetaGet { bump, vivify, expiry, win }),
        8 => (modes(), values(), 0..3_u32, expiries(), compares(), any::<bool>(), some_expiry(),
              prop::bool::weighted(0.1))
            .prop_map(|(mode, value, flags, expiry, compare, stale, vivify, chosen)| {
                Op::Write { mode, value, flags, expiry, compare, stale, vivify, chosen }
            }),
        4 => (any::<bool>(), prop_oneof![0..3_u64, Just(u64::MAX)], compares(),
              prop::option::of(0..12_u64))
            .prop_map(|(increment, delta, compare, vivify)| {
                Op::Arithmetic { increment, delta, compare, vivify }
            }),
        3 => (compares(), any::<bool>(), some_expiry(), any::<bool>())
            .prop_map(|(compare, mark_stale, expiry, drop_value)| {
                Op::Delete { compare, mark_stale, expiry, drop_value }
            }),
        1 => (0..20_u32).prop_map(Op::Flush),
        2 => (0..16_u8).prop_map(Op::Forget),
        1 => Just(Op::Sweep),
        2 => (0..10_u32).prop_map(Op::Pass),
    ]
}

pub(crate) fn random_histories_match_a_model<S: Store>(make: fn(Limits) -> S) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let histories = prop::collection::vec((0..4_u8, ops()), 1..120);
    let result = runner.run(&histories, |history| {
        let store = roomy(make);
        let mut model = Model::default();
        let mut now = NOW;
        for (turn, (key, op)) in history.into_iter().enumerate() {
            if let Op::Pass(seconds) = op {
                now += seconds;
                continue;
            }
            step(&store, &mut model, key, &op, now);
            if turn % 16 == 0 {
                store.validate(now);
            }
        }
        for key in 0..4 {
            step(&store, &mut model, key, &Op::Peek, now);
        }
        store.validate(now);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

fn name(key: u8) -> Vec<u8> {
    // Two short keys and two long ones.
    vec![b'a' + key; if key < 2 { 3 } else { 100 }]
}

fn step<S: Store>(store: &S, model: &mut Model, key: u8, op: &Op, now: Seconds) {
    model.apply_due(now);
    let text = name(key);
    let cas = model.items.get(&key).map_or(3, |item| item.meta.cas);
    let compare = |compare| match compare {
        Compare::None => 0,
        Compare::Same => cas,
        Compare::Lower => cas - 1,
        Compare::Higher => cas + 1,
    };
    match op.clone() {
        Op::Get => {
            let seen = store.get(&text, now, |item| (item.value().to_vec(), item.meta()));
            assert_eq!(seen, model.read(key, now, |item| item.bump(now)), "{op:?}");
        }
        Op::Peek => {
            let seen = store.peek(&text, now, |item| (item.value().to_vec(), item.meta()));
            assert_eq!(seen.ok(), model.read(key, now, |_| ()).ok(), "{op:?}");
        }
        Op::GetAndTouch(expiry) => {
            let seen = store.get_and_touch(&text, expiry, now, |item| item.value().to_vec());
            let expected = model.read(key, now, |item| {
                item.bump(now);
                item.meta.expiry = expiry;
            });
            assert_eq!(seen, expected.map(|(value, _)| value), "{op:?}");
        }
        Op::Touch(expiry) => {
            let expected = model.read(key, now, |item| {
                item.bump(now);
                item.meta.expiry = expiry;
            });
            assert_eq!(store.touch(&text, expiry, now), expected.is_ok(), "{op:?}");
        }
        Op::MetaGet { bump, vivify, expiry, win } => {
            let how = MetaGet { bump, vivify, new_cas: None };
            let seen = store.meta_get(&text, how, true, now, |item, is_new| {
                if let Some(expiry) = expiry {
                    item.set_expiry(expiry);
                }
                if win {
                    item.set_win_sent();
                }
                (item.value().to_vec(), item.meta(), is_new)
            });
            let expected = model.meta_get(key, how, expiry, win, now);
            match vivify {
                true => assert_eq!(seen, expected, "{op:?}"),
                false => assert_eq!(seen.ok(), expected.ok(), "{op:?}"),
            }
        }
        Op::Write { mode, value, flags, expiry, compare: with, stale, vivify, chosen } => {
            let write = Write {
                key: &text,
                value: NewValue::Slice(&value),
                flags,
                expiry,
                mode,
                compare: compare(with),
                new_cas: chosen.then_some(1 << 40),
                accept_stale: stale,
                vivify: vivify.filter(|_| matches!(mode, Mode::Append | Mode::Prepend)),
                binary_key: flags == 2,
            };
            let expected = model.write(key, &write, now);
            assert_eq!(store.write(write, now), expected, "{op:?}");
        }
        Op::Arithmetic { increment, delta, compare: with, vivify } => {
            let compare = compare(with);
            let how = Arithmetic { increment, delta, compare, new_cas: None, vivify };
            let seen = store.arithmetic(&text, how, false, now, |item, number, is_new| {
                (item.value().to_vec(), item.meta(), number, is_new)
            });
            assert_eq!(seen, model.arithmetic(key, how, now), "{op:?}");
        }
        Op::Delete { compare: with, mark_stale, expiry, drop_value } => {
            let compare = (!matches!(with, Compare::None)).then(|| compare(with));
            let drop_value = drop_value.then_some(7);
            let how = Delete { compare, mark_stale, expiry, drop_value, new_cas: None };
            assert_eq!(store.delete(&text, how, now), model.delete(key, how, now), "{op:?}");
        }
        Op::Flush(after) => {
            store.flush(now + after, now);
            model.flush(now + after, now);
        }
        Op::Forget(keys) => {
            let lost: KeyPredicate = Arc::new(move |text| keys >> (text[0] - b'a') & 1 == 1);
            model.forget(&lost);
            store.forget(lost, now);
        }
        Op::Sweep => {
            let swept = store.sweep(now);
            let before = model.items.len();
            let era = model.era;
            model.items.retain(|_, item| item.dead(era, now).is_none());
            assert_eq!(swept, (before - model.items.len()) as u64);
            let pending = model.forgets.drain(..).filter(|lost| lost.upgrade().is_some()).count();
            assert_eq!(pending, 0, "a predicate is kept after a sweep");
        }
        Op::Pass(_) => {}
    }
    assert_eq!(store.counters().items, model.items.len() as u64, "{op:?}");
}

impl Item {
    fn dead(&self, era: u32, now: Seconds) -> Option<Miss> {
        if self.era != era {
            Some(Miss::Flushed)
        } else if self.lost {
            Some(Miss::Absent)
        } else if self.meta.expiry.is_past(now) {
            Some(Miss::Expired)
        } else {
            None
        }
    }

    fn bump(&mut self, now: Seconds) {
        self.meta.fetched = true;
        self.meta.last_access = now;
    }
}

impl Model {
    fn apply_due(&mut self, now: Seconds) {
        if self.flush_due.is_some_and(|due| due <= now) {
            self.flush_due = None;
            self.era += 1;
        }
    }

    fn flush(&mut self, at: Seconds, now: Seconds) {
        self.flush_due = None;
        if at <= now {
            self.era += 1;
            self.last_cas += 1;
        } else {
            self.flush_due = Some(at);
        }
    }

    fn forget(&mut self, lost: &KeyPredicate) {
        for (key, item) in &mut self.items {
            item.lost |= lost(&name(*key));
        }
        self.forgets.push(Arc::downgrade(lost));
    }

    fn cas(&mut self, chosen: Option<u64>) -> u64 {
        chosen.unwrap_or_else(|| {
            self.last_cas += 1;
            self.last_cas
        })
    }

    /// The living item; removes a dead one.
    fn live(&mut self, key: u8, now: Seconds) -> Result<&mut Item, Miss> {
        let Some(item) = self.items.get(&key) else { return Err(Miss::Absent) };
        if let Some(miss) = item.dead(self.era, now) {
            self.items.remove(&key);
            return Err(miss);
        }
        Ok(self.items.get_mut(&key).expect("just seen"))
    }

    /// The value and metadata as a reader sees them, before `change`. A peek at the store leaves a
    /// dead item in place, while the model removes it: no later operation can tell the difference.
    fn read(
        &mut self,
        key: u8,
        now: Seconds,
        change: impl FnOnce(&mut Item),
    ) -> Result<(Vec<u8>, Meta), Miss> {
        let item = self.live(key, now)?;
        let seen = (item.value.clone(), item.meta);
        change(item);
        Ok(seen)
    }

    fn store(&mut self, key: u8, value: Vec<u8>, now: Seconds) -> &mut Item {
        let meta = Meta {
            flags: 0,
            cas: 0,
            expiry: Expiry::NEVER,
            last_access: now,
            fetched: false,
            stale: false,
            win_sent: false,
            binary_key: false,
        };
        self.items.insert(key, Item { value, meta, era: self.era, lost: false });
        self.items.get_mut(&key).expect("just stored")
    }

    fn meta_get(
        &mut self,
        key: u8,
        how: MetaGet,
        expiry: Option<Expiry>,
        win: bool,
        now: Seconds,
    ) -> Result<(Vec<u8>, Meta, bool), Miss> {
        let is_new = match self.live(key, now) {
            Ok(_) => false,
            Err(miss) if !how.vivify => return Err(miss),
            Err(_) => {
                let cas = self.cas(how.new_cas);
                let item = self.store(key, Vec::new(), now);
                item.meta.cas = cas;
                item.meta.binary_key = true;
                true
            }
        };
        let item = self.items.get_mut(&key).expect("there or made");
        item.meta.expiry = expiry.unwrap_or(item.meta.expiry);
        item.meta.win_sent |= win;
        let seen = (item.value.clone(), item.meta, is_new);
        if how.bump {
            item.bump(now);
        }
        Ok(seen)
    }

    fn write(&mut self, key: u8, write: &Write<'_>, now: Seconds) -> WriteResult {
        let old = self.live(key, now).ok().cloned();
        let mut value = write.value.to_vec();
        let mut kept = None;
        let mut is_stale = false;
        match (&old, write.mode) {
            (None, Mode::Set | Mode::Add) | (Some(_), Mode::Set | Mode::Replace) => {}
            (None, Mode::Append | Mode::Prepend) if write.vivify.is_some() => {}
            (None, Mode::Cas) => return WriteResult::NotFound,
            (None, _) => return WriteResult::NotStored,
            (Some(_), Mode::Add) => {
                self.live(key, now).expect("alive").meta.last_access = now;
                return WriteResult::NotStored;
            }
            (Some(old), Mode::Cas) => {
                is_stale = write.accept_stale && write.compare < old.meta.cas;
                if write.compare == 0 || (write.compare != old.meta.cas && !is_stale) {
                    return WriteResult::Exists;
                }
            }
            (Some(old), mode) => {
                if write.compare != 0 && write.compare != old.meta.cas {
                    return WriteResult::Exists;
                }
                value = match mode {
                    Mode::Append => [&old.value[..], &value].concat(),
                    _ => [&value[..], &old.value].concat(),
                };
                kept = Some(old.meta);
            }
        }
        let cas = self.cas(write.new_cas);
        let len = value.len();
        let item = self.store(key, value, now);
        item.meta.cas = cas;
        item.meta.flags = kept.map_or(write.flags, |meta| meta.flags);
        item.meta.expiry = kept.map_or(write.vivify.unwrap_or(write.expiry), |meta| meta.expiry);
        item.meta.binary_key = write.binary_key || kept.is_some_and(|meta| meta.binary_key);
        if let (true, Some(old)) = (is_stale, old) {
            item.meta.stale = true;
            item.meta.expiry = old.meta.expiry;
            item.meta.win_sent = old.meta.win_sent;
        }
        WriteResult::Stored { cas, len }
    }

    fn arithmetic(
        &mut self,
        key: u8,
        how: Arithmetic,
        now: Seconds,
    ) -> ArithmeticResult<(Vec<u8>, Meta, u64, bool)> {
        let Some(old) = self.live(key, now).ok().cloned() else {
            let Some(initial) = how.vivify else { return ArithmeticResult::NotFound };
            let cas = self.cas(how.new_cas);
            let item = self.store(key, initial.to_string().into_bytes(), now);
            item.meta.cas = cas;
            return ArithmeticResult::Created((item.value.clone(), item.meta, initial, true));
        };
        if old.value.is_empty() {
            return ArithmeticResult::NonNumeric;
        }
        if how.compare != 0 && how.compare != old.meta.cas {
            return ArithmeticResult::Exists;
        }
        // In these histories, the end or a space follows a number.
        let text = String::from_utf8_lossy(&old.value);
        let Ok(number) = text.split(' ').next().unwrap_or("").parse::<u64>() else {
            return ArithmeticResult::NonNumeric;
        };
        let number = match how.increment {
            true => number.wrapping_add(how.delta),
            false => number.saturating_sub(how.delta),
        };
        let digits = number.to_string();
        let cas = self.cas(how.new_cas);
        let era = self.era;
        let item = if digits.len() <= old.value.len() {
            let value = format!("{digits:<width$}", width = old.value.len()).into_bytes();
            self.items.insert(key, Item { value, era, ..old });
            self.items.get_mut(&key).expect("just stored")
        } else {
            let item = self.store(key, digits.into_bytes(), now);
            item.meta.flags = old.meta.flags;
            item.meta.expiry = old.meta.expiry;
            item.meta.binary_key = old.meta.binary_key;
            item
        };
        item.meta.cas = cas;
        item.meta.last_access = now;
        ArithmeticResult::Done((item.value.clone(), item.meta, number, false))
    }

    fn delete(&mut self, key: u8, how: Delete, now: Seconds) -> DeleteResult {
        let Some(old) = self.live(key, now).ok().cloned() else { return DeleteResult::NotFound };
        if how.compare.is_some_and(|compare| compare != old.meta.cas) {
            return DeleteResult::Exists;
        }
        if how.drop_value.is_none() && !how.mark_stale {
            self.items.remove(&key);
            return DeleteResult::Deleted { len: old.value.len() };
        }
        let cas = if how.mark_stale { self.cas(how.new_cas) } else { old.meta.cas };
        if let Some(flags) = how.drop_value {
            let item = self.store(key, Vec::new(), now);
            item.meta.flags = flags;
            item.meta.expiry = how.expiry.unwrap_or(Expiry::NEVER);
            item.meta.binary_key = old.meta.binary_key;
        }
        let item = self.items.get_mut(&key).expect("alive");
        item.meta.cas = cas;
        if how.mark_stale {
            item.meta.stale = true;
            item.meta.win_sent = false;
            item.meta.expiry = how.expiry.unwrap_or(item.meta.expiry);
        }
        DeleteResult::Deleted { len: old.value.len() }
    }
}
