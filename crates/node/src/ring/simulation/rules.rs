//! Single rules of the state machine, each tested by the shortest schedule that needs it.

use super::*;

/// A node that listens at its address.
pub(super) fn member(index: usize, ring: &Arc<Ring>) -> Membership {
    let addresses = vec![address(index).parse().unwrap()];
    let identity = Identity { name: Some(name(index)), addresses };
    Membership::new(identity, Instance(index as u64), Arc::clone(ring))
}

#[test]
fn a_confirmation_of_another_ring_does_not_count() {
    let peers = Peers::default();
    let old = ring(1, &[1, 1, 0, 0, 0]);
    let new = ring(2, &[1, 0, 0, 0, 0]);
    let mut membership = member(0, &old);
    let other = address_of(&old.nodes()[1]);
    let at = |ring: &Arc<Ring>| member(1, ring).peer_line("n1");
    assert_eq!(membership.heard(&other, &at(&old)), Wanted::Nothing);
    assert!(membership.is_settled());
    assert!(membership.adopt(Arc::clone(&new)));
    assert!(!membership.adopt(Arc::clone(&new)), "the same ring twice");
    assert!(!membership.adopt(old.clone()), "an older ring");
    assert_eq!(membership.heard(&other, &at(&old)), Wanted::Nothing);
    assert!(!membership.is_settled(), "a confirmation of the old ring");
    assert_eq!(membership.awaited(), [Arc::clone(&other)]);
    let gained = (0..KEYS).map(Point).map(|point| Point(point.0 << 26));
    let view = membership.view(&peers);
    assert!(gained.clone().any(|point| matches!(view.route(point), Route::Former(_))));
    assert!(membership.give_up(&other));
    let view = membership.view(&peers);
    assert!(gained.clone().all(|point| matches!(view.route(point), Route::Local)));
    assert_eq!(ring_id(membership.peer_line("n0").held), old.id(), "workers still hold it");
}

#[test]
fn a_node_that_skipped_a_ring_learns_of_it_before_it_serves() {
    let rings = [ring(1, &[1, 1, 0, 0, 0]), ring(2, &[0, 1, 0, 0, 0]), ring(3, &[1, 1, 0, 0, 0])];
    let mut slept = member(0, &rings[0]);
    let mut awake = member(1, &rings[0]);
    let (slept_at, awake_at) = (address_of(&rings[0].nodes()[0]), address_of(&rings[0].nodes()[1]));
    slept.heard(&awake_at, &awake.peer_line("n1"));
    awake.heard(&slept_at, &slept.peer_line("n0"));
    for ring in &rings[1..] {
        awake.adopt(Arc::clone(ring));
        awake.give_up(&slept_at);
        awake.hold(ring.id());
    }
    assert!(slept.adopt(Arc::clone(&rings[2])));
    slept.hold(rings[2].id());
    assert!(!slept.joined());
    let wanted = slept.heard(&awake_at, &awake.peer_line("n1"));
    assert_eq!(wanted, Wanted::Past(vec![rings[1].id()]));
    assert!(slept.learn(Arc::clone(&rings[1])), "what it gave away is to be forgotten");
    assert_eq!(slept.heard(&awake_at, &awake.peer_line("n1")), Wanted::Nothing);
    assert!(slept.is_settled());
}
