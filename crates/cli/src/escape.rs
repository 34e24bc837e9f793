//! Text of nodes and files, safe to print: [`ringbinder_ring::printable`], by the name it has here.
//!
//! Whoever puts a node's words into a sentence makes them [`printable`]; [`Output`] lets nothing
//! through but text and its own styles, whatever was forgotten. Output as JSON escapes the same
//! characters as JSON does, so nothing is lost there.
//!
//! [`Output`]: crate::output::Output

pub(crate) use ringbinder_ring::printable::{is_plain, json, lines, printable, styled, words};
