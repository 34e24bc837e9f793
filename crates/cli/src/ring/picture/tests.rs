//! Tests of the properties that every picture must have.

use std::collections::HashSet;

use ringbinder_ring::{Node, Ring};

use super::{color, cut, svg};
use crate::escape::xml;

fn ring(version: u64, nodes: std::ops::Range<usize>) -> Ring {
    let nodes: Vec<Node> = nodes
        .map(|n| Node::new(&format!("n-{n:02}"), &format!("10.0.{}.{}:11211", n / 256, n % 256), 1))
        .map(Result::unwrap)
        .collect();
    Ring::of_nodes(version, &nodes, "it").unwrap()
}

/// Whether the elements of the XML are properly nested and closed.
fn is_well_formed(svg: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let Some(len) = rest[start..].find('>') else { return false };
        let tag = &rest[start + 1..start + len];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[start + len + 1..];
    }
    open.is_empty() && !rest.contains('>')
}

#[test]
fn every_node_is_named_and_colored() {
    for (old, new) in [(0..1, 0..2), (0..3, 0..4), (0..50, 1..51), (0..300, 0..299)] {
        let (before, after) = (ring(1, old.clone()), ring(2, new.clone()));
        let picture = svg(&before, &after, "ring.toml");
        assert!(is_well_formed(&picture));
        for n in old.start.min(new.start)..old.end.max(new.end) {
            assert!(picture.contains(&format!(">n-{n:02}</text>")), "n-{n:02}");
        }
        assert!(!picture.contains("NaN"));
    }
}

#[test]
fn names_of_files_cannot_break_out() {
    let picture = svg(&ring(1, 0..2), &ring(2, 0..3), "</title><script>\u{1}\"&.toml");
    assert!(is_well_formed(&picture));
    assert!(!picture.contains("<script"));
    assert!(picture.contains("&lt;/title&gt;&lt;script&gt;\u{fffd}&quot;&amp;.toml"));
}

#[test]
fn a_ring_of_the_most_nodes_is_still_a_picture() {
    let picture = svg(&ring(1, 0..4095), &ring(2, 0..4096), "ring.toml");
    assert!(is_well_formed(&picture));
    assert!(picture.contains("and 3796 more nodes"));
    assert!(picture.len() < 2 << 20, "{} bytes", picture.len());
}

#[test]
fn fifty_nodes_have_fifty_colors() {
    let colors: HashSet<String> = (0..50).map(color).collect();
    assert_eq!(colors.len(), 50);
    assert!(colors.iter().all(|color| color.len() == 7 && color.starts_with('#')));
}

#[test]
fn what_xml_would_take_for_itself_is_escaped() {
    assert_eq!(xml("a<b>&\"c\u{7}"), "a&lt;b&gt;&amp;&quot;c\u{fffd}");
}

#[test]
fn the_middle_of_a_long_text_goes() {
    assert_eq!(cut("cache-1", 7), "cache-1");
    assert_eq!(cut("cache-rack7-12", 9), "cach\u{2026}7-12");
    assert_eq!(cut("abc", 1), "\u{2026}");
}
