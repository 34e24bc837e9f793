use std::net::Ipv4Addr;

use super::*;

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

/// Places that are full with one client, number 0, and that have room for nodes.
fn full(max_queued: usize) -> Places {
    let mut places = Places::new(1, max_queued);
    places.share(Shares { total: 3, each: 2 });
    let opened = places.open(0, || panic!("there is room"), Instant::now());
    assert_eq!(opened, Some((Standing::Client, None)));
    places
}

#[test]
fn who_may_be_a_node_is_let_in_beyond_the_limit_and_for_a_second() {
    let mut places = full(0);
    let now = Instant::now();
    assert_eq!(places.open(1, || Origin::Client, now), None);
    let opened = places.open(1, || Origin::Neighbour(ip(1)), now);
    assert_eq!(opened, Some((Standing::Unproved, None)));
    places.start_patience(1, now);
    assert_eq!(places.expire(now + PATIENCE / 2), []);
    let out = Change { id: 1, to: Standing::Leaving };
    assert_eq!(places.expire(now + PATIENCE), [out]);
    assert_eq!(places.claim(1, Standing::Leaving), Standing::Leaving);
    assert_eq!(places.leave(1, Standing::Leaving), []);
    assert_eq!((places.unproved.len(), places.leaving), (0, 0));
}

#[test]
fn a_node_holds_a_place_of_the_nodes_wherever_it_came_in() {
    let mut places = full(1);
    let now = Instant::now();
    places.open(1, || Origin::Neighbour(ip(1)), now);
    let proved = places.prove((1, Standing::Unproved, ip(1)), 2, |_| 0);
    assert_eq!(proved, (Proof::Placed, vec![]));
    assert_eq!((places.clients(), places.peers()), (1, 1));
    assert_eq!(
        places.open(2, || Origin::Client, now),
        Some((Standing::Queued, None)),
        "a client waits"
    );
    let (proof, changes) = places.prove((0, Standing::Client, ip(1)), 2, |_| 0);
    assert_eq!(proof, Proof::Placed);
    assert_eq!(changes, [Change { id: 2, to: Standing::Client }], "and has the place now");
    assert_eq!((places.clients(), places.peers()), (1, 2));
    assert_eq!(places.leave(0, Standing::Peer), []);
    assert_eq!((places.clients(), places.peers()), (1, 1));
}

#[test]
fn an_address_has_no_more_places_than_its_nodes() {
    let mut places = full(0);
    let now = Instant::now();
    for id in 1..=3 {
        places.open(id, || Origin::Neighbour(ip(1)), now);
    }
    let mut prove =
        |id, from, idle: Seconds| places.prove((id, Standing::Unproved, from), 2, |_| idle).0;
    assert_eq!(prove(1, ip(1), 0), Proof::Placed);
    assert_eq!(prove(2, ip(1), 0), Proof::Placed);
    assert_eq!(prove(3, ip(1), GHOST - 1), Proof::Full, "nor is one cut that is used");
    assert!(matches!(prove(3, ip(1), GHOST), Proof::Replaced(1 | 2)), "one is gone perhaps");
    assert_eq!(places.claim(0, Standing::Client), Standing::Client);
    let kept = places.prove((0, Standing::Client, ip(1)), 2, |_| GHOST).0;
    assert_eq!(kept, Proof::Full, "who has a place needs nobody else's");
    assert_eq!(places.peers(), 2);
}

#[test]
fn the_nodes_have_no_more_places_than_there_are() {
    let mut places = full(0);
    for id in 1..=4 {
        let from = ip(u8::try_from(id).unwrap());
        places.open(id, || Origin::Stranger(from), Instant::now());
        let proof = places.prove((id, Standing::Unproved, from), usize::MAX, |_| 0).0;
        assert_eq!(proof == Proof::Placed, id <= 3, "{id}: {proof:?}");
    }
    assert_eq!(places.claim(4, Standing::Unproved), Standing::Unproved, "nor as a client");
    places.leave(0, Standing::Client);
    assert_eq!(places.claim(4, Standing::Unproved), Standing::Client);
}

#[test]
fn the_newest_displaces_the_oldest_of_its_address_and_of_its_kind() {
    let mut places = full(0);
    let begin = Instant::now();
    let later = begin + GRACE;
    let mut id = 0;
    // The connection that had to close, if any.
    let mut open = |places: &mut Places, origin: Origin, now: Instant| {
        id += 1;
        let (standing, change) = places.open(id, || origin, now)?;
        assert_eq!(standing, Standing::Unproved);
        places.start_patience(id, now);
        Some(change.map(|change| change.id))
    };
    for _ in 0..STRANGERS_EACH {
        assert_eq!(open(&mut places, Origin::Stranger(ip(9)), begin), Some(None));
    }
    let again = open(&mut places, Origin::Stranger(ip(9)), later - Duration::from_millis(1));
    assert_eq!(again, None, "each has some time");
    let again = open(&mut places, Origin::Stranger(ip(9)), later);
    assert_eq!(again, Some(Some(1)), "its own oldest");
    for number in 0..STRANGERS - STRANGERS_EACH {
        let from = IpAddr::from([10, 1, 0, u8::try_from(number).unwrap()]);
        assert_eq!(open(&mut places, Origin::Stranger(from), later), Some(None));
    }
    let gone = open(&mut places, Origin::Stranger(ip(8)), later);
    assert_eq!(gone, Some(Some(2)), "the oldest stranger");
    let gone = open(&mut places, Origin::Neighbour(ip(1)), later);
    assert_eq!(gone, Some(None), "strangers are in no neighbour's way");
    let mut opened = 0;
    let later = later + GRACE;
    while open(&mut places, Origin::Stranger(ip(9)), later).is_some() {
        opened += 1;
        assert!(opened < 1000, "without end");
    }
    assert_eq!(opened, STRANGERS_EACH, "as many of them as had their time");
    let all = places.unproved.len() + places.leaving;
    assert!(all <= MAX_UNPROVED, "{all}");
}

