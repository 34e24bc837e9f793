//! The legend: every node with its colour, its name, and its share before and after.

use std::cmp::Reverse;
use std::fmt::Write as _;

use ringbinder_ring::{Comparison, NodeChange};

use crate::escape::xml;
use crate::ring::picture::{color, cut};
use crate::ring::plan::{difference, percent};

/// Height of a line.
const LINE: f64 = 20.0;
/// Most nodes listed. If there are more, those with the largest changes are.
const MOST: usize = 300;

/// The listed nodes and their layout.
pub(super) struct Legend<'a> {
    /// Index and change of each, in the order of the comparison.
    nodes: Vec<(usize, &'a NodeChange)>,
    left_out: usize,
    columns: usize,
}

impl<'a> Legend<'a> {
    pub(super) fn new(comparison: &'a Comparison) -> Legend<'a> {
        let mut nodes: Vec<_> = comparison.nodes().iter().enumerate().collect();
        let left_out = nodes.len().saturating_sub(MOST);
        nodes.sort_by_key(|(_, node)| Reverse(node.before.points().abs_diff(node.after.points())));
        nodes.truncate(MOST);
        nodes.sort_by_key(|&(place, _)| place);
        let columns = match nodes.len() {
            0..=10 => 1,
            11..=24 => 2,
            _ => 3,
        };
        Legend { nodes, left_out, columns }
    }

    pub(super) fn height(&self) -> f64 {
        LINE * (self.lines() + 1 + usize::from(self.left_out > 0)) as f64
    }

    fn lines(&self) -> usize {
        self.nodes.len().div_ceil(self.columns)
    }

    pub(super) fn draw(&self, svg: &mut String, x: f64, y: f64, width: f64) {
        const GAP: f64 = 28.0;
        let columns = self.columns as f64;
        let width = (width - GAP * (columns - 1.0)) / columns;
        for (number, chunk) in self.nodes.chunks(self.lines().max(1)).enumerate() {
            let x = x + (width + GAP) * number as f64;
            self.heading(svg, x, y, width);
            for (line, (place, node)) in (1u16..).zip(chunk) {
                self.row(svg, x, y + LINE * f64::from(line), width, *place, node);
            }
        }
        if self.left_out > 0 {
            let _ = writeln!(
                svg,
                "<text class=\"soft\" x=\"{x}\" y=\"{}\" font-size=\"11\">and {} more nodes, whose \
                 shares change less</text>",
                y + LINE * (self.lines() + 1) as f64,
                self.left_out
            );
        }
    }

    fn heading(&self, svg: &mut String, x: f64, y: f64, width: f64) {
        let mut cell = |x: f64, anchor, text| {
            let _ = writeln!(
                svg,
                "<text class=\"soft\" x=\"{x:.1}\" y=\"{y}\" font-size=\"10.5\" \
                 text-anchor=\"{anchor}\">{text}</text>"
            );
        };
        cell(x + 18.0, "start", "node");
        if self.columns == 1 {
            cell(x + width * 0.32, "start", "address");
            cell(x + width * 0.70, "end", "weight");
        }
        let [before, after, change] = self.stops(x, width);
        cell(before, "end", "before");
        cell(after, "end", "after");
        cell(change, "end", "change");
        let _ = writeln!(svg, "<path class=\"rule\" d=\"M{x:.1} {}h{width:.1}\"/>", y + 6.0);
    }

    /// Right edges of the columns of numbers.
    fn stops(&self, x: f64, width: f64) -> [f64; 3] {
        let column = if self.columns == 1 { width * 0.10 } else { 56.0 };
        // Changes need room for a sign.
        let change = column + 6.0;
        [column + change, change, 0.0].map(|back| x + width - back)
    }

    fn row(&self, svg: &mut String, x: f64, y: f64, width: f64, place: usize, change: &NodeChange) {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" rx=\"2.5\" fill=\"{}\"/>",
            y - 10.0,
            color(place)
        );
        let mut cell = |x: f64, class: &str, anchor: &str, text: &str| {
            let _ = writeln!(
                svg,
                "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"12\" \
                 text-anchor=\"{anchor}\">{}</text>",
                xml(text)
            );
        };
        let node = &change.node;
        let most = [30, 26, 13][self.columns - 1];
        cell(x + 18.0, "text", "start", &cut(&node.name, most));
        if self.columns == 1 {
            cell(x + width * 0.32, "soft", "start", &cut(&node.to_string(), 38));
            cell(x + width * 0.70, "soft", "end", &node.weight.to_string());
        }
        let [before, after, end] = self.stops(x, width);
        let (from, to) = (change.before.fraction(), change.after.fraction());
        let shown = |there: bool, share| if there { percent(share) } else { "\u{2013}".into() };
        cell(before, "soft", "end", &shown(change.old.is_some(), from));
        cell(after, "text", "end", &shown(change.new.is_some(), to));
        let class = match to.total_cmp(&from) {
            std::cmp::Ordering::Less => "down",
            std::cmp::Ordering::Equal => "soft",
            std::cmp::Ordering::Greater => "up",
        };
        cell(end, class, "end", &difference(from, to));
    }
}
