//! The classic commands: `get` and its kin, storage, `delete`, `incr`, `decr`, `touch`.

use crate::key::{are_keys, is_key};
use crate::refusal::Refused;
use crate::{Refusal, Tokens, number};

/// `get`, `gets`: read items.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// One or more keys, each checked.
    pub keys: Tokens<'a>,
    /// Whether answers carry the CAS unique.
    pub with_cas: bool,
}

/// `gat`, `gats`: read items and give them another time to live.
#[derive(Clone, Copy, Debug)]
pub struct GetAndTouch<'a> {
    /// The exptime as the client wrote it.
    pub exptime: i64,
    /// Keys, each checked.
    pub keys: Tokens<'a>,
    /// Whether answers carry the CAS unique.
    pub with_cas: bool,
}

/// Which storage command.
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
    /// Which command.
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
    /// By how much.
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
        return Err(Refusal::Unknown.into());
    }
    check_keys(keys)?;
    Ok(Get { keys, with_cas })
}

pub(crate) fn get_and_touch(mut words: Tokens<'_>, with_cas: bool) -> Outcome<GetAndTouch<'_>> {
    let exptime = words.next().ok_or(Refusal::Unknown)?;
    let exptime = number::signed(exptime).ok_or(Refusal::BadExptime)?;
    check_keys(words)?;
    Ok(GetAndTouch { exptime, keys: words, with_cas })
}

#[inline]
pub(crate) fn store(words: Tokens<'_>, verb: Verb) -> Outcome<Store<'_>> {
    let quiet = words.ends_in_noreply();
    let mut rest = words;
    let mut word = || rest.next().ok_or(Refusal::Unknown);
    let (key, flags, exptime, len) = (word()?, word()?, word()?, word()?);
    let cas = if verb == Verb::Cas { Some(word()?) } else { None };
    // One more word is tolerated, whatever it says.
    rest.next();
    if !rest.is_exhausted() {
        return Err(Refusal::Unknown.into());
    }

    let refused = |refusal: Refusal| Refused::from(refusal).quiet_if(quiet);
    let len = number::value_len(len).ok_or_else(|| refused(Refusal::BadFormat))?;
    // From here on the value that follows is known to belong to this line.
    let bad = || refused(Refusal::BadFormat).swallowing(len);
    if !is_key(key) {
        return Err(bad());
    }
    let flags = number::unsigned32(flags).ok_or_else(bad)?;
    let exptime = number::signed(exptime).ok_or_else(bad)?;
    let cas = cas.map_or(Some(0), number::unsigned).ok_or_else(bad)?;
    Ok(Store { verb, key, flags, exptime, len, cas, noreply: quiet })
}

pub(crate) fn delete(mut words: Tokens<'_>) -> Outcome<Delete<'_>> {
    let key = words.next().ok_or(Refusal::Unknown)?;
    let noreply = words.ends_in_noreply();
    let understood = match (words.next(), words.next(), words.next()) {
        (None, ..) => true,
        (Some(word), None, _) => word == b"0" || noreply,
        // An ancient delay of zero, which some PHP clients still send.
        (Some(delay), Some(_), None) => delay == b"0" && noreply,
        _ => return Err(Refusal::Unknown.into()),
    };
    if !understood {
        return Err(Refused::from(Refusal::DeleteUsage).quiet_if(noreply));
    }
    if !is_key(key) {
        return Err(Refused::from(Refusal::BadFormat).quiet_if(noreply));
    }
    Ok(Delete { key, noreply })
}

/// A key, an argument, and at most one more word.
fn key_and_argument<'a>(mut words: Tokens<'a>) -> Result<(&'a [u8], &'a [u8], bool), Refused> {
    let noreply = words.ends_in_noreply();
    let key = words.next().ok_or(Refusal::Unknown)?;
    let argument = words.next().ok_or(Refusal::Unknown)?;
    words.next();
    if !words.is_exhausted() {
        return Err(Refusal::Unknown.into());
    }
    if !is_key(key) {
        return Err(Refused::from(Refusal::BadFormat).quiet_if(noreply));
    }
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
