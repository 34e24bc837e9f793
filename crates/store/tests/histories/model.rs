//! The model: the state of a key, and the answer of an operation on it, as briefly as possible.
//!
//! The model has one key at a time: a [`Step`] takes the state of its key and returns the next one.
//! It knows nothing of other keys, memory or eviction.

use std::sync::Arc;

use ringbinder_store::{
    Account, Arithmetic, ArithmeticResult, Arriving, Cas, Delete, DeleteResult, Expiry, Meta,
    MetaGet, Miss, Mode, NewValue, Seconds, Write, WriteResult, memcached_item_size,
};

/// Bytes of a value in pieces that a record takes: more than in some of the stores, less than in
/// others.
const INLINE: usize = 512;

/// A longer value is not a number, as in memcached.
const MAX_NUMBER_LEN: usize = 512 * 1024;

/// An item in the model.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: Vec<u8>,
    pub(crate) meta: Meta,
    /// Number of flushes before the item was stored.
    pub(crate) era: u32,
    /// Whether the item was there when its key was forgotten.
    pub(crate) lost: bool,
}

impl Item {
    pub(crate) fn dead(&self, era: u32, now: Seconds) -> Option<Miss> {
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

/// An operation on one key.
#[derive(Clone, Debug)]
pub(crate) enum KeyOp {
    Get,
    Peek,
    GetAndTouch(Expiry),
    Touch(Expiry),
    MetaGet {
        how: MetaGet,
        expiry: Option<Expiry>,
        win: bool,
    },
    Write {
        mode: Mode,
        value: Vec<u8>,
        shared: bool,
        flags: u32,
        expiry: Expiry,
        compare: Cas,
        new_cas: Option<Cas>,
        accept_stale: bool,
        vivify: Option<Expiry>,
        binary_key: bool,
    },
    Arithmetic(Arithmetic),
    Delete(Delete),
}

impl KeyOp {
    /// The request to the store; `outside` counts a value that arrives in pieces.
    pub(crate) fn to_write<'a>(
        &'a self,
        key: &'a [u8],
        outside: &Arc<Account>,
    ) -> Option<Write<'a>> {
        let KeyOp::Write {
            mode,
            value,
            shared,
            flags,
            expiry,
            compare,
            new_cas,
            accept_stale,
            vivify,
            binary_key,
        } = self
        else {
            return None;
        };
        let value = match shared {
            true => {
                let mut arriving = Arriving::new(value.len(), INLINE, outside);
                arriving.fill(value);
                NewValue::Large(arriving.finish())
            }
            false => NewValue::Slice(value),
        };
        Some(Write {
            key,
            value,
            flags: *flags,
            expiry: *expiry,
            mode: *mode,
            compare: *compare,
            new_cas: *new_cas,
            accept_stale: *accept_stale,
            vivify: *vivify,
            binary_key: *binary_key,
        })
    }
}

/// The answer of an operation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Value, metadata, and whether this call created the item.
    Read(Result<(Vec<u8>, Meta, bool), Miss>),
    Touched(bool),
    Written(WriteResult),
    /// Value, metadata and number.
    Counted(ArithmeticResult<(Vec<u8>, Meta, u64)>),
    Deleted(DeleteResult),
}

/// One operation on a key at one moment.
pub(crate) struct Step<'a> {
    pub(crate) key_len: usize,
    pub(crate) state: &'a mut Option<Item>,
    /// The last CAS unique assigned.
    pub(crate) last_cas: &'a mut Cas,
    /// Items stored so far, as the store counts them.
    pub(crate) total: &'a mut u64,
    pub(crate) era: u32,
    pub(crate) max_item: u64,
    pub(crate) now: Seconds,
}

