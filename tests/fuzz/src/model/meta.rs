//! The meta commands.

use super::classic::{Uncounted, counter};
use super::item::{Item, NEVER, deadline};
use super::{BAD_CHUNK, BAD_FORMAT, Model, NON_NUMERIC, TOO_LARGE, is_meta_key, item_size};
use crate::answer::{Answer, Cas};
use crate::request::{Argument, Block, Meta, MetaKey};

/// Most bytes of an opaque token, its letter not counted.
const MAX_OPAQUE: usize = 31;

/// Flags that some meta command knows.
const KNOWN: &[u8] = b"CDEFIJLMNOPRSTbcfhklqstuvx";

impl Model {
    pub(super) fn meta_get(&mut self, meta: &Meta) -> Answer {
        if let Some(mistake) = flag_mistake(meta).or(opaque_mistake(meta)) {
            return Answer::line(mistake);
        }
        let (key, now) = (&meta.key.bytes[..], self.now);
        let creates = meta.has(b'N') && !self.items.contains_key(key);
        if creates {
            let cas = self.new_cas(meta.unsigned(b'E'));
            let item = Item { base64: meta.key.base64, ..Item::new(Vec::new(), NEVER, cas, now) };
            self.items.insert(key.to_vec(), item);
        }
        let Some(item) = self.items.get_mut(key) else {
            return if meta.has(b'q') { Answer::default() } else { status("EN", meta) };
        };
        let unchanged = meta.unsigned(b'C').is_some_and(|cas| self.book.is(item.cas, cas));
        let has_value = meta.has(b'v') && !unchanged;
        let mut answer = Answer::default();
        answer.push(if has_value { format!("VA {}", item.value.len()) } else { "HD".to_owned() });
        let mut wins = false;
        for flag in &meta.flags {
            match (flag.letter, &flag.argument) {
                (b'T', Argument::Signed(exptime)) => item.expiry = deadline(*exptime, now),
                (b'N', Argument::Signed(exptime)) if creates => {
                    item.expiry = deadline(*exptime, now);
                    wins = true;
                }
                (b'R', Argument::Signed(exptime)) if !creates => {
                    let is_due = item.expiry != NEVER && item.expiry < deadline(*exptime, now);
                    wins |= is_due && !item.won;
                }
                (b's', _) => answer.push(format!(" s{}", item.value.len())),
                (b't', _) => answer.push(format!(" t{}", item.time_left(now))),
                (b'f', _) => answer.push(format!(" f{}", item.flags)),
                (b'l', _) => answer.push(format!(" l{}", item.idle(now))),
                (b'h', _) => answer.push(if item.fetched { " h1" } else { " h0" }),
                (b'c', _) => push_cas(item.cas, &mut answer),
                (b'k', _) => push_key(key, item.base64, &mut answer),
                (b'O', Argument::Bytes(opaque)) => push_opaque(opaque, &mut answer),
                _ => {}
            }
        }
        wins |= item.stale && !item.won;
        for (is_so, mark) in [(item.won, " Z"), (item.stale, " X"), (wins, " W")] {
            answer.push(if is_so { mark } else { "" });
        }
        item.won |= wins;
        answer.push("\r\n");
        if has_value {
            answer.push(&item.value);
            answer.push("\r\n");
        }
        if !meta.has(b'u') {
            item.access(now);
        }
        self.bury(key);
        answer
    }

    pub(super) fn meta_store(&mut self, meta: &Meta, block: &Block) -> Answer {
        let (key, len) = (&meta.key.bytes[..], block.value.len());
        let mistake = flag_mistake(meta)
            .or(mode_mistake(meta, b"EAPRS", "CLIENT_ERROR invalid mode for ms M token"))
            .or(opaque_mistake(meta));
        if let Some(mistake) = mistake {
            return Answer::line(mistake);
        }
        if self.is_too_large(key, client_flags(meta), len) {
            self.items.remove(key);
            return Answer::line(TOO_LARGE);
        }
        if block.spoiled {
            return Answer::line(BAD_CHUNK);
        }
        let written = self.write(meta, block);
        if written.is_ok() && meta.has(b'q') {
            return Answer::default();
        }
        let mut answer = Answer::default();
        answer.push(written.err().unwrap_or("HD"));
        for flag in &meta.flags {
            match (flag.letter, &flag.argument) {
                (b'k', _) => push_key(key, meta.key.base64, &mut answer),
                (b'O', Argument::Bytes(opaque)) => push_opaque(opaque, &mut answer),
                (b's', _) => answer.push(format!(" s{}", written.map_or(len, |(_, len)| len))),
                (b'c', _) => match written {
                    Ok((cas, _)) => push_cas(cas, &mut answer),
                    Err(_) => answer.push(" c0"),
                },
                _ => {}
            }
        }
        answer.push("\r\n");
        answer
    }