#[test]
fn clients_that_wait_get_places_in_their_order() {
    let mut places = full(3);
    let now = Instant::now();
    places.open(1, || Origin::Client, now);
    places.open(2, || Origin::Neighbour(ip(1)), now);
    assert_eq!(places.claim(2, Standing::Unproved), Standing::Queued);
    places.open(3, || Origin::Stranger(ip(2)), now);
    places.start_patience(3, now);
    assert_eq!(places.expire(now + PATIENCE), [Change { id: 3, to: Standing::Waiting }]);
    assert_eq!(places.claim(3, Standing::Waiting), Standing::Queued, "where it is");
    assert_eq!(places.open(4, || Origin::Client, now), None, "the queue has an end");
    places.leave(1, Standing::Queued);
    let next = |id| [Change { id, to: Standing::Client }];
    assert_eq!(places.leave(0, Standing::Client), next(2));
    places.open(5, || Origin::Client, now);
    assert_eq!(places.leave(2, Standing::Client), next(3));
    assert_eq!(places.leave(3, Standing::Client), next(5));
    assert_eq!(places.leave(5, Standing::Client), []);
    assert_eq!(places.clients(), 0);
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
    let mut places = full(0);
    let begin = Instant::now();
    let each = u32::try_from(NEIGHBOURS_EACH).unwrap();
    let neighbour = || Origin::Neighbour(ip(1));
    for id in 1..=each {
        assert_eq!(places.open(id, neighbour, begin), Some((Standing::Unproved, None)));
    }
    let late = begin + 10 * PATIENCE;
    assert_eq!(places.expire(late), [], "nobody has read them");
    assert_eq!(places.open(each + 1, neighbour, late), None, "nor does a new one displace them");
    places.start_patience(2, late);
    places.start_patience(3, late + GRACE / 2);
    places.start_patience(2, late + GRACE / 2);
    assert_eq!(places.open(each + 1, neighbour, late + GRACE / 2), None);
    let displaced = Some(Change { id: 2, to: Standing::Leaving });
    let opened = places.open(each + 1, neighbour, late + GRACE);
    assert_eq!(opened, Some((Standing::Unproved, displaced)), "the first that was read");
    assert_eq!(places.expire(late + PATIENCE), []);
    let over = late + PATIENCE + GRACE / 2;
    assert_eq!(places.expire(over), [Change { id: 3, to: Standing::Leaving }]);
}

#[test]
fn one_that_has_begun_is_spared_while_few_have() {
    let mut places = full(0);
    let begin = Instant::now();
    let each = u32::try_from(STRANGERS_EACH).unwrap();
    let stranger = || Origin::Stranger(ip(9));
    let mut id = 0;
    // The connection that had to close, if the new one was admitted.
    let mut open = |places: &mut Places, now: Instant| {
        id += 1;
        let (_, change) = places.open(id, stranger, now)?;
        Some(change.map_or(0, |change| change.id))
    };
    for _ in 0..each {
        assert_eq!(open(&mut places, begin), Some(0));
    }
    for id in 1..=each / 2 {
        places.begin_proof(id, begin);
    }
    for id in each / 2 + 1..=each {
        places.start_patience(id, begin + GRACE / 2);
    }
    let now = begin + 2 * GRACE;
    for silent in each / 2 + 1..=each {
        assert_eq!(open(&mut places, now), Some(silent), "the silent ones go");
    }
    assert_eq!(open(&mut places, now), None, "the rest has begun, or has not been read");
    // One more begins a proof: such connections hold more than half.
    places.begin_proof(each + 1, now);
    assert_eq!(open(&mut places, now), Some(1));
    assert_eq!(open(&mut places, now), None, "half of them again");
    assert_eq!(places.expire(begin + PATIENCE).len(), 3, "nor for longer than the others");
}

#[test]
fn a_proof_that_arrives_late_counts() {
    for (max_queued, standing) in [(0, Standing::Leaving), (1, Standing::Waiting)] {
        let mut places = full(max_queued);
        let now = Instant::now();
        places.open(1, || Origin::Stranger(ip(1)), now);
        places.start_patience(1, now);
        assert_eq!(places.expire(now + PATIENCE), [Change { id: 1, to: standing }]);
        let proved = places.prove((1, standing, ip(1)), 2, |_| 0);
        assert_eq!(proved, (Proof::Placed, vec![]));
        assert_eq!((places.peers(), places.leaving, places.queued.len()), (1, 0, 0));
        assert_eq!(places.leave(1, Standing::Peer), []);
        assert_eq!(places.leave(0, Standing::Client), []);
        assert_eq!((places.peers(), places.clients()), (0, 0));
    }
}

#[test]
fn strangers_that_are_being_closed_are_in_no_neighbours_way() {
    let mut places = full(0);
    let mut now = Instant::now();
    let mut id = 0_u32;
    // Nothing is closed while the workers are busy.
    loop {
        id += 1;
        let [.., high, low] = id.to_be_bytes();
        let from = IpAddr::from([10, 1, high, low]);
        if places.open(id, || Origin::Stranger(from), now).is_none() {
            break;
        }
        places.start_patience(id, now);
        now += GRACE;
    }
    assert_eq!(places.unproved.len() + places.leaving, 2 * STRANGERS);
    for number in 1..=NEIGHBOURS {
        let from = ip(u8::try_from(number).unwrap());
        let opened = places.open(id, || Origin::Neighbour(from), now);
        assert_eq!(opened, Some((Standing::Unproved, None)), "{number}");
        id += 1;
    }
}
