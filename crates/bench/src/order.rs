//! The order of servers in a round.

/// Returns the order of a round. Every second round runs backwards, and every second pair of rounds begins
/// with another server, so that no server is always early or always after the same one.
pub(crate) fn order(round: u32, count: usize) -> Vec<usize> {
    let first = usize::try_from(round / 2).unwrap_or(0);
    let mut order: Vec<usize> = (0..count).map(|place| (first + place) % count).collect();
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_take_turns_at_being_first() {
        let firsts: Vec<usize> = (0..8).map(|round| order(round, 2)[0]).collect();
        assert_eq!(firsts, [0, 1, 1, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn three_come_in_every_order() {
        let orders: std::collections::BTreeSet<_> = (0..6).map(|round| order(round, 3)).collect();
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn everybody_has_one_turn_in_each_round() {
        for count in 1..8 {
            for round in 0..20 {
                let mut all = order(round, count);
                all.sort_unstable();
                assert!(all.into_iter().eq(0..count));
            }
        }
    }
}
