//! The meta commands: a key and single-letter flags, each at most once, some with an argument.
//!
//! Flags are read twice on purpose: here for their meaning, and by the writer of the answer, which
//! repeats some of them in the client's order. Nothing is copied for either.

use crate::classic::Verb;
use crate::key::{MAX_KEY_LEN, decode_key, is_key};
use crate::refusal::Refused;
use crate::{Refusal, Tokens, announced, number};

/// Most words of a meta request, including command and key.
const MAX_WORDS: usize = 20;

/// Longest opaque token in bytes, including its `O`.
const MAX_OPAQUE_TOKEN: usize = 32;

/// The key of a request, plain or in base64. Only meta commands accept base64.
#[derive(Clone, Copy, Debug)]
pub struct MetaKey<'a> {
    /// The word on the wire.
    pub word: &'a [u8],
    /// Whether the word is base64 (flag `b`). If so, it is known to decode.
    pub binary: bool,
}

impl<'a> MetaKey<'a> {
    /// A plain key.
    #[inline]
    pub fn plain(word: &'a [u8]) -> MetaKey<'a> {
        MetaKey { word, binary: false }
    }

    /// The key's bytes, decoded into `room` if the word is base64.
    pub fn bytes<'b>(self, room: &'b mut [u8; MAX_KEY_LEN]) -> &'b [u8]
    where
        'a: 'b,
    {
        if self.binary { decode_key(self.word, room).unwrap_or_default() } else { self.word }
    }
}

/// A meta request: key, flags, and the flags' numbers.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// The key.
    pub key: MetaKey<'a>,
    words: Tokens<'a>,
    present: u64,
    /// `T`: exptime to set.
    pub exptime: Option<i64>,
    /// `N`: exptime of an item created on a miss.
    pub vivify: Option<i64>,
    /// `R`: recache if less time than this is left.
    pub recache: Option<i64>,
    /// `C`: CAS unique to compare with.
    pub compare_cas: Option<u64>,
    /// `E`: CAS unique of the new state.
    pub new_cas: Option<u64>,
    /// `F`: client flags.
    pub client_flags: u32,
    /// `J`: initial number on a miss.
    pub initial: u64,
    /// `D`: delta.
    pub delta: u64,
}

impl<'a> Meta<'a> {
    /// Whether the flag was given.
    pub fn has(&self, letter: u8) -> bool {
        self.present & bit(letter) != 0
    }

    /// `q`: no answer for the usual outcome.
    pub fn quiet(&self) -> bool {
        self.has(b'q')
    }

    /// The flags in the client's order: letter and argument.
    pub fn flags(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.words
            .filter_map(|word| word.split_first().map(|(&letter, argument)| (letter, argument)))
    }
}

/// An `ms` line. Its value, `len` bytes and a line end, follows in the stream.
#[derive(Clone, Copy, Debug)]
pub struct MetaStore<'a> {
    /// Key and flags.
    pub meta: Meta<'a>,
    /// The storage command named by flag `M`; `set` without it. With a CAS unique to compare with
    /// (flag `C`), a set or replace is a `cas`.
    pub verb: Verb,
    /// Bytes of the value, at most [`crate::MAX_VALUE_LEN`].
    pub len: usize,
}

/// `ma`.
#[derive(Clone, Copy, Debug)]
pub struct MetaArithmetic<'a> {
    /// Key and flags.
    pub meta: Meta<'a>,
    /// Flag `M`: increment if true.
    pub increment: bool,
}

type Outcome<T> = Result<T, Refused>;

fn bit(letter: u8) -> u64 {
    match letter {
        b'A'..=b'z' => 1 << (letter - b'A'),
        _ => 0,
    }
}

/// Reads the flags. An unknown or repeated flag ends the reading; of other mistakes the last one is
/// reported.
fn flags<'a>(key: &'a [u8], words: Tokens<'a>) -> Result<Meta<'a>, Refusal> {
    let mut meta = Meta {
        key: MetaKey::plain(key),
        words,
        present: 0,
        exptime: None,
        vivify: None,
        recache: None,
        compare_cas: None,
        new_cas: None,
        client_flags: 0,
        initial: 0,
        delta: 1,
    };
    let mut mistake = None;
    for word in words {
        let (letter, argument) = (word[0], &word[1..]);
        if meta.has(letter) {
            return Err(Refusal::DuplicateFlag);
        }
        let wrong = match letter {
            b'b' => {
                meta.key.binary = true;
                let mut room = [0; MAX_KEY_LEN];
                decode_key(key, &mut room).is_none().then_some(Refusal::BadBase64Key)
            }
            b'T' => number_into(&mut meta.exptime, number::signed(argument)),
            b'N' => number_into(&mut meta.vivify, number::signed(argument)),
            b'R' => number_into(&mut meta.recache, number::signed(argument)),
            b'C' => number_into(&mut meta.compare_cas, number::unsigned(argument)),
            b'E' => number_into(&mut meta.new_cas, number::unsigned(argument)),
            b'F' => match number::unsigned32(argument) {
                Some(client_flags) => {
                    meta.client_flags = client_flags;
                    None
                }
                None => Some(mistake.unwrap_or(Refusal::BadFormat)),
            },
            b'J' => match number::unsigned(argument) {
                Some(initial) => {
                    meta.initial = initial;
                    None
                }
                None => Some(Refusal::BadInitial),
            },
            b'D' => match number::unsigned(argument) {
                Some(delta) => {
                    meta.delta = delta;
                    None
                }
                None => Some(Refusal::BadMetaDelta),
            },
            b'M' | b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'v' | b'h' | b'l'
            | b'u' | b'q' | b'x' | b'I' => None,
            _ => return Err(Refusal::InvalidFlag),
        };
        meta.present |= bit(letter);
        mistake = wrong.or(mistake);
    }
    match mistake {
        Some(refusal) => Err(refusal),
        None if !meta.key.binary && !is_key(key) => Err(Refusal::BadFormat),
        None => Ok(meta),
    }
}

