//! A linearizability checker for one key.
//!
//! A key is a register that may forget: a get returns the newest value or misses, and a miss is always
//! allowed. Every value is written at most once, which makes the check efficient: Gibbons and Korach,
//! "Testing Shared Memories", SIAM Journal on Computing 26(4), 1997.
//!
//! A write and the reads that returned its value form a *cluster*. Its *zone* lies between the first response
//! and the last invocation of its members. If the first response comes before the last invocation, the key
//! must have had this value for the whole zone: the zone is *forward*. Otherwise one moment in the zone
//! suffices: the zone is *backward*. The history is linearizable exactly if
//!
//! - no value is read before its write is invoked, or without any write,
//! - no two forward zones overlap, and
//! - no backward zone lies inside a forward one.
//!
//! A delete is a write whose value is never read. A write that was answered with an error may have taken
//! effect, or may do so later. It has no response, and if its value was never read, it does not constrain the
//! history.

use std::collections::HashMap;
use std::fmt;

/// A moment, in any unit that all clients share.
pub type Moment = u64;

/// The effect of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wrote this value, which no other operation writes.
    Write(u64),
    /// Read this value. A miss is not recorded.
    Read(u64),
    /// Removed the value, if there was one.
    Delete,
}

/// One client's operation on the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The effect.
    pub action: Action,
    /// Before the request was sent.
    pub invoked: Moment,
    /// After the answer was read; `None` if there was no answer that tells the effect.
    pub responded: Option<Moment>,
}

/// The reason why a history is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A value was read that was never written.
    Unwritten(u64),
    /// A value was written twice, so the checker does not apply.
    WrittenTwice(u64),
    /// A value was read before its write was invoked.
    FromTheFuture(u64),
    /// The key must have had both values at the same moment.
    Overlap(Zone, Zone),
    /// The first value was written or deleted while the key must have had the second.
    Within(Zone, Zone),
}

/// The time from the first response to the last invocation of the operations on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The value; `None` for a delete.
    pub value: Option<u64>,
    /// The first response. Without any response, it is later than everything.
    pub first_response: Moment,
    /// The last invocation.
    pub last_invocation: Moment,
}

impl Zone {
    fn of(value: Option<u64>, write: &Operation) -> Zone {
        Zone {
            value,
            first_response: write.responded.unwrap_or(Moment::MAX),
            last_invocation: write.invoked,
        }
    }

    /// Whether the key must have had the value from the first response to the last invocation.
    fn is_forward(&self) -> bool {
        self.first_response < self.last_invocation
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Unwritten(value) => write!(f, "{value} was read and never written"),
            Violation::WrittenTwice(value) => write!(f, "{value} was written twice"),
            Violation::FromTheFuture(value) => write!(f, "{value} was read before it was written"),
            Violation::Overlap(one, other) => write!(f, "two values at once: {one:?}, {other:?}"),
            Violation::Within(inner, outer) => {
                write!(f, "{inner:?} came and went while another stood: {outer:?}")
            }
        }
    }
}