impl Step<'_> {
    /// Performs the operation like a store with room for everything.
    pub(crate) fn take(mut self, op: &KeyOp) -> Answer {
        match op {
            KeyOp::Get => Answer::Read(self.read(|item, now| item.bump(now))),
            KeyOp::Peek => Answer::Read(self.read(|_, _| ())),
            KeyOp::GetAndTouch(expiry) => {
                let change = |item: &mut Item, now| {
                    item.bump(now);
                    item.meta.expiry = *expiry;
                };
                let read = self.read(change);
                // The callback sees the item's later state.
                let after = self.state.as_ref().map(|item| item.meta);
                Answer::Read(read.map(|(value, meta, new)| (value, after.unwrap_or(meta), new)))
            }
            KeyOp::Touch(expiry) => {
                let now = self.now;
                let touched = self.live().map(|item| {
                    item.bump(now);
                    item.meta.expiry = *expiry;
                });
                Answer::Touched(touched.is_ok())
            }
            KeyOp::MetaGet { how, expiry, win } => Answer::Read(self.meta_get(*how, *expiry, *win)),
            KeyOp::Write { .. } => Answer::Written(self.write(op)),
            KeyOp::Arithmetic(how) => Answer::Counted(self.arithmetic(*how)),
            KeyOp::Delete(how) => Answer::Deleted(self.delete(*how)),
        }
    }

    /// Performs the operation like a store without room for it.
    pub(crate) fn refuse(self, op: &KeyOp) -> Answer {
        let (era, now) = (self.era, self.now);
        let live = self.state.as_ref().is_some_and(|item| item.dead(era, now).is_none());
        match op {
            KeyOp::Write { mode, .. } => {
                if *mode == Mode::Set {
                    *self.state = None;
                }
                Answer::Written(WriteResult::NoMemory)
            }
            KeyOp::Arithmetic(_) => Answer::Counted(ArithmeticResult::NoMemory),
            KeyOp::Delete(_) if live => {
                let len = self.state.take().map_or(0, |item| item.value.len());
                Answer::Deleted(DeleteResult::Deleted { len })
            }
            KeyOp::MetaGet { .. } if !live => Answer::Read(Err(Miss::Absent)),
            _ => self.take(op),
        }
    }

    /// The living item; removes a dead one.
    fn live(&mut self) -> Result<&mut Item, Miss> {
        let Some(item) = self.state else { return Err(Miss::Absent) };
        if let Some(miss) = item.dead(self.era, self.now) {
            *self.state = None;
            return Err(miss);
        }
        self.state.as_mut().ok_or(Miss::Absent)
    }

    fn read(
        &mut self,
        change: impl FnOnce(&mut Item, Seconds),
    ) -> Result<(Vec<u8>, Meta, bool), Miss> {
        let now = self.now;
        let item = self.live()?;
        let seen = (item.value.clone(), item.meta, false);
        change(item, now);
        Ok(seen)
    }

    fn cas(&mut self, chosen: Option<Cas>) -> Cas {
        chosen.unwrap_or_else(|| {
            *self.last_cas += 1;
            *self.last_cas
        })
    }

    fn store(&mut self, value: Vec<u8>, cas: Cas) -> &mut Item {
        let meta = Meta {
            flags: 0,
            cas,
            expiry: Expiry::NEVER,
            last_access: self.now,
            fetched: false,
            stale: false,
            win_sent: false,
            binary_key: false,
        };
        *self.total += 1;
        self.state.insert(Item { value, meta, era: self.era, lost: false })
    }

    fn meta_get(
        &mut self,
        how: MetaGet,
        expiry: Option<Expiry>,
        win: bool,
    ) -> Result<(Vec<u8>, Meta, bool), Miss> {
        let now = self.now;
        let is_new = match self.live() {
            Ok(_) => false,
            Err(miss) if !how.vivify => return Err(miss),
            Err(_) => {
                let cas = self.cas(how.new_cas);
                self.store(Vec::new(), cas).meta.binary_key = true;
                true
            }
        };
        // Not judged by its expiry again: an item created dead is lent nevertheless.
        let item = self.state.as_mut().ok_or(Miss::Absent)?;
        item.meta.expiry = expiry.unwrap_or(item.meta.expiry);
        item.meta.win_sent |= win;
        let seen = (item.value.clone(), item.meta, is_new);
        if how.bump {
            item.bump(now);
        }
        Ok(seen)
    }

    fn is_too_large(&self, flags: u32, len: usize) -> bool {
        memcached_item_size(self.key_len, flags, len) as u64 > self.max_item
    }

    fn write(&mut self, op: &KeyOp) -> WriteResult {
        let write = op.to_write(b"", &Arc::default()).expect("a write");
        if self.is_too_large(write.flags, write.value.len()) {
            if write.mode == Mode::Set {
                *self.state = None;
            }
            return WriteResult::TooLarge;
        }
        let now = self.now;
        let _ = self.live();
        let mut value = write.value.to_vec();
        let mut new = (write.flags, write.vivify.unwrap_or(write.expiry), write.binary_key);
        let mut stale = None;
        match (&mut *self.state, write.mode) {
            (None, Mode::Set | Mode::Add) | (Some(_), Mode::Set | Mode::Replace) => {}
            (None, Mode::Append | Mode::Prepend) if write.vivify.is_some() => {}
            (None, Mode::Cas) => return WriteResult::NotFound,
            (None, _) => return WriteResult::NotStored,
            (Some(old), Mode::Add) => {
                old.meta.last_access = now;
                return WriteResult::NotStored;
            }
            (Some(old), Mode::Cas) => {
                let is_older = write.accept_stale && write.compare < old.meta.cas;
                if write.compare == 0 || (write.compare != old.meta.cas && !is_older) {
                    return WriteResult::Exists;
                }
                if write.compare != old.meta.cas {
                    stale = Some(old.meta);
                    new.1 = old.meta.expiry;
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
                new = (old.meta.flags, old.meta.expiry, old.meta.binary_key || write.binary_key);
                if self.is_too_large(new.0, value.len()) {
                    return WriteResult::NotStored;
                }
            }
        }
        let cas = self.cas(write.new_cas);
        let len = value.len();
        let meta = &mut self.store(value, cas).meta;
        (meta.flags, meta.expiry, meta.binary_key) = new;
        if let Some(old) = stale {
            meta.stale = true;
            meta.win_sent = old.win_sent;
        }
        WriteResult::Stored { cas, len }
    }

    fn arithmetic(&mut self, how: Arithmetic) -> ArithmeticResult<(Vec<u8>, Meta, u64)> {
        let now = self.now;
        if self.live().is_err() {
            let Some(initial) = how.vivify else { return ArithmeticResult::NotFound };
            let cas = self.cas(how.new_cas);
            let item = self.store(initial.to_string().into_bytes(), cas);
            return ArithmeticResult::Created((item.value.clone(), item.meta, initial));
        }
        let Some(old) = self.state.as_mut() else { return ArithmeticResult::NotFound };
        if old.value.is_empty() || old.value.len() > MAX_NUMBER_LEN {
            return ArithmeticResult::NonNumeric;
        }
        if how.compare != 0 && how.compare != old.meta.cas {
            return ArithmeticResult::Exists;
        }
        let Some(number) = leading_number(&old.value) else { return ArithmeticResult::NonNumeric };
        let number = match how.increment {
            true => number.wrapping_add(how.delta),
            false => number.saturating_sub(how.delta),
        };
        let digits = number.to_string();
        let (meta, len) = (old.meta, old.value.len());
        let cas = self.cas(how.new_cas);
        let item = if digits.len() <= len {
            let item = self.state.as_mut().expect("alive");
            item.value.fill(b' ');
            item.value[..digits.len()].copy_from_slice(digits.as_bytes());
            item.meta.cas = cas;
            item.meta.last_access = now;
            item
        } else {
            let item = self.store(digits.into_bytes(), cas);
            item.meta.flags = meta.flags;
            item.meta.expiry = meta.expiry;
            item.meta.binary_key = meta.binary_key;
            item
        };
        ArithmeticResult::Done((item.value.clone(), item.meta, number))
    }

    fn delete(&mut self, how: Delete) -> DeleteResult {
        let Ok(old) = self.live() else { return DeleteResult::NotFound };
        let (meta, len) = (old.meta, old.value.len());
        if how.compare.is_some_and(|compare| compare != meta.cas) {
            return DeleteResult::Exists;
        }
        if how.drop_value.is_none() && !how.mark_stale {
            *self.state = None;
            return DeleteResult::Deleted { len };
        }
        let cas = match how.new_cas {
            None if !how.mark_stale => meta.cas,
            chosen => self.cas(chosen),
        };
        if let Some(flags) = how.drop_value {
            let item = self.store(Vec::new(), cas);
            item.meta.flags = flags;
            item.meta.binary_key = meta.binary_key;
        }
        let item = self.state.as_mut().expect("alive");
        item.meta.cas = cas;
        item.meta.expiry = how.expiry.unwrap_or(item.meta.expiry);
        if how.mark_stale {
            item.meta.stale = true;
            item.meta.win_sent = false;
        }
        DeleteResult::Deleted { len }
    }
}

