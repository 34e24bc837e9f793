use std::net::Ipv4Addr;

use super::*;

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

/// Slots that are full with one client, number 0, and that have room for nodes.
fn full(max_queued: usize) -> Slots {
    let mut slots = Slots::new(1, max_queued);
    slots.share(Shares { total: 3, each: 2 });
    let opened = slots.open(0, || panic!("there is room"), Instant::now());
    assert_eq!(opened, Some((SlotState::Client, None)));
    slots
}

#[test]
fn who_may_be_a_node_is_let_in_beyond_the_limit_and_for_a_second() {
    let mut slots = full(0);
    let now = Instant::now();
    assert_eq!(slots.open(1, || Origin::Client, now), None);
    let opened = slots.open(1, || Origin::Neighbour(ip(1)), now);
    assert_eq!(opened, Some((SlotState::Unproved, None)));
    slots.start_timeout(1, now);
    assert_eq!(slots.expire(now + TIMEOUT / 2), []);
    let out = Change { id: 1, to: SlotState::Leaving };
    assert_eq!(slots.expire(now + TIMEOUT), [out]);
    assert_eq!(slots.claim(1, SlotState::Leaving), SlotState::Leaving);
    assert_eq!(slots.leave(1, SlotState::Leaving), []);
    assert_eq!((slots.unproved.len(), slots.leaving), (0, 0));
}

#[test]
fn a_node_holds_a_place_of_the_nodes_wherever_it_came_in() {
    let mut slots = full(1);
    let now = Instant::now();
    slots.open(1, || Origin::Neighbour(ip(1)), now);
    let proved = slots.prove(1, SlotState::Unproved, ip(1), 2, |_| 0);
    assert_eq!(proved, (Proof::Placed, vec![]));
    assert_eq!((slots.clients(), slots.peers()), (1, 1));
    assert_eq!(
        slots.open(2, || Origin::Client, now),
        Some((SlotState::Queued, None)),
        "a client waits"
    );
    let (proof, changes) = slots.prove(0, SlotState::Client, ip(1), 2, |_| 0);
    assert_eq!(proof, Proof::Placed);
    assert_eq!(changes, [Change { id: 2, to: SlotState::Client }], "and has the place now");
    assert_eq!((slots.clients(), slots.peers()), (1, 2));
    assert_eq!(slots.leave(0, SlotState::Peer), []);
    assert_eq!((slots.clients(), slots.peers()), (1, 1));
}

#[test]
fn an_address_has_no_more_places_than_its_nodes() {
    let mut slots = full(0);
    let now = Instant::now();
    for id in 1..=3 {
        slots.open(id, || Origin::Neighbour(ip(1)), now);
    }
    let mut prove =
        |id, from, idle: Seconds| slots.prove(id, SlotState::Unproved, from, 2, |_| idle).0;
    assert_eq!(prove(1, ip(1), 0), Proof::Placed);
    assert_eq!(prove(2, ip(1), 0), Proof::Placed);
    assert_eq!(prove(3, ip(1), GHOST - 1), Proof::Full, "nor is one cut that is used");
    assert!(matches!(prove(3, ip(1), GHOST), Proof::Replaced(1 | 2)), "one is gone perhaps");
    assert_eq!(slots.claim(0, SlotState::Client), SlotState::Client);
    let kept = slots.prove(0, SlotState::Client, ip(1), 2, |_| GHOST).0;
    assert_eq!(kept, Proof::Full, "who has a place needs nobody else's");
    assert_eq!(slots.peers(), 2);
}

#[test]
fn the_nodes_have_no_more_places_than_there_are() {
    let mut slots = full(0);
    for id in 1..=4 {
        let from = ip(u8::try_from(id).unwrap());
        slots.open(id, || Origin::Unknown(from), Instant::now());
        let proof = slots.prove(id, SlotState::Unproved, from, usize::MAX, |_| 0).0;
        assert_eq!(proof == Proof::Placed, id <= 3, "{id}: {proof:?}");
    }
    assert_eq!(slots.claim(4, SlotState::Unproved), SlotState::Unproved, "nor as a client");
    slots.leave(0, SlotState::Client);
    assert_eq!(slots.claim(4, SlotState::Unproved), SlotState::Client);
}

