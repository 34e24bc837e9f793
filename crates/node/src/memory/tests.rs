use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::line::STALLED;
use super::*;

const MIB: u64 = 1 << 20;

/// An account of its own, with a connection memory on it.
struct Fixture {
    memory: Arc<ConnectionMemory>,
    now: Instant,
}

impl Fixture {
    fn new(limit: u64) -> Fixture {
        let memory = Arc::new(ConnectionMemory::new(limit, 1));
        Fixture { memory, now: Instant::now() }
    }

    fn grow(&self, arrival: &mut Arrival, held: u64, bytes: u64) -> bool {
        let context = Context::from_waker(Waker::noop());
        arrival.poll_grow(held, bytes, self.now, &context).is_ready()
    }

    fn look(&self) -> Option<Shortage> {
        self.memory.look(self.now)
    }

    fn turn(&self, id: u32) -> Poll<()> {
        self.memory.poll_turn(id, &Context::from_waker(Waker::noop()))
    }
}

/// Arriving data, and the bytes that it has taken.
struct Taking<'a> {
    arrival: Arrival,
    charge: Charge,
    fixture: &'a Fixture,
}

impl<'a> Taking<'a> {
    fn begin(fixture: &'a Fixture) -> Taking<'a> {
        let arrival = Arrival::begin(&fixture.memory);
        Taking { arrival, charge: Charge::new(&fixture.memory), fixture }
    }

    fn take(&mut self, bytes: u64) -> bool {
        let held = self.charge.bytes();
        let taken = self.fixture.grow(&mut self.arrival, held, bytes);
        if taken {
            self.charge.set(held + bytes);
        }
        taken
    }
}

#[test]
fn the_default_is_an_eighth_and_32_mib_at_least() {
    assert_eq!(default_limit(64 * MIB), 32 * MIB);
    assert_eq!(default_limit(1024 * MIB), 128 * MIB);
}

#[test]
fn a_charge_counts_what_it_was_set_to_until_it_goes() {
    let fixture = Fixture::new(32 * MIB);
    let mut charge = Charge::of(100, &fixture.memory);
    charge.set(700);
    charge.set(300);
    assert_eq!((charge.bytes(), fixture.memory.held()), (300, 300));
    drop(charge);
    assert_eq!(fixture.memory.held(), 0);
}

#[test]
fn what_arrives_takes_half_and_then_waits_in_the_order_in_which_it_began() {
    let fixture = Fixture::new(32 * MIB);
    let [mut first, mut second, mut third] = std::array::from_fn(|_| Taking::begin(&fixture));
    assert!(second.take(6 * MIB) && first.take(6 * MIB) && third.take(4 * MIB));
    assert!(!third.take(MIB) && !second.take(MIB) && !first.take(MIB));
    assert_eq!(fixture.look(), Some(Shortage { bytes: MIB, is_urgent: false }));
    assert!(!second.take(MIB) && !third.take(MIB), "who began first comes first");
    assert!(first.take(MIB), "the first may go beyond what all may hold");
    assert!(first.take(100 * MIB));
    assert!(!fixture.memory.is_full(), "what goes beyond does not count");
    assert!(!third.take(MIB), "not before the second");
    assert!(second.take(6 * MIB) && !second.take(MIB), "half is taken again");
    drop(first);
    assert!(!third.take(MIB) && !second.take(MIB));
    fixture.look();
    assert!(second.take(20 * MIB) && third.take(5 * MIB));
    drop((second, third));
    assert_eq!((fixture.memory.held(), fixture.look()), (0, None));
}

#[test]
fn one_at_a_time_goes_beyond_and_the_next_one_where_it_stalls() {
    for others in [0, 2 * MIB] {
        let mut fixture = Fixture::new(32 * MIB);
        let begun = fixture.now;
        let [mut one, mut other] = std::array::from_fn(|_| {
            (Arrival::begin(&fixture.memory), Charge::new(&fixture.memory))
        });
        let grow = |fixture: &Fixture, (arrival, charge): &mut (Arrival, Charge), bytes| {
            let taken = fixture.grow(arrival, charge.bytes(), bytes);
            if taken {
                charge.set(charge.bytes() + bytes);
            }
            taken
        };
        assert!(grow(&fixture, &mut one, 10 * MIB) && grow(&fixture, &mut other, 6 * MIB));
        assert!(!grow(&fixture, &mut one, 2 * MIB) && !grow(&fixture, &mut other, MIB));
        fixture.look();
        assert!(grow(&fixture, &mut one, 2 * MIB), "it goes beyond");
        assert!(grow(&fixture, &mut other, 4 * MIB), "what goes beyond does not count");
        let _answers = Charge::of(usize::try_from(others).unwrap(), &fixture.memory);
        assert!(!grow(&fixture, &mut other, 8 * MIB));
        fixture.now = begun + STALLED / 2;
        fixture.look();
        assert!(!grow(&fixture, &mut other, 8 * MIB));
        fixture.now = begun + STALLED;
        fixture.look();
        let has_room = others == 0;
        assert_eq!(grow(&fixture, &mut other, 8 * MIB), has_room, "beside {others}");
        assert!(!has_room || !grow(&fixture, &mut one, 5 * MIB), "its time is over");
    }
}

#[test]
fn nothing_new_is_begun_while_all_is_held_and_the_longest_stuck_are_to_go() {
    let fixture = Fixture::new(32 * MIB);
    let mut answers = Charge::new(&fixture.memory);
    answers.set(23 * MIB);
    assert_eq!(fixture.memory.high_water(), HIGH_WATER);
    answers.set(24 * MIB);
    assert_eq!(fixture.memory.high_water(), LOW_WATER);
    assert!(fixture.turn(1).is_ready());
    answers.set(32 * MIB);
    assert!(fixture.turn(1).is_pending() && fixture.turn(2).is_pending());
    let shortage = fixture.look().unwrap();
    assert!(shortage.bytes > MIB && shortage.is_urgent);
    fixture.memory.leave(2);
    answers.set(20 * MIB);
    assert_eq!(fixture.look(), None);
    assert!(fixture.turn(1).is_ready());
    assert_eq!(fixture.memory.waiting.load(Relaxed), 0);
    assert_eq!(fixture.memory.waits(), 2);
}

#[test]
fn one_value_of_a_peer_may_go_beyond() {
    let fixture = Fixture::new(8 * MIB);
    let small = fixture.memory.take_for_peer(6 * MIB).unwrap();
    let huge = fixture.memory.take_for_peer(100 * MIB).unwrap();
    assert!(fixture.memory.take_for_peer(100 * MIB).is_none());
    assert!(fixture.memory.take_for_peer(MIB).is_some(), "there is room for it");
    drop(huge);
    assert!(fixture.memory.take_for_peer(100 * MIB).is_some());
    drop(small);
    assert_eq!(fixture.memory.held(), 0);
}