    /// Stores, and says what the item's new state is and how long; or answers why not.
    fn write(&mut self, meta: &Meta, block: &Block) -> Result<(Cas, usize), &'static str> {
        let (key, base64) = (&meta.key.bytes[..], meta.key.base64);
        let compare = meta.unsigned(b'C');
        // A CAS unique of 0 is none: a new one is issued.
        let new_cas = meta.unsigned(b'E').filter(|cas| *cas != 0);
        let mode = meta.mode().unwrap_or(b'S');
        let mut item = Item {
            flags: client_flags(meta),
            base64,
            ..Item::new(block.value.clone(), NEVER, Cas::Chosen(0), self.now)
        };
        item.expiry = deadline(meta.signed(b'T').unwrap_or(0), self.now);
        match (mode, self.items.get(key)) {
            (b'E', Some(_)) => {
                self.refresh(key);
                return Err("NS");
            }
            (b'A' | b'P', Some(old)) => {
                if compare.is_some_and(|cas| cas != 0 && !self.book.is(old.cas, cas)) {
                    return Err("EX");
                }
                return self.join(key, mode == b'A', block, new_cas, base64).ok_or("NS");
            }
            (b'A' | b'P', None) => {
                let vivified = meta.signed(b'N').ok_or("NS")?;
                item.expiry = deadline(vivified, self.now);
            }
            (b'R', None) if compare.is_none() => return Err("NS"),
            (b'S' | b'R', None) if compare.is_some() => return Err("NF"),
            (b'S' | b'R', Some(old)) => match compare {
                None => {}
                Some(cas) if cas != 0 && self.book.is(old.cas, cas) => {}
                Some(cas) if cas != 0 && meta.has(b'I') && self.book.is_above(old.cas, cas) => {
                    // Late, but better than nothing: until somebody does better.
                    (item.expiry, item.stale, item.won) = (old.expiry, true, old.won);
                }
                Some(_) => return Err("EX"),
            },
            _ => {}
        }
        item.cas = self.new_cas(new_cas);
        let state = (item.cas, item.value.len());
        self.put(key, item);
        Ok(state)
    }

    pub(super) fn meta_delete(&mut self, meta: &Meta) -> Answer {
        if let Some(mistake) = flag_mistake(meta) {
            return Answer::line(mistake);
        }
        if let Some(mistake) = opaque_mistake(meta) {
            return Answer::line(mistake);
        }
        let (key, now) = (&meta.key.bytes[..], self.now);
        let Some(mut item) = self.items.get(key).cloned() else {
            return status("NF", meta);
        };
        if meta.unsigned(b'C').is_some_and(|cas| !self.book.is(item.cas, cas)) {
            return status("EX", meta);
        }
        let exptime = meta.signed(b'T');
        if meta.has(b'x') {
            let cas = meta.unsigned(b'E').map_or(item.cas, Cas::Chosen);
            let expiry = deadline(exptime.unwrap_or(0), now);
            let (flags, base64) = (client_flags(meta), item.base64);
            item = Item { flags, base64, ..Item::new(Vec::new(), expiry, cas, now) };
        }
        if meta.has(b'I') {
            (item.stale, item.won) = (true, false);
            item.cas = self.new_cas(meta.unsigned(b'E'));
            item.expiry = exptime.map_or(item.expiry, |exptime| deadline(exptime, now));
        }
        self.items.remove(key);
        if meta.has(b'x') || meta.has(b'I') {
            self.put(key, item);
        }
        if meta.has(b'q') { Answer::default() } else { status("HD", meta) }
    }

    pub(super) fn meta_arithmetic(&mut self, meta: &Meta) -> Answer {
        if let Some(mistake) = flag_mistake(meta) {
            return Answer::line(summed_up(mistake));
        }
        let mistake = mode_mistake(meta, b"I+D-", "CLIENT_ERROR invalid mode for ma M token")
            .or(opaque_mistake(meta));
        if let Some(mistake) = mistake {
            return Answer::line(mistake);
        }
        let (key, now) = (&meta.key.bytes[..], self.now);
        let new_cas = meta.unsigned(b'E');
        // An empty value is no number, whatever its CAS unique.
        let old = self.items.get(key).filter(|item| !item.value.is_empty());
        let compare = meta.unsigned(b'C').filter(|cas| *cas != 0);
        if old.is_some_and(|item| compare.is_some_and(|cas| !self.book.is(item.cas, cas))) {
            return status("EX", meta);
        }
        let increment = !matches!(meta.mode(), Some(b'D' | b'-'));
        let delta = meta.unsigned(b'D').unwrap_or(1);
        let (number, creates) = match self.add_to(key, increment, delta, new_cas) {
            Ok(number) => (number, false),
            Err(Uncounted::NonNumeric) => return Answer::line(NON_NUMERIC),
            Err(Uncounted::Absent) if !meta.has(b'N') => return status("NF", meta),
            Err(Uncounted::Absent) => {
                let initial = meta.unsigned(b'J').unwrap_or(0);
                let cas = self.new_cas(new_cas);
                let item = Item { base64: meta.key.base64, ..counter(initial, cas, now) };
                self.items.insert(key.to_vec(), item);
                (initial, true)
            }
        };
        let Some(item) = self.items.get_mut(key) else { return Answer::default() };
        let digits = number.to_string();
        let mut answer = Answer::default();
        let has_value = meta.has(b'v');
        answer.push(if has_value { format!("VA {}", digits.len()) } else { "HD".to_owned() });
        for flag in &meta.flags {
            match (flag.letter, &flag.argument) {
                (b'T', Argument::Signed(exptime)) => item.expiry = deadline(*exptime, now),
                (b'N', Argument::Signed(exptime)) if creates => {
                    item.expiry = deadline(*exptime, now);
                }
                (b'c', _) => push_cas(item.cas, &mut answer),
                (b't', _) => answer.push(format!(" t{}", item.time_left(now))),
                (b'k', _) => push_key(key, meta.key.base64, &mut answer),
                (b'O', Argument::Bytes(opaque)) => push_opaque(opaque, &mut answer),
                _ => {}
            }
        }
        answer.push("\r\n");
        if has_value {
            answer.push(digits + "\r\n");
        }
        self.bury(key);
        if meta.has(b'q') { Answer::default() } else { answer }
    }

    pub(super) fn meta_debug(&mut self, key: &MetaKey) -> Answer {
        if !is_meta_key(key) {
            return Answer::line(BAD_FORMAT);
        }
        let Some(item) = self.items.get(&key.bytes) else {
            return Answer::line("EN");
        };
        let mut answer = Answer::default();
        answer.push("ME ");
        answer.push(MetaKey { bytes: key.bytes.clone(), base64: item.base64 }.word());
        let (left, idle) = (item.time_left(self.now), item.idle(self.now));
        answer.push(format!(" exp={left} la={idle} cas="));
        answer.push_cas(item.cas);
        let fetched = if item.fetched { "yes" } else { "no" };
        let size = item_size(&key.bytes, item.flags, item.value.len());
        answer.push(format!(" fetch={fetched} cls=1 size={size}\r\n"));
        answer
    }
}