#[test]
fn the_newest_displaces_the_oldest_of_its_address_and_of_its_kind() {
    let mut slots = full(0);
    let begin = Instant::now();
    let later = begin + GRACE;
    let mut id = 0;
    // The connection that had to close, if any.
    let mut open = |slots: &mut Slots, origin: Origin, now: Instant| {
        id += 1;
        let (slot_state, change) = slots.open(id, || origin, now)?;
        assert_eq!(slot_state, SlotState::Unproved);
        slots.start_timeout(id, now);
        Some(change.map(|change| change.id))
    };
    for _ in 0..UNKNOWNS_EACH {
        assert_eq!(open(&mut slots, Origin::Unknown(ip(9)), begin), Some(None));
    }
    let again = open(&mut slots, Origin::Unknown(ip(9)), later - Duration::from_millis(1));
    assert_eq!(again, None, "each has some time");
    let again = open(&mut slots, Origin::Unknown(ip(9)), later);
    assert_eq!(again, Some(Some(1)), "its own oldest");
    for number in 0..UNKNOWNS - UNKNOWNS_EACH {
        let from = IpAddr::from([10, 1, 0, u8::try_from(number).unwrap()]);
        assert_eq!(open(&mut slots, Origin::Unknown(from), later), Some(None));
    }
    let gone = open(&mut slots, Origin::Unknown(ip(8)), later);
    assert_eq!(gone, Some(Some(2)), "the oldest stranger");
    let gone = open(&mut slots, Origin::Neighbour(ip(1)), later);
    assert_eq!(gone, Some(None), "strangers are in no neighbour's way");
    let mut opened = 0;
    let later = later + GRACE;
    while open(&mut slots, Origin::Unknown(ip(9)), later).is_some() {
        opened += 1;
        assert!(opened < 1000, "without end");
    }
    assert_eq!(opened, UNKNOWNS_EACH, "as many of them as had their time");
    let all = slots.unproved.len() + slots.leaving;
    assert!(all <= MAX_UNPROVED, "{all}");
}

#[test]
fn clients_that_wait_get_places_in_their_order() {
    let mut slots = full(3);
    let now = Instant::now();
    slots.open(1, || Origin::Client, now);
    slots.open(2, || Origin::Neighbour(ip(1)), now);
    assert_eq!(slots.claim(2, SlotState::Unproved), SlotState::Queued);
    slots.open(3, || Origin::Unknown(ip(2)), now);
    slots.start_timeout(3, now);
    assert_eq!(slots.expire(now + TIMEOUT), [Change { id: 3, to: SlotState::Waiting }]);
    assert_eq!(slots.claim(3, SlotState::Waiting), SlotState::Queued, "where it is");
    assert_eq!(slots.open(4, || Origin::Client, now), None, "the queue has an end");
    slots.leave(1, SlotState::Queued);
    let next = |id| [Change { id, to: SlotState::Client }];
    assert_eq!(slots.leave(0, SlotState::Client), next(2));
    slots.open(5, || Origin::Client, now);
    assert_eq!(slots.leave(2, SlotState::Client), next(3));
    assert_eq!(slots.leave(3, SlotState::Client), next(5));
    assert_eq!(slots.leave(5, SlotState::Client), []);
    assert_eq!(slots.clients(), 0);
}

#[test]
fn shares_grow_with_the_ring_up_to_a_bound() {
    assert_eq!(Shares::of(3, 4, 10_000), Shares { total: 48, each: 16 });
    assert_eq!(Shares::of(3, 4, 20), Shares { total: 20, each: 16 });
    assert_eq!(Shares::of(3, 4, 0), Shares { total: 16, each: 16 }, "one node at least");
    assert_eq!(Shares::of(5000, 4, 10_000).total, MAX_PEERS);
}

