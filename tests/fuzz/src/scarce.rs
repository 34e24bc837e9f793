//! Histories on a node too small for them: any item may have been evicted, but what is there must be
//! what was stored last.
//!
//! Only requests whose answer tells whether the item was there are asked, one key each.

use crate::answer::Answer;
use crate::choices::Choices;
use crate::generate::filled;
use crate::model::Model;
use crate::request::{Block, Request, Verb};
use crate::session::Tally;

const KEYS: usize = 48;

/// Lengths that fill a megabyte with a few dozen values, and small ones between.
const LENGTHS: [usize; 8] = [65_000, 60_000, 50_000, 40_000, 30_000, 9_000, 4_100, 100];

/// Requests that leave little room on a node of one megabyte.
pub(crate) fn fill() -> impl Iterator<Item = Request> {
    const FILLED: usize = 18;
    (0..FILLED).map(|at| Request::Store {
        verb: Verb::Set,
        key: key(at),
        flags: 0,
        exptime: 0,
        cas: 0,
        block: Block { value: vec![b'f'; LENGTHS[2]], spoiled: false },
        noreply: false,
    })
}

fn key(number: usize) -> Vec<u8> {
    format!("small:{number}").into_bytes()
}

/// A request about one key.
pub(crate) fn request(choices: &mut Choices<'_>) -> Request {
    use Verb::{Add, Append, Prepend, Replace, Set};

    let key = key(choices.below(KEYS));
    match choices.below(12) {
        0..=5 => {
            let verb = choices.pick(&[Set, Set, Set, Set, Add, Replace, Append, Prepend]);
            let value = filled(choices.pick(&LENGTHS), choices);
            let block = Block { value, spoiled: false };
            Request::Store { verb, key, flags: 0, exptime: 0, cas: 0, block, noreply: false }
        }
        6..=9 => Request::Get { exptime: None, with_cas: choices.once_in(2), keys: vec![key] },
        10 => Request::Delete { key, zero: false, noreply: false },
        _ => Request::Get {
            exptime: Some(choices.pick(&[0, 1, 10])),
            with_cas: false,
            keys: vec![key],
        },
    }
}

fn key_of(request: &Request) -> Option<&[u8]> {
    match request {
        Request::Store { key, .. } | Request::Delete { key, .. } => Some(key),
        Request::Get { keys, .. } => keys.first().map(Vec::as_slice),
        _ => None,
    }
}

/// Takes the answer to a request off the front of `answers`: if it is not as though the item were
/// there, it must be as though it were not.
pub(crate) fn meet<'a>(
    model: &mut Model,
    request: &Request,
    answers: &'a [u8],
    tally: &mut Tally,
) -> Result<&'a [u8], Answer> {
    let key = key_of(request).unwrap_or_default();
    let was_there = model.holds(key);
    let book = model.book().clone();
    let answer = model.apply(request);
    if let Some(rest) = answer.take_off(answers, model.book()) {
        tally.kept += u64::from(was_there);
        return Ok(rest);
    }
    if !was_there {
        return Err(answer);
    }
    // Whatever the request would have made of it: it met nothing.
    *model.book() = book;
    model.evict(key);
    tally.evicted += 1;
    model.apply(request).take_off(answers, model.book()).ok_or(answer)
}