fn client_flags(meta: &Meta) -> u32 {
    meta.unsigned(b'F').and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0)
}

/// What is wrong with the key or with which flags there are.
fn flag_mistake(meta: &Meta) -> Option<&'static str> {
    if meta.key.word().len() > crate::request::MAX_KEY_LEN {
        return Some(BAD_FORMAT);
    }
    for (index, flag) in meta.flags.iter().enumerate() {
        if meta.flags[..index].iter().any(|before| before.letter == flag.letter) {
            return Some("CLIENT_ERROR duplicate flag");
        }
        if !KNOWN.contains(&flag.letter) {
            return Some("CLIENT_ERROR invalid flag");
        }
    }
    (!is_meta_key(&meta.key)).then_some(BAD_FORMAT)
}

/// How `ma` puts it.
fn summed_up(mistake: &'static str) -> &'static str {
    if mistake == BAD_FORMAT { BAD_FORMAT } else { "CLIENT_ERROR invalid or duplicate flag" }
}

fn mode_mistake(meta: &Meta, modes: &[u8], mistake: &'static str) -> Option<&'static str> {
    meta.mode().is_some_and(|mode| !modes.contains(&mode)).then_some(mistake)
}

fn opaque_mistake(meta: &Meta) -> Option<&'static str> {
    match meta.flag(b'O') {
        Some(Argument::Bytes(opaque)) if opaque.len() > MAX_OPAQUE => {
            Some("CLIENT_ERROR opaque token too long")
        }
        _ => None,
    }
}

/// An answer without item: its status, and of the flags what is repeated.
fn status(status: &str, meta: &Meta) -> Answer {
    let mut answer = Answer::default();
    answer.push(status);
    for flag in &meta.flags {
        match (flag.letter, &flag.argument) {
            (b'k', _) => push_key(&meta.key.bytes, meta.key.base64, &mut answer),
            (b'O', Argument::Bytes(opaque)) => push_opaque(opaque, &mut answer),
            _ => {}
        }
    }
    answer.push("\r\n");
    answer
}

fn push_cas(cas: Cas, answer: &mut Answer) {
    answer.push(" c");
    answer.push_cas(cas);
}

fn push_key(key: &[u8], base64: bool, answer: &mut Answer) {
    answer.push(" k");
    answer.push(MetaKey { bytes: key.to_vec(), base64 }.word());
    answer.push(if base64 { " b" } else { "" });
}

fn push_opaque(opaque: &[u8], answer: &mut Answer) {
    answer.push(" O");
    answer.push(opaque);
}