#[test]
fn the_time_of_a_connection_begins_when_its_worker_reads_it() {
    let mut slots = full(0);
    let begin = Instant::now();
    let each = u32::try_from(NEIGHBOURS_EACH).unwrap();
    let neighbour = || Origin::Neighbour(ip(1));
    for id in 1..=each {
        assert_eq!(slots.open(id, neighbour, begin), Some((SlotState::Unproved, None)));
    }
    let late = begin + 10 * TIMEOUT;
    assert_eq!(slots.expire(late), [], "nobody has read them");
    assert_eq!(slots.open(each + 1, neighbour, late), None, "nor does a new one displace them");
    slots.start_timeout(2, late);
    slots.start_timeout(3, late + GRACE / 2);
    slots.start_timeout(2, late + GRACE / 2);
    assert_eq!(slots.open(each + 1, neighbour, late + GRACE / 2), None);
    let displaced = Some(Change { id: 2, to: SlotState::Leaving });
    let opened = slots.open(each + 1, neighbour, late + GRACE);
    assert_eq!(opened, Some((SlotState::Unproved, displaced)), "the first that was read");
    assert_eq!(slots.expire(late + TIMEOUT), []);
    let over = late + TIMEOUT + GRACE / 2;
    assert_eq!(slots.expire(over), [Change { id: 3, to: SlotState::Leaving }]);
}

#[test]
fn one_that_has_begun_is_spared_while_few_have() {
    let mut slots = full(0);
    let begin = Instant::now();
    let each = u32::try_from(UNKNOWNS_EACH).unwrap();
    let stranger = || Origin::Unknown(ip(9));
    let mut id = 0;
    // The connection that had to close, if the new one was admitted.
    let mut open = |slots: &mut Slots, now: Instant| {
        id += 1;
        let (_, change) = slots.open(id, stranger, now)?;
        Some(change.map_or(0, |change| change.id))
    };
    for _ in 0..each {
        assert_eq!(open(&mut slots, begin), Some(0));
    }
    for id in 1..=each / 2 {
        slots.begin_proof(id, begin);
    }
    for id in each / 2 + 1..=each {
        slots.start_timeout(id, begin + GRACE / 2);
    }
    let now = begin + 2 * GRACE;
    for silent in each / 2 + 1..=each {
        assert_eq!(open(&mut slots, now), Some(silent), "the silent ones go");
    }
    assert_eq!(open(&mut slots, now), None, "the rest has begun, or has not been read");
    // One more begins a proof: such connections hold more than half.
    slots.begin_proof(each + 1, now);
    assert_eq!(open(&mut slots, now), Some(1));
    assert_eq!(open(&mut slots, now), None, "half of them again");
    assert_eq!(slots.expire(begin + TIMEOUT).len(), 3, "nor for longer than the others");
}

#[test]
fn a_proof_that_arrives_late_counts() {
    for (max_queued, slot_state) in [(0, SlotState::Leaving), (1, SlotState::Waiting)] {
        let mut slots = full(max_queued);
        let now = Instant::now();
        slots.open(1, || Origin::Unknown(ip(1)), now);
        slots.start_timeout(1, now);
        assert_eq!(slots.expire(now + TIMEOUT), [Change { id: 1, to: slot_state }]);
        let proved = slots.prove(1, slot_state, ip(1), 2, |_| 0);
        assert_eq!(proved, (Proof::Placed, vec![]));
        assert_eq!((slots.peers(), slots.leaving, slots.queued.len()), (1, 0, 0));
        assert_eq!(slots.leave(1, SlotState::Peer), []);
        assert_eq!(slots.leave(0, SlotState::Client), []);
        assert_eq!((slots.peers(), slots.clients()), (0, 0));
    }
}

#[test]
fn strangers_that_are_being_closed_are_in_no_neighbours_way() {
    let mut slots = full(0);
    let mut now = Instant::now();
    let mut id = 0_u32;
    // Nothing is closed while the workers are busy.
    loop {
        id += 1;
        let [.., high, low] = id.to_be_bytes();
        let from = IpAddr::from([10, 1, high, low]);
        if slots.open(id, || Origin::Unknown(from), now).is_none() {
            break;
        }
        slots.start_timeout(id, now);
        now += GRACE;
    }
    assert_eq!(slots.unproved.len() + slots.leaving, 2 * UNKNOWNS);
    for number in 1..=NEIGHBOURS {
        let from = ip(u8::try_from(number).unwrap());
        let opened = slots.open(id, || Origin::Neighbour(from), now);
        assert_eq!(opened, Some((SlotState::Unproved, None)), "{number}");
        id += 1;
    }
}
