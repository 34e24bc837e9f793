//! The decisions of a history: their source, and the choice of the next operation.

use ringbinder_store::{Arithmetic, Cas, Delete, Expiry, MetaGet, Mode, Seconds};

use super::model::{Item, KeyOp};

/// A source of decisions.
pub(crate) trait Choices {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u32) -> u32;

    fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == n - 1
    }

    /// Letters, different ones nearly every time.
    fn letters(&mut self) -> [u8; 13] {
        [0; 13].map(|_: u8| b'a' + u8::try_from(self.below(26)).unwrap_or(0))
    }

    fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(u32::try_from(options.len()).expect("a few")) as usize]
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Choices for Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = (mixed ^ (mixed >> 31)) >> 32;
        u32::try_from((high * u64::from(bound)) >> 32).expect("below the bound")
    }
}

/// The next operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Key(u32, KeyOp),
    /// Forget the keys in one residue class of the numbers: the class, and the number of classes.
    Forget(u32, u32),
    /// Flush after this number of seconds.
    Flush(Seconds),
    Sweep,
    Resize(u64),
    ForEach,
    ResetCounters,
    Validate,
    /// Begin to restore items of another store, or end that.
    Restore,
    /// Seconds pass.
    Pass(Seconds),
}

/// The parameters of the histories of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) keys: u32,
    /// Longest value.
    pub(crate) longest: u32,
    /// Budgets that the store gets in turn.
    pub(crate) budgets: Vec<u64>,
    /// Operations for each one that concerns the whole store.
    pub(crate) whole: u32,
}

impl Mix {
    pub(crate) fn next<'m>(
        &self,
        choices: &mut impl Choices,
        now: Seconds,
        item: impl Fn(u32) -> Option<&'m Item>,
    ) -> Op {
        if choices.once_in(self.whole) {
            return self.next_whole(choices);
        }
        // A third of the operations concern a few keys.
        let hot = self.keys.div_ceil(40);
        let key = if choices.below(3) == 0 { choices.below(hot) } else { choices.below(self.keys) };
        let op = self.next_on_key(choices, now, item(key));
        Op::Key(key, op)
    }

    fn next_whole(&self, choices: &mut impl Choices) -> Op {
        match choices.below(64) {
            0..36 => Op::Pass(choices.below(4)),
            36..41 => {
                let every = choices.pick(&[3, 10, 100]);
                Op::Forget(choices.below(every), every)
            }
            41 => Op::Flush(choices.pick(&[0, 0, 1, 5, 30])),
            42..50 => Op::Sweep,
            50..56 => Op::Resize(choices.pick(&self.budgets)),
            56..59 => Op::ForEach,
            59 => Op::ResetCounters,
            60 | 61 => Op::Restore,
            _ => Op::Validate,
        }
    }

    fn next_on_key(&self, choices: &mut impl Choices, now: Seconds, item: Option<&Item>) -> KeyOp {
        let cas = item.map_or(7, |item| item.meta.cas);
        let compare = |choices: &mut dyn FnMut(u32) -> u32| -> Cas {
            match choices(8) {
                0..4 => 0,
                4..6 => cas,
                6 => cas.wrapping_sub(1),
                _ => cas.wrapping_add(1),
            }
        };
        match choices.below(32) {
            0..8 => KeyOp::Get,
            8 => KeyOp::Peek,
            9 => KeyOp::GetAndTouch(expiry(choices, now)),
            10 => KeyOp::Touch(expiry(choices, now)),
            11..14 => KeyOp::MetaGet {
                how: MetaGet {
                    bump: choices.below(2) == 0,
                    vivify: choices.below(2) == 0,
                    new_cas: new_cas(choices),
                },
                expiry: some(choices, |choices| expiry(choices, now)),
                win: choices.below(2) == 0,
            },
            14..25 => {
                let mode = choices.pick(&[
                    Mode::Set,
                    Mode::Set,
                    Mode::Set,
                    Mode::Add,
                    Mode::Add,
                    Mode::Replace,
                    Mode::Append,
                    Mode::Prepend,
                    Mode::Cas,
                ]);
                let joins = matches!(mode, Mode::Append | Mode::Prepend);
                let longest = if joins { self.longest.min(60_000) } else { self.longest };
                let with = compare(&mut |bound| choices.below(bound));
                KeyOp::Write {
                    mode,
                    value: value(choices, longest),
                    shared: choices.once_in(4),
                    flags: choices.pick(&[0, 0, 1, u32::MAX]),
                    expiry: expiry(choices, now),
                    compare: if mode == Mode::Cas && with == 0 { cas } else { with },
                    new_cas: new_cas(choices),
                    accept_stale: choices.below(2) == 0,
                    vivify: if joins { some(choices, |it| expiry(it, now)) } else { None },
                    binary_key: choices.once_in(4),
                }
            }
            25..29 => KeyOp::Arithmetic(Arithmetic {
                increment: choices.below(3) < 2,
                delta: choices.pick(&[0, 1, 9, 1_000, u64::MAX]),
                compare: compare(&mut |bound| choices.below(bound)),
                new_cas: new_cas(choices),
                vivify: some(choices, |choices| u64::from(choices.below(1_000))),
            }),
            29 => KeyOp::Delete(Delete::PLAIN),
            _ => {
                let with = compare(&mut |bound| choices.below(bound));
                KeyOp::Delete(Delete {
                    compare: (with != 0).then_some(with),
                    mark_stale: choices.below(2) == 0,
                    expiry: some(choices, |choices| expiry(choices, now)),
                    drop_value: some(choices, |choices| choices.below(3)),
                    new_cas: new_cas(choices),
                })
            }
        }
    }
}

fn some<C: Choices, T>(choices: &mut C, make: impl FnOnce(&mut C) -> T) -> Option<T> {
    (choices.below(2) == 1).then(|| make(choices))
}

fn new_cas(choices: &mut impl Choices) -> Option<Cas> {
    let far = [1, 1 << 31, 1 << 32, 1 << 40, Cas::MAX - 1];
    choices.once_in(12).then(|| choices.pick(&far))
}

pub(crate) fn expiry(choices: &mut impl Choices, now: Seconds) -> Expiry {
    match choices.below(16) {
        0..9 => Expiry::NEVER,
        9 => Expiry::PAST,
        10..14 => Expiry::at(now + 1 + choices.below(20)),
        14 => Expiry::at(now + 1 + choices.below(2_000)),
        _ => Expiry::at(Seconds::MAX),
    }
}

/// A value of letters or a number. Most are short, some have the maximum length.
pub(crate) fn value(choices: &mut impl Choices, longest: u32) -> Vec<u8> {
    let len = match choices.below(64) {
        0..2 => 0,
        2..20 => return choices.below(2_000).to_string().into_bytes(),
        20 => return u64::MAX.to_string().into_bytes(),
        21 => {
            let mut padded = b"99 ".to_vec();
            padded.resize(3.max(choices.below(20_000.min(longest) + 1) as usize), b' ');
            return padded;
        }
        22..36 => choices.below(60.min(longest) + 1),
        36..50 => choices.below(2_000.min(longest) + 1),
        50..58 => choices.below(9_000.min(longest) + 1),
        58..63 => choices.below(30_000.min(longest) + 1),
        _ => choices.below(longest + 1),
    };
    // Any two values differ from their first letters on, wherever they are cut.
    choices.letters().iter().copied().cycle().take(len as usize).collect()
}
