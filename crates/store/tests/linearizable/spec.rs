//! One key of a cache, one operation at a time, as a specification for stateright's tester.

use stateright::semantics::SequentialSpec;

/// A key: its value and CAS unique, if it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) item: Option<(String, u64)>,
    /// Whether the item may be evicted at any moment.
    pub(crate) leaves: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Get,
    Set(String),
    Add(String),
    Cas(u64, String),
    Append(String),
    Increment(u64),
    Delete,
    Touch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ret {
    Hit(String, u64),
    Stored(u64),
    NotStored,
    Exists,
    NonNumeric,
    Number(u64, u64),
    Done,
    Miss,
}

impl Key {
    /// The answer of the operation if a new state gets the CAS unique `cas`.
    fn apply(&mut self, op: &Op, cas: u64) -> Ret {
        let there = self.item.clone();
        let mut store = |value| {
            self.item = Some((value, cas));
            Ret::Stored(cas)
        };
        match (op, there) {
            (Op::Set(value), _) | (Op::Add(value), None) => store(value.clone()),
            (Op::Add(_), Some(_)) | (Op::Append(_), None) => Ret::NotStored,
            (Op::Get, Some((value, cas))) => Ret::Hit(value, cas),
            (Op::Cas(compare, value), Some((_, there))) if *compare == there => {
                store(value.clone())
            }
            (Op::Cas(..), Some(_)) => Ret::Exists,
            (Op::Append(part), Some((value, _))) => store(value + part),
            (Op::Increment(delta), Some((value, _))) => match value.parse::<u64>() {
                Err(_) => Ret::NonNumeric,
                Ok(number) => {
                    let number = number.wrapping_add(*delta);
                    store(number.to_string());
                    Ret::Number(number, cas)
                }
            },
            (Op::Delete, Some(_)) => {
                self.item = None;
                Ret::Done
            }
            (Op::Touch, Some(_)) => Ret::Done,
            (_, None) => Ret::Miss,
        }
    }
}

impl SequentialSpec for Key {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        self.apply(op, 0)
    }

    fn is_valid_step(&mut self, op: &Op, ret: &Ret) -> bool {
        let cas = match ret {
            Ret::Stored(cas) | Ret::Number(_, cas) => *cas,
            _ => 0,
        };
        let mut after = self.clone();
        if after.apply(op, cas) != *ret {
            if !self.leaves {
                return false;
            }
            // Only if the item was evicted just before.
            after.item = None;
            if after.apply(op, cas) != *ret {
                return false;
            }
        }
        *self = after;
        true
    }
}