/// Checks the history of one key. Operations may come in any order.
///
/// # Errors
/// The first violation found.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let mut clusters: HashMap<u64, (Zone, Moment, bool, bool)> = HashMap::new();
    let mut backward = Vec::new();
    for operation in operations {
        match operation.action {
            Action::Write(value) => {
                let zone = Zone::of(Some(value), operation);
                let answered = operation.responded.is_some();
                let cluster = (zone, operation.invoked, answered, false);
                if clusters.insert(value, cluster).is_some() {
                    return Err(Violation::WrittenTwice(value));
                }
            }
            Action::Delete if operation.responded.is_some() => {
                backward.push(Zone::of(None, operation));
            }
            Action::Delete | Action::Read(_) => {}
        }
    }
    for operation in operations {
        let (Action::Read(value), Some(responded)) = (operation.action, operation.responded) else {
            continue;
        };
        let Some((zone, written, _, read)) = clusters.get_mut(&value) else {
            return Err(Violation::Unwritten(value));
        };
        if responded < *written {
            return Err(Violation::FromTheFuture(value));
        }
        zone.first_response = zone.first_response.min(responded);
        zone.last_invocation = zone.last_invocation.max(operation.invoked);
        *read = true;
    }
    let mut forward = Vec::new();
    for (zone, _, answered, read) in clusters.into_values() {
        if zone.is_forward() {
            forward.push(zone);
        } else if answered || read {
            backward.push(zone);
        }
    }
    forward.sort_unstable_by_key(|zone| zone.first_response);
    for pair in forward.windows(2) {
        if pair[1].first_response < pair[0].last_invocation {
            return Err(Violation::Overlap(pair[0], pair[1]));
        }
    }
    for inner in backward {
        // Forward zones do not overlap, so only the last one that begins earlier can contain it.
        let begun = |zone: &Zone| zone.first_response < inner.last_invocation;
        let outer = forward[..forward.partition_point(begun)].last();
        if let Some(outer) = outer.filter(|outer| inner.first_response < outer.last_invocation) {
            return Err(Violation::Within(inner, *outer));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    fn write(value: u64, invoked: Moment, responded: Moment) -> Operation {
        Operation { action: Action::Write(value), invoked, responded: Some(responded) }
    }

    fn read(value: u64, invoked: Moment, responded: Moment) -> Operation {
        Operation { action: Action::Read(value), invoked, responded: Some(responded) }
    }

    fn delete(invoked: Moment, responded: Moment) -> Operation {
        Operation { action: Action::Delete, invoked, responded: Some(responded) }
    }

    fn lost(action: Action, invoked: Moment) -> Operation {
        Operation { action, invoked, responded: None }
    }

    #[test]
    fn one_after_the_other_is_fine() {
        let history = [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7), delete(8, 9)];
        assert_eq!(check(&history), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn concurrent_reads_may_see_either_value() {
        assert_eq!(check(&[write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(2, 5, 6)]), Ok(()));
        assert_eq!(check(&[write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6)]), Ok(()));
        let back = [write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)];
        assert!(matches!(check(&back), Err(Violation::Overlap(..) | Violation::Within(..))));
    }

    #[test]
    fn a_stale_read_after_an_overwrite_is_found() {
        let stale = [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)];
        assert!(
            matches!(check(&stale), Err(Violation::Within(inner, _)) if inner.value == Some(2))
        );
        let seen = [write(1, 0, 1), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)];
        assert!(matches!(check(&seen), Err(Violation::Overlap(..))));
    }

    #[test]
    fn a_value_does_not_come_back_after_a_delete() {
        let stale = [write(1, 0, 1), delete(2, 3), read(1, 4, 5)];
        assert!(matches!(check(&stale), Err(Violation::Within(inner, _)) if inner.value.is_none()));
        assert_eq!(check(&[write(1, 0, 1), delete(2, 6), read(1, 4, 5)]), Ok(()));
    }

    #[test]
    fn values_come_from_somewhere() {
        assert_eq!(check(&[read(1, 0, 1)]), Err(Violation::Unwritten(1)));
        assert_eq!(check(&[read(1, 0, 1), write(1, 2, 3)]), Err(Violation::FromTheFuture(1)));
        assert_eq!(check(&[write(1, 0, 1), write(1, 2, 3)]), Err(Violation::WrittenTwice(1)));
    }

    #[test]
    fn a_write_without_an_answer_may_take_effect_late_or_never() {
        let unanswered = lost(Action::Write(2), 2);
        assert_eq!(check(&[write(1, 0, 1), unanswered, read(1, 4, 5)]), Ok(()));
        let late = [write(1, 0, 1), unanswered, read(1, 4, 5), read(2, 6, 7)];
        assert_eq!(check(&late), Ok(()));
        let back = [write(1, 0, 1), unanswered, read(2, 4, 5), read(1, 6, 7)];
        assert!(check(&back).is_err());
        let deleted = [write(1, 0, 1), lost(Action::Delete, 2), read(1, 4, 5)];
        assert_eq!(check(&deleted), Ok(()));
    }

    /// Tries every order that is consistent with time.
    fn by_trying(operations: &[Operation]) -> bool {
        fn go(operations: &[Operation], done: u32, value: Option<u64>) -> bool {
            let whole = (1u32 << operations.len()) - 1;
            // An operation without a response need not have happened.
            let owed = |i: usize| operations[i].responded.is_some();
            if (0..operations.len()).all(|i| done & 1 << i != 0 || !owed(i)) {
                return true;
            }
            assert!(done <= whole);
            (0..operations.len()).filter(|i| done & 1 << i == 0).any(|i| {
                let first = (0..operations.len())
                    .filter(|&j| j != i && done & 1 << j == 0)
                    .all(|j| operations[j].responded.is_none_or(|at| at >= operations[i].invoked));
                let after = match operations[i].action {
                    Action::Write(written) => Some(Some(written)),
                    Action::Delete => Some(None),
                    Action::Read(seen) => (value == Some(seen)).then_some(value),
                };
                first && after.is_some_and(|value| go(operations, done | 1 << i, value))
            })
        }
        go(operations, 0, None)
    }

    #[test]
    fn the_zones_agree_with_trying_every_order() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut verdicts = [0; 2];
        for _ in 0..20_000 {
            let mut history = Vec::new();
            for number in 0..rng.random_range(2..7) {
                let invoked = rng.random_range(0..12);
                let answered = rng.random_bool(0.9);
                let responded = invoked + rng.random_range(1..5);
                let action = match rng.random_range(0..6) {
                    0..=1 => Action::Write(number),
                    2 => Action::Delete,
                    _ => Action::Read(rng.random_range(0..6)),
                };
                let always = matches!(action, Action::Read(_));
                let responded = (answered || always).then_some(responded);
                history.push(Operation { action, invoked, responded });
            }
            let expected = by_trying(&history);
            verdicts[usize::from(expected)] += 1;
            assert_eq!(check(&history).is_ok(), expected, "{history:?}: {:?}", check(&history));
        }
        assert!(verdicts.iter().all(|&count| count > 1000), "one-sided: {verdicts:?}");
    }
}
