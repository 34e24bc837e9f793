//! Escaping of text from nodes and files: re-exports [`ringbinder_ring::printable`].
//!
//! Code that puts text from a node into a sentence makes it [`printable`] first. [`Output`] also removes
//! everything except text and our own styles, in case that was forgotten. JSON output escapes the same
//! characters in JSON's way, so no information is lost.
//!
//! [`Output`]: crate::output::Output

pub(crate) use ringbinder_ring::printable::{is_plain, json, lines, printable, styled, words};
