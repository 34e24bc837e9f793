//! The classic commands.

use super::item::{Item, NEVER, deadline, number_in, renumbered};
use super::{BAD_CHUNK, BAD_FORMAT, Model, NON_NUMERIC, TOO_LARGE, is_key};
use crate::answer::{Answer, Cas};
use crate::request::{Block, Request, Verb};

impl Model {
    /// Carries out what is answered with one line.
    pub(super) fn classic(&mut self, request: &Request) -> String {
        match request {
            Request::Store { verb, key, flags, exptime, cas, block, .. } => {
                self.store(*verb, key, (*flags, *exptime, *cas), block).to_owned()
            }
            Request::Delete { key, .. } => match self.items.remove(key) {
                _ if !is_key(key) => BAD_FORMAT.to_owned(),
                Some(_) => "DELETED".to_owned(),
                None => "NOT_FOUND".to_owned(),
            },
            Request::Arithmetic { increment, key, delta, .. } => {
                if !is_key(key) {
                    return BAD_FORMAT.to_owned();
                }
                match self.add_to(key, *increment, *delta, None) {
                    Ok(number) => number.to_string(),
                    Err(Uncounted::Absent) => "NOT_FOUND".to_owned(),
                    Err(Uncounted::NonNumeric) => NON_NUMERIC.to_owned(),
                }
            }
            Request::Touch { key, exptime, .. } => {
                let now = self.now;
                match self.items.get_mut(key) {
                    _ if !is_key(key) => BAD_FORMAT.to_owned(),
                    Some(item) => {
                        item.expiry = deadline(*exptime, now);
                        item.access(now);
                        self.bury(key);
                        "TOUCHED".to_owned()
                    }
                    None => "NOT_FOUND".to_owned(),
                }
            }
            Request::FlushAll { delay, .. } => {
                self.flush(delay.unwrap_or(0));
                "OK".to_owned()
            }
            _ => unreachable!("not answered with one line"),
        }
    }

    fn store(
        &mut self,
        verb: Verb,
        key: &[u8],
        (flags, exptime, cas): (u32, i64, u64),
        block: &Block,
    ) -> &'static str {
        if !is_key(key) {
            return BAD_FORMAT;
        }
        if self.is_too_large(key, flags, block.value.len()) {
            if verb == Verb::Set {
                self.items.remove(key);
            }
            return TOO_LARGE;
        }
        if block.spoiled {
            return BAD_CHUNK;
        }
        let found = self.items.get(key);
        match (verb, found) {
            (Verb::Add, Some(_)) => {
                self.refresh(key);
                return "NOT_STORED";
            }
            (Verb::Replace | Verb::Append | Verb::Prepend, None) => return "NOT_STORED",
            (Verb::Cas, None) => return "NOT_FOUND",
            (Verb::Cas, Some(item)) if cas == 0 || !self.book.is(item.cas, cas) => return "EXISTS",
            (Verb::Append | Verb::Prepend, Some(_)) => {
                let joined = self.join(key, verb == Verb::Append, block, None, false);
                return if joined.is_some() { "STORED" } else { "NOT_STORED" };
            }
            _ => {}
        }
        let expiry = deadline(exptime, self.now);
        let cas = self.new_cas(None);
        let item = Item { flags, ..Item::new(block.value.clone(), expiry, cas, self.now) };
        self.put(key, item);
        "STORED"
    }

    /// A refused add counts as an access, though not as a read.
    pub(super) fn refresh(&mut self, key: &[u8]) {
        let now = self.now;
        if let Some(item) = self.items.get_mut(key) {
            item.accessed = now;
        }
    }

    /// Appends to the item under a key, or prepends, and says what its new state is and how long;
    /// `None` where it would become too large.
    pub(super) fn join(
        &mut self,
        key: &[u8],
        append: bool,
        block: &Block,
        new_cas: Option<u64>,
        base64: bool,
    ) -> Option<(Cas, usize)> {
        let item = self.items.get(key)?;
        let (front, back) =
            if append { (&item.value, &block.value) } else { (&block.value, &item.value) };
        let value = [&front[..], &back[..]].concat();
        let (flags, expiry, base64) = (item.flags, item.expiry, item.base64 || base64);
        if self.is_too_large(key, flags, value.len()) {
            return None;
        }
        let cas = self.new_cas(new_cas);
        let state = (cas, value.len());
        let item = Item { flags, base64, ..Item::new(value, expiry, cas, self.now) };
        self.put(key, item);
        Some(state)
    }

    /// Adds to the number under a key, or takes away from it.
    pub(super) fn add_to(
        &mut self,
        key: &[u8],
        increment: bool,
        delta: u64,
        new_cas: Option<u64>,
    ) -> Result<u64, Uncounted> {
        let item = self.items.get(key).ok_or(Uncounted::Absent)?;
        let number = number_in(&item.value).ok_or(Uncounted::NonNumeric)?;
        let number =
            if increment { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
        let (value, grows) = renumbered(&item.value, number);
        let (now, cas) = (self.now, self.new_cas(new_cas));
        if let Some(item) = self.items.get_mut(key) {
            *item = if grows {
                // A longer number is a new item.
                let (flags, base64) = (item.flags, item.base64);
                Item { flags, base64, ..Item::new(value, item.expiry, cas, now) }
            } else {
                Item { value, cas, accessed: now, ..item.clone() }
            };
        }
        Ok(number)
    }

    pub(super) fn get(&mut self, exptime: Option<i64>, with_cas: bool, keys: &[Vec<u8>]) -> Answer {
        if !keys.iter().all(|key| is_key(key)) {
            return Answer::line(BAD_FORMAT);
        }
        let mut answer = Answer::default();
        for key in keys {
            let Some(item) = self.items.get_mut(key) else { continue };
            answer.push("VALUE ");
            answer.push(key);
            answer.push(format!(" {} {}", item.flags, item.value.len()));
            if with_cas {
                answer.push(" ");
                answer.push_cas(item.cas);
            }
            answer.push("\r\n");
            answer.push(&item.value);
            answer.push("\r\n");
            item.access(self.now);
            if let Some(exptime) = exptime {
                item.expiry = deadline(exptime, self.now);
            }
            self.bury(key);
        }
        answer.push("END\r\n");
        answer
    }
}

/// Why a number was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uncounted {
    /// There is no item.
    Absent,
    /// There is no number in it.
    NonNumeric,
}

/// An item that never expires, holding a number.
pub(super) fn counter(initial: u64, cas: Cas, now: u64) -> Item {
    Item::new(initial.to_string().into_bytes(), NEVER, cas, now)
}
