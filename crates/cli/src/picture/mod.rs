//! The picture of a change: the ring before and after, as SVG.
//!
//! The outer band of each ring is the key space, arc by arc. The inner band has the same arcs gathered by
//! node, and so shows shares. Keys that change their owner are strong and protrude from the band; keys that
//! stay are pale. The card has its own background, light or dark by the reader's preference, so that it fits
//! any page.

mod circle;
mod color;
mod legend;
mod pieces;
mod text;

use std::fmt::Write as _;

use ringbinder_ring::{Comparison, Ring, compare};

use crate::ring::share::percent;

use circle::{Circle, Side};
use pieces::pieces;
use text::escape;

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
        escape(&text::cut(origin, 48)),
        old.id().version,
        new.id().version,
        escape(&percent(comparison.moved().fraction()))
    )
}

#[cfg(test)]
mod tests;
