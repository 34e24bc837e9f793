//! The classic commands: `get` and its variants, storage, `delete`, `incr`, `decr`, `touch`.

use crate::announced::StorageLine;
use crate::key::{are_keys, is_key};
use crate::refusal::Refused;
use crate::{Follows, Refusal, Tokens, number};

/// `get`, `gets`, `gat`, `gats`: read items.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// One or more keys, each checked.
    pub keys: Tokens<'a>,
    /// `gat`, `gats`: the exptime to set, as the client wrote it.
    pub exptime: Option<i64>,
    /// Whether the answers include the CAS unique.
    pub with_cas: bool,
}

/// The kind of a storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `set`
    Set,
    /// `add`
    Add,
    /// `replace`
    Replace,
    /// `append`
    Append,
    /// `prepend`
    Prepend,
    /// `cas`
    Cas,
}

/// A storage command's line. Its value, `len` bytes and a line end, follows in the stream.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// The kind of the command.
    pub verb: Verb,
    /// The key, checked.
    pub key: &'a [u8],
    /// The client's flags.
    pub flags: u32,
    /// The exptime as the client wrote it.
    pub exptime: i64,
    /// Bytes of the value, at most [`crate::MAX_VALUE_LEN`].
    pub len: usize,
    /// The CAS unique of `cas`, else 0.
    pub cas: u64,
    /// The client wants no answer.
    pub noreply: bool,
}

/// `delete`.
#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    /// The key, checked.
    pub key: &'a [u8],
    /// The client wants no answer.
    pub noreply: bool,
}

/// `incr`, `decr`.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic<'a> {
    /// The key, checked.
    pub key: &'a [u8],
    /// `incr` if true.
    pub increment: bool,
    /// The amount to add or subtract.
    pub delta: u64,
    /// The client wants no answer.
    pub noreply: bool,
}

/// `touch`.
#[derive(Clone, Copy, Debug)]
pub struct Touch<'a> {
    /// The key, checked.
    pub key: &'a [u8],
    /// The exptime as the client wrote it.
    pub exptime: i64,
    /// The client wants no answer.
    pub noreply: bool,
}

type Outcome<T> = Result<T, Refused>;

fn check_keys(keys: Tokens<'_>) -> Result<(), Refusal> {
    if are_keys(keys.remainder()) { Ok(()) } else { Err(Refusal::BadFormat) }
}

#[inline]
pub(crate) fn get(keys: Tokens<'_>, with_cas: bool) -> Outcome<Get<'_>> {
    if keys.is_exhausted() {
        return Err(Refusal::BadFormat.into());
    }
    check_keys(keys)?;
    Ok(Get { keys, exptime: None, with_cas })
}

pub(crate) fn get_and_touch(mut words: Tokens<'_>, with_cas: bool) -> Outcome<Get<'_>> {
    let exptime = words.next().ok_or(Refusal::BadFormat)?;
    if words.is_exhausted() {
        return Err(Refusal::BadFormat.into());
    }
    let exptime = number::signed(exptime).ok_or(Refusal::BadExptime)?;
    check_keys(words)?;
    Ok(Get { keys: words, exptime: Some(exptime), with_cas })
}

#[inline]
pub(crate) fn store(words: Tokens<'_>, verb: Verb) -> Outcome<Store<'_>> {
    well_formed(words, verb).map_or_else(|| unusual_store(words, verb), Ok)
}

/// Parses a storage line with the expected number of words, all valid.
#[inline]
fn well_formed(words: Tokens<'_>, verb: Verb) -> Option<Store<'_>> {
    let mut rest = words;
    let (key, flags, exptime, len) = (rest.next()?, rest.next()?, rest.next()?, rest.next()?);
    let cas = if verb == Verb::Cas { rest.next()? } else { b"0" };
    let noreply = match rest.next() {
        None => false,
        Some(b"noreply") if rest.is_exhausted() => true,
        Some(_) => return None,
    };
    from_words(verb, [key, flags, exptime, len, cas], noreply)
}

/// Makes a request of key, flags, exptime, length and CAS unique, if each is valid.
#[inline]
fn from_words<'a>(verb: Verb, words: [&'a [u8]; 5], noreply: bool) -> Option<Store<'a>> {
    let [key, flags, exptime, len, cas] = words;
    if !is_key(key) {
        return None;
    }
    Some(Store {
        verb,
        key,
        flags: number::unsigned32(flags)?,
        exptime: number::signed(exptime)?,
        len: number::value_len(len)?,
        cas: if verb == Verb::Cas { number::unsigned(cas)? } else { 0 },
        noreply,
    })
}

/// Parses a storage line with a mistake. As in memcached, surplus words are ignored, unless they
/// leave the length of the value open.
#[cold]
fn unusual_store(words: Tokens<'_>, verb: Verb) -> Outcome<Store<'_>> {
    let line = StorageLine::read(words, verb == Verb::Cas);
    let follows = line.follows();
    let accepted = line.first_words().and_then(|words| from_words(verb, words, line.noreply));
    match accepted {
        Some(store) if follows == Follows::value(store.len) => Ok(store),
        _ => {
            // A client that is disconnected gets the reason.
            let quiet = line.is_quiet() && follows != Follows::Unknown;
            Err(Refused::from(Refusal::BadFormat).quiet_if(quiet).followed_by(follows))
        }
    }
}

pub(crate) fn delete(mut words: Tokens<'_>) -> Outcome<Delete<'_>> {
    let noreply = words.ends_in_noreply();
    let key = words.next().ok_or(Refusal::BadFormat)?;
    check_key(key, noreply)?;
    Ok(Delete { key, noreply })
}

fn check_key(key: &[u8], noreply: bool) -> Result<(), Refused> {
    if is_key(key) { Ok(()) } else { Err(Refused::from(Refusal::BadFormat).quiet_if(noreply)) }
}

/// A key and an argument; further words are ignored.
fn key_and_argument<'a>(mut words: Tokens<'a>) -> Result<(&'a [u8], &'a [u8], bool), Refused> {
    let noreply = words.ends_in_noreply();
    let key = words.next().ok_or(Refusal::BadFormat)?;
    let argument = words.next().ok_or(Refusal::BadFormat)?;
    check_key(key, noreply)?;
    Ok((key, argument, noreply))
}

pub(crate) fn arithmetic(words: Tokens<'_>, increment: bool) -> Outcome<Arithmetic<'_>> {
    let (key, delta, noreply) = key_and_argument(words)?;
    let delta = number::unsigned(delta)
        .ok_or_else(|| Refused::from(Refusal::BadDelta).quiet_if(noreply))?;
    Ok(Arithmetic { key, increment, delta, noreply })
}

pub(crate) fn touch(words: Tokens<'_>) -> Outcome<Touch<'_>> {
    let (key, exptime, noreply) = key_and_argument(words)?;
    let exptime = number::signed(exptime)
        .ok_or_else(|| Refused::from(Refusal::BadExptime).quiet_if(noreply))?;
    Ok(Touch { key, exptime, noreply })
}
