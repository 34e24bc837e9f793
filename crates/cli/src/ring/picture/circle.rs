//! One of the two rings.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write as _;

use ringbinder_ring::Comparison;

use crate::escape::xml;
use crate::fleet::numbers::counted;
use crate::ring::picture::{Piece, color, cut};

/// Radii of the band of the key space, and the distance by which moved parts protrude.
const SPACE: (f64, f64) = (170.0, 194.0);
const OUT: f64 = 210.0;
/// Radii of the band of shares.
const SHARES: (f64, f64) = (126.0, 162.0);
/// Outer radius of names, inside the band of shares.
const NAMES: f64 = 120.0;
/// Minimum length along the circle for a name to fit.
const ROOM: f64 = 8.5;
/// Most characters of a name.
const NAME: usize = 11;
/// Opacity of parts that stay.
const PALE: &str = "0.34";

/// The ring before or after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

impl Side {
    /// The value of this side.
    fn of<T>(self, before: T, after: T) -> T {
        match self {
            Side::Before => before,
            Side::After => after,
        }
    }
}

/// A circle and its position.
pub(super) struct Circle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) side: Side,
}

impl Circle {
    pub(super) fn draw(
        &self,
        svg: &mut String,
        comparison: &Comparison,
        pieces: &[Piece],
        version: u64,
    ) {
        let heading = self.side.of("before", "after");
        let nodes = comparison.nodes().iter().filter_map(|node| self.side.of(node.old, node.new));
        let _ = write!(
            svg,
            "<g>\n<text class=\"text\" x=\"{x}\" y=\"{}\" font-size=\"16\" font-weight=\"600\" \
             text-anchor=\"middle\">{heading}</text>\n\
             <text class=\"soft\" x=\"{x}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">\
             version {version}</text>\n\
             <text class=\"soft\" x=\"{x}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">\
             {}</text>\n",
            self.y - 8.0,
            self.y + 9.0,
            self.y + 24.0,
            counted(nodes.count(), "node"),
            x = self.x
        );
        self.draw_space(svg, pieces);
        self.draw_shares(svg, comparison);
        svg.push_str("</g>\n");
    }

    /// Draws the key space: one path for the part that each node keeps, one for the part that it gives or
    /// gets.
    fn draw_space(&self, svg: &mut String, pieces: &[Piece]) {
        let mut paths: BTreeMap<(bool, usize), String> = BTreeMap::new();
        for piece in pieces {
            let moves = piece.from != piece.to;
            let outer = if moves { OUT } else { SPACE.1 };
            let owner = self.side.of(piece.from, piece.to);
            let path = paths.entry((moves, owner)).or_default();
            self.sector(path, (SPACE.0, outer), piece.start, piece.end);
        }
        for ((moves, place), path) in paths {
            self.path(svg, place, moves, &path);
        }
    }

    /// Draws the shares: for each node the part that it keeps, then the part that it gives or gets, and its
    /// name.
    fn draw_shares(&self, svg: &mut String, comparison: &Comparison) {
        let mut moving = vec![0.0; comparison.nodes().len()];
        for step in comparison.moves() {
            moving[self.side.of(step.from, step.to)] += step.share.fraction();
        }
        let mut start = 0.0;
        for (place, node) in comparison.nodes().iter().enumerate() {
            let share = self.side.of(node.before, node.after).fraction();
            if share == 0.0 {
                continue;
            }
            let border = start + share - moving[place];
            let end = start + share;
            for (moves, from, to) in [(false, start, border), (true, border, end)] {
                if to > from {
                    let mut path = String::new();
                    self.sector(&mut path, SHARES, from, to);
                    self.path(svg, place, moves, &path);
                }
            }
            if share * TAU * NAMES >= ROOM {
                self.name(svg, f64::midpoint(start, end), &node.node.name);
            }
            start = end;
        }
        // Thin gaps separate neighbours.
        let _ = writeln!(
            svg,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"none\" class=\"rule\"/>",
            self.x,
            self.y,
            SHARES.0 - 1.0
        );
    }

    fn path(&self, svg: &mut String, place: usize, moves: bool, path: &str) {
        let opacity = if moves { "1" } else { PALE };
        let color = color(place);
        let _ = writeln!(svg, "<path fill=\"{color}\" fill-opacity=\"{opacity}\" d=\"{path}\"/>");
    }

    /// Draws a name along the radius, from the outside in, never upside down.
    fn name(&self, svg: &mut String, turn: f64, name: &str) {
        let (x, y) = self.at(NAMES, turn);
        let degrees = turn * 360.0 - 90.0;
        let (degrees, anchor) =
            if turn < 0.5 { (degrees, "end") } else { (degrees + 180.0, "start") };
        let _ = writeln!(
            svg,
            "<text class=\"text\" font-size=\"9.5\" text-anchor=\"{anchor}\" dy=\"0.35em\" \
             transform=\"translate({x:.2} {y:.2}) rotate({degrees:.2})\">{}</text>",
            xml(&cut(name, NAME))
        );
    }

    /// Adds the part of a band between two turns.
    fn sector(&self, path: &mut String, (inner, outer): (f64, f64), start: f64, end: f64) {
        // An arc whose end equals its start would not be drawn.
        if end - start > 0.999_9 {
            self.sector(path, (inner, outer), start, start + 0.5);
            self.sector(path, (inner, outer), start + 0.5, end.min(start + 0.999_95));
            return;
        }
        let [a, b] = [start, end].map(|turn| self.at(outer, turn));
        let [c, d] = [end, start].map(|turn| self.at(inner, turn));
        let large = u8::from(end - start > 0.5);
        let _ = write!(path, "M{:.2} {:.2}", a.0, a.1);
        let _ = write!(path, "A{outer} {outer} 0 {large} 1 {:.2} {:.2}", b.0, b.1);
        let _ = write!(path, "L{:.2} {:.2}", c.0, c.1);
        let _ = write!(path, "A{inner} {inner} 0 {large} 0 {:.2} {:.2}Z", d.0, d.1);
    }

    /// A point on the circle. Turns go clockwise from the top.
    fn at(&self, radius: f64, turn: f64) -> (f64, f64) {
        let (sin, cos) = (turn * TAU).sin_cos();
        (self.x + radius * sin, self.y - radius * cos)
    }
}