/// The number in a value of these histories: digits, followed by the end or a space.
fn leading_number(value: &[u8]) -> Option<u64> {
    if !value.first()?.is_ascii_digit() {
        return None;
    }
    let digits = value.split(|&byte| byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |value: &[u8]| {
            let shown = &value[..value.len().min(40)];
            format!("{} bytes \"{}\"", value.len(), shown.escape_ascii())
        };
        match self {
            Answer::Read(Ok((value, meta, new))) => {
                write!(f, "Read({}, {meta:?}, new: {new})", short(value))
            }
            Answer::Counted(ArithmeticResult::Done((value, meta, number))) => {
                write!(f, "Counted({}, {meta:?}, {number})", short(value))
            }
            Answer::Counted(ArithmeticResult::Created((value, meta, number))) => {
                write!(f, "Created({}, {meta:?}, {number})", short(value))
            }
            Answer::Read(Err(miss)) => write!(f, "{miss:?}"),
            Answer::Counted(other) => write!(f, "Counted({:?})", other_name(other)),
            Answer::Touched(hit) => write!(f, "Touched({hit})"),
            Answer::Written(result) => write!(f, "{result:?}"),
            Answer::Deleted(result) => write!(f, "{result:?}"),
        }
    }
}

fn other_name<R>(result: &ArithmeticResult<R>) -> &'static str {
    match result {
        ArithmeticResult::Done(_) => "done",
        ArithmeticResult::Created(_) => "created",
        ArithmeticResult::NotFound => "not found",
        ArithmeticResult::NonNumeric => "not a number",
        ArithmeticResult::Exists => "exists",
        ArithmeticResult::NoMemory => "no memory",
    }
}
