//! The share of all keys that each node of a ring owns.

use std::sync::Arc;

use parking_lot::Mutex;
use ringbinder_protocol::stats::float;
use ringbinder_ring::{Point, Ring, RingId};

/// The number of parts of the circle in the picture.
pub(super) const PICTURE: u32 = 720;

/// A ring in the form that is shown.
#[derive(Debug)]
pub(super) struct Circle {
    /// Each node's share of all keys, from 0 to 1, in the order of the ring.
    pub(super) shares: Vec<f64>,
    /// The circle in [`PICTURE`] parts: the owner of the middle of each.
    pub(super) picture: Vec<u32>,
}

/// The circle of the last requested ring: it rarely changes and is often requested.
#[derive(Debug, Default)]
pub(super) struct Circles(Mutex<Option<(RingId, Arc<Circle>)>>);

impl Circles {
    /// The circle of a ring.
    pub(super) fn of(&self, ring: &Ring) -> Arc<Circle> {
        let mut last = self.0.lock();
        if let Some((id, circle)) = &*last
            && *id == ring.id()
        {
            return Arc::clone(circle);
        }
        let circle = Arc::new(Circle { shares: shares(ring), picture: picture(ring) });
        *last = Some((ring.id(), Arc::clone(&circle)));
        circle
    }
}

/// The shares of the nodes.
fn shares(ring: &Ring) -> Vec<f64> {
    let mut points = vec![0_u64; ring.nodes().len()];
    let mut start = 0;
    for (Point(end), owner) in ring.arcs() {
        let next = u64::from(end) + 1;
        points[owner as usize] += next - start;
        start = next;
    }
    points.into_iter().map(|points| float(points) / float(1 << 32)).collect()
}

/// The circle in parts.
fn picture(ring: &Ring) -> Vec<u32> {
    let part = u32::MAX / PICTURE;
    (0..PICTURE).map(|index| ring.owner_at(Point(index * part + part / 2))).collect()
}

#[cfg(test)]
mod tests {
    use ringbinder_ring::Format;

    use super::*;

    #[test]
    fn shares_are_all_of_the_keys_and_the_picture_shows_them() {
        let node = |name| format!("[[node]]\nname = \"{name}\"\naddress = \"{name}:11211\"\n");
        let text = format!("version = 1\n{}{}{}", node("a"), node("b"), node("c"));
        let ring = Ring::parse(&text, Format::Toml, "a test").unwrap();
        let circle = Circles::default().of(&ring);
        let Circle { shares, picture } = &*circle;
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
        for (index, share) in (0..).zip(shares) {
            let parts = picture.iter().filter(|&&owner| owner == index).count();
            let seen = float(parts as u64) / f64::from(PICTURE);
            assert!((seen - share).abs() < 0.05, "{index}: {seen} of {share}");
        }
    }
}
