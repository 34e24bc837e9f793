//! The meta commands: a key and single-letter flags, each at most once, some with an argument.
//!
//! Flags are read twice on purpose: here for what they ask, and by whoever writes the answer, which
//! repeats some of them in the order the client chose. Nothing is copied for either.

use crate::key::{MAX_KEY_LEN, decode_key, is_key};
use crate::refusal::Refused;
use crate::{Refusal, Tokens, number};

/// Most words of a meta request, command and key included.
const MAX_WORDS: usize = 20;

/// Longest opaque token in bytes, its `O` included.
const MAX_OPAQUE_TOKEN: usize = 32;

/// The key of a meta request, as sent or in base64.
#[derive(Clone, Copy, Debug)]
pub struct MetaKey<'a> {
    /// The word on the wire.
    pub word: &'a [u8],
    /// Whether the word is base64 (flag `b`). If so it is known to decode.
    pub binary: bool,
}

impl<'a> MetaKey<'a> {
    /// The key's bytes, decoded into `room` where the wire had base64.
    pub fn bytes<'b>(self, room: &'b mut [u8; MAX_KEY_LEN]) -> &'b [u8]
    where
        'a: 'b,
    {
        if self.binary { decode_key(self.word, room).unwrap_or_default() } else { self.word }
    }
}

/// What the letter behind `M` chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaMode {
    /// `ms`: set (`S` or no mode).
    Set,
    /// `ms`: add (`E`).
    Add,
    /// `ms`: append (`A`).
    Append,
    /// `ms`: prepend (`P`).
    Prepend,
    /// `ms`: replace (`R`).
    Replace,
    /// `ma`: increment (`I`, `+` or no mode).
    Increment,
    /// `ma`: decrement (`D`, `-`).
    Decrement,
}

/// A meta request: key, flags, and the numbers behind them.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// The key.
    pub key: MetaKey<'a>,
    words: Tokens<'a>,
    present: u64,
    /// `T`: exptime to give the item.
    pub exptime: Option<i64>,
    /// `N`: exptime of an item created on a miss.
    pub vivify: Option<i64>,
    /// `R`: recache if less time than this is left.
    pub recache: Option<i64>,
    /// `C`: CAS unique to compare with.
    pub compare_cas: Option<u64>,
    /// `E`: CAS unique to give the new state.
    pub new_cas: Option<u64>,
    /// `F`: client flags.
    pub client_flags: u32,
    /// `J`: number to start from on a miss.
    pub initial: u64,
    /// `D`: delta.
    pub delta: u64,
    /// `M`: what to do; [`MetaMode::Set`] or [`MetaMode::Increment`] where absent.
    pub mode: MetaMode,
}

impl<'a> Meta<'a> {
    /// Whether the flag was given.
    pub fn has(&self, letter: u8) -> bool {
        self.present & bit(letter) != 0
    }

    /// `q`: no answer for the outcome that was to be expected.
    pub fn quiet(&self) -> bool {
        self.has(b'q')
    }

    /// The flags in the order given: letter and what stands behind it.
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
    /// Bytes of the value, at most [`crate::MAX_VALUE_LEN`].
    pub len: usize,
}

type Outcome<T> = Result<T, Refused>;

fn bit(letter: u8) -> u64 {
    match letter {
        b'A'..=b'z' => 1 << (letter - b'A'),
        _ => 0,
    }
}

/// Reads the flags. The first flag that is unknown or repeated ends the reading; of other mistakes
/// the last one is reported.
fn flags<'a>(key: &'a [u8], words: Tokens<'a>) -> Result<Meta<'a>, Refusal> {
    let mut meta = Meta {
        key: MetaKey { word: key, binary: false },
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
        mode: MetaMode::Set,
    };
    let mut mistake = None;
    for word in words {
        let (letter, argument) = (word[0], &word[1..]);
        if letter >= 127 || meta.has(letter) {
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
            b'M' => (argument.len() != 1).then_some(Refusal::BadModeLength),
            b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'v' | b'h' | b'l' | b'u'
            | b'q' | b'x' | b'I' => None,
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

fn mode_letter(meta: &Meta<'_>) -> Option<u8> {
    meta.flags().find(|&(letter, _)| letter == b'M').map(|(_, argument)| argument[0])
}

fn check_opaque(meta: &Meta<'_>) -> Result<(), Refusal> {
    let fits =
        |(letter, argument): (u8, &[u8])| letter != b'O' || argument.len() < MAX_OPAQUE_TOKEN;
    if meta.flags().all(fits) { Ok(()) } else { Err(Refusal::OpaqueTooLong) }
}

/// The key, checked for length, and the words behind it, counted.
fn key_and_flags(mut words: Tokens<'_>, too_many: Refusal) -> Result<(&[u8], Tokens<'_>), Refusal> {
    let key = words.next().ok_or(Refusal::Unknown)?;
    if key.len() > MAX_KEY_LEN {
        return Err(Refusal::BadFormat);
    }
    if words.count() + 2 > MAX_WORDS {
        return Err(too_many);
    }
    Ok((key, words))
}

pub(crate) fn get(words: Tokens<'_>) -> Outcome<Meta<'_>> {
    let (key, words) = key_and_flags(words, Refusal::TooManyMetaGetFlags)?;
    let meta = flags(key, words)?;
    check_opaque(&meta)?;
    Ok(meta)
}

pub(crate) fn store(words: Tokens<'_>) -> Outcome<MetaStore<'_>> {
    let mut rest = words;
    let key = rest.next().ok_or(Refusal::Unknown)?;
    let len = rest.next().and_then(number::value_len).ok_or(Refusal::BadFormat)?;
    let swallow = |refusal: Refusal| Refused::from(refusal).swallowing(len);
    if key.len() > MAX_KEY_LEN {
        return Err(swallow(Refusal::BadFormat));
    }
    if rest.count() + 3 > MAX_WORDS {
        return Err(swallow(Refusal::TooManyFlags));
    }
    let mut meta = flags(key, rest).map_err(swallow)?;
    meta.mode = match mode_letter(&meta) {
        None | Some(b'S') => MetaMode::Set,
        Some(b'E') => MetaMode::Add,
        Some(b'A') => MetaMode::Append,
        Some(b'P') => MetaMode::Prepend,
        Some(b'R') => MetaMode::Replace,
        Some(_) => return Err(swallow(Refusal::BadStoreMode)),
    };
    check_opaque(&meta).map_err(swallow)?;
    Ok(MetaStore { meta, len })
}

/// `md` and `ma` sum up whatever is wrong with their flags.
fn summed_up(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Unknown | Refusal::TooManyFlags => refusal,
        Refusal::BadFormat => Refusal::BadFormat,
        _ => Refusal::InvalidOrDuplicateFlag,
    }
}

pub(crate) fn delete(words: Tokens<'_>) -> Outcome<Meta<'_>> {
    let (key, words) = key_and_flags(words, Refusal::TooManyFlags)?;
    let meta = flags(key, words).map_err(summed_up)?;
    check_opaque(&meta)?;
    Ok(meta)
}

pub(crate) fn arithmetic(words: Tokens<'_>) -> Outcome<Meta<'_>> {
    let (key, words) = key_and_flags(words, Refusal::TooManyFlags)?;
    let mut meta = flags(key, words).map_err(summed_up)?;
    meta.mode = match mode_letter(&meta) {
        None | Some(b'I' | b'+') => MetaMode::Increment,
        Some(b'D' | b'-') => MetaMode::Decrement,
        Some(_) => return Err(Refusal::BadArithmeticMode.into()),
    };
    check_opaque(&meta)?;
    Ok(meta)
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