fn number_into<T>(slot: &mut Option<T>, number: Option<T>) -> Option<Refusal> {
    *slot = number;
    slot.is_none().then_some(Refusal::BadToken)
}

/// The letter after `M`, if there is an `M`; a space if no letter follows. As in memcached, further
/// letters are ignored.
fn mode_letter(meta: &Meta<'_>) -> Option<u8> {
    let mode = meta.flags().find(|&(letter, _)| letter == b'M');
    mode.map(|(_, argument)| argument.first().copied().unwrap_or(b' '))
}

fn check_opaque(meta: &Meta<'_>) -> Result<(), Refusal> {
    let fits =
        |(letter, argument): (u8, &[u8])| letter != b'O' || argument.len() < MAX_OPAQUE_TOKEN;
    if meta.flags().all(fits) { Ok(()) } else { Err(Refusal::OpaqueTooLong) }
}

/// Whether a word can be a flag: for 1.6.45, a line with any other word is not a meta command.
fn looks_like_flag(word: &[u8]) -> bool {
    word.first().is_some_and(|letter| matches!(letter, b'A'..=b'z' | b'0'..=b'9'))
}

/// Checks the length of the key and the number of flags. `before` is the number of words before the
/// flags.
fn check_words(key: &[u8], flags: Tokens<'_>, before: usize) -> Result<(), Refusal> {
    let (mut flags, mut count) = (flags, before);
    if !flags.all(|word| {
        count += 1;
        looks_like_flag(word)
    }) || key.len() > MAX_KEY_LEN
    {
        return Err(Refusal::BadFormat);
    }
    if count > MAX_WORDS { Err(Refusal::TooManyFlags) } else { Ok(()) }
}

fn key_and_flags(mut words: Tokens<'_>) -> Result<(&[u8], Tokens<'_>), Refusal> {
    let key = words.next().ok_or(Refusal::BadFormat)?;
    check_words(key, words, 2)?;
    Ok((key, words))
}

/// Parses `mg` and `md`.
pub(crate) fn plain(words: Tokens<'_>) -> Outcome<Meta<'_>> {
    let (key, words) = key_and_flags(words)?;
    let meta = flags(key, words)?;
    check_opaque(&meta)?;
    Ok(meta)
}

pub(crate) fn store(words: Tokens<'_>) -> Outcome<MetaStore<'_>> {
    store_line(words)
        .map_err(|refusal| Refused::from(refusal).followed_by(announced::follows_number(words)))
}

fn store_line(words: Tokens<'_>) -> Result<MetaStore<'_>, Refusal> {
    let mut rest = words;
    let key = rest.next().ok_or(Refusal::BadFormat)?;
    let len = rest.next().and_then(number::value_len).ok_or(Refusal::BadFormat)?;
    check_words(key, rest, 3)?;
    let meta = flags(key, rest)?;
    let verb = match (mode_letter(&meta), meta.compare_cas) {
        (None | Some(b'S' | b'R'), Some(_)) => Verb::Cas,
        (None | Some(b'S'), None) => Verb::Set,
        (Some(b'R'), None) => Verb::Replace,
        (Some(b'E'), _) => Verb::Add,
        (Some(b'A'), _) => Verb::Append,
        (Some(b'P'), _) => Verb::Prepend,
        (Some(_), _) => return Err(Refusal::BadStoreMode),
    };
    check_opaque(&meta)?;
    Ok(MetaStore { meta, verb, len })
}

pub(crate) fn arithmetic(words: Tokens<'_>) -> Outcome<MetaArithmetic<'_>> {
    let (key, words) = key_and_flags(words)?;
    // memcached gives one answer for every mistake in these flags.
    let meta = flags(key, words).map_err(|refusal| match refusal {
        Refusal::BadFormat => Refusal::BadFormat,
        _ => Refusal::InvalidOrDuplicateFlag,
    })?;
    let increment = match mode_letter(&meta) {
        None | Some(b'I' | b'+') => true,
        Some(b'D' | b'-') => false,
        Some(_) => return Err(Refusal::BadArithmeticMode.into()),
    };
    check_opaque(&meta)?;
    Ok(MetaArithmetic { meta, increment })
}

pub(crate) fn debug(mut words: Tokens<'_>) -> Outcome<MetaKey<'_>> {
    let word = words.next().ok_or(Refusal::BadFormat)?;
    let binary = words.next() == Some(b"b");
    let mut room = [0; MAX_KEY_LEN];
    let good = word.len() <= MAX_KEY_LEN
        && if binary { decode_key(word, &mut room).is_some() } else { is_key(word) };
    if !good {
        return Err(Refusal::BadFormat.into());
    }
    Ok(MetaKey { word, binary })
}
