//! The picture of a change: the ring before and after, as SVG.
//!
//! The outer band of each ring is the key space, arc by arc. The inner band has the same arcs gathered by
//! node, and so shows shares. Keys that change their owner are strong and protrude from the band; keys that
//! stay are pale. The card has its own background, light or dark by the reader's preference, so that it fits
//! any page.

mod circle;
mod legend;

use std::fmt::Write as _;

use ringbinder_ring::{Comparison, Point, Ring, compare};

use crate::escape::xml;
use crate::ring::plan::percent;

use circle::{Circle, Side};

/// Width of the picture.
const WIDTH: f64 = 960.0;
/// Centre of the circles.
const MIDDLE: f64 = 300.0;
/// Left edge of the legend.
const LEGEND: f64 = 548.0;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif}
.card{fill:#ffffff;stroke:#d5dae1}.text{fill:#1b222c}.soft{fill:#5a6574}.rule{stroke:#d5dae1}
.up{fill:#137333}.down{fill:#b3261e}
@media(prefers-color-scheme:dark){.card{fill:#14181f;stroke:#323a46}.text{fill:#e8ecf2}
.soft{fill:#a3adba}.rule{stroke:#323a46}.up{fill:#6fd08c}.down{fill:#ff9a91}}
";

/// Draws the change from `old`, which `origin` names, to `new`.
pub(crate) fn svg(old: &Ring, new: &Ring, origin: &str) -> String {
    let comparison = compare(old, new);
    let pieces = pieces(old, new, &comparison);
    let legend = legend::Legend::new(&comparison);
    let height = LEGEND + legend.height() + 24.0;
    let title = title(old, new, &comparison, origin);

    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{WIDTH}\" \
         height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"12\"/>\n\
         <text class=\"text\" x=\"32\" y=\"42\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
         <text class=\"soft\" x=\"32\" y=\"64\" font-size=\"12\">Outer band: the key space. Inner \
         band: the same by node. Strong and standing out: keys that change their owner. Pale: keys \
         that stay.</text>\n",
        WIDTH - 1.0,
        height - 1.0
    );
    for (side, x, ring) in [(Side::Before, 0.25, old), (Side::After, 0.75, new)] {
        let circle = Circle { x: WIDTH * x, y: MIDDLE, side };
        circle.draw(&mut svg, &comparison, &pieces, ring.id().version);
    }
    legend.draw(&mut svg, 32.0, LEGEND, WIDTH - 64.0);
    svg.push_str("</svg>\n");
    svg
}

fn title(old: &Ring, new: &Ring, comparison: &Comparison, origin: &str) -> String {
    format!(
        "{}: version {} \u{2192} {}, {} of the keys move",
        xml(&cut(origin, 48)),
        old.id().version,
        new.id().version,
        xml(&percent(comparison.moved().fraction()))
    )
}

/// A part of the circle whose keys have the same owners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    /// Its start and end, in turns from 0 to 1.
    pub(super) start: f64,
    pub(super) end: f64,
    /// Its owner before: index in [`Comparison::nodes`].
    pub(super) from: usize,
    /// Its owner after: index in [`Comparison::nodes`].
    pub(super) to: usize,
}

/// Most pieces that are distinguishable on a circle of this size. If there are more, this number of evenly
/// spaced points represents them.
const MOST: u32 = 1440;

const TURN: f64 = (1u64 << 32) as f64;

/// The circle in pieces, in order and without gaps.
pub(super) fn pieces(old: &Ring, new: &Ring, comparison: &Comparison) -> Vec<Piece> {
    let mut places = vec![0; old.nodes().len()];
    for (place, node) in comparison.nodes().iter().enumerate() {
        if let Some(index) = node.old {
            places[index as usize] = place;
        }
    }
    let mut ends: Vec<u32> =
        old.arcs().into_iter().chain(new.arcs()).map(|(end, _)| end.0).collect();
    ends.sort_unstable();
    ends.dedup();
    if ends.len() > MOST as usize {
        let step = u32::MAX / MOST;
        ends = (1..=MOST).map(|slot| if slot == MOST { u32::MAX } else { slot * step }).collect();
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut first = 0;
    for end in ends {
        let middle = Point(first + (end - first) / 2);
        let from = places[old.owner_at(middle) as usize];
        let to = new.owner_at(middle) as usize;
        let until = (f64::from(end) + 1.0) / TURN;
        match pieces.last_mut() {
            Some(last) if (last.from, last.to) == (from, to) => last.end = until,
            _ => pieces.push(Piece { start: f64::from(first) / TURN, end: until, from, to }),
        }
        first = end.wrapping_add(1);
    }
    pieces
}

/// Degrees between the hues of two successive nodes: the golden angle, which keeps any number of hues far
/// apart.
const STEP: f64 = 137.508;

/// The colour of the node with this index, as `#rrggbb`. No colour is too light or too dark to see on white
/// or black.
pub(super) fn color(place: usize) -> String {
    let hue = (212.0 + STEP * place as f64) % 360.0;
    let lightness = [0.50, 0.42, 0.58][place % 3];
    let chroma = (1.0 - (2.0 * lightness - 1.0_f64).abs()) * 0.64;
    let channel = |shift: f64| {
        let k = ((hue / 60.0 + shift) % 6.0 + 6.0) % 6.0;
        let level = lightness - chroma / 2.0 + chroma * (2.0 - (k - 3.0).abs()).clamp(0.0, 1.0);
        (level * 255.0).round()
    };
    // Red is brightest around hue 0, green around 120, blue around 240.
    let [red, green, blue] = [3.0, 1.0, -1.0].map(|shift| byte(channel(shift)));
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn byte(level: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 255")]
    let byte = level.clamp(0.0, 255.0) as u8;
    byte
}

/// Shortens a text to this number of characters. The middle is cut, since names tend to differ at both ends.
pub(super) fn cut(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.to_owned();
    }
    let head = most.saturating_sub(1).div_ceil(2);
    let tail = most.saturating_sub(1) - head;
    let head: String = characters[..head].iter().collect();
    let tail: String = characters[characters.len() - tail..].iter().collect();
    format!("{head}\u{2026}{tail}")
}

#[cfg(test)]
mod tests;
