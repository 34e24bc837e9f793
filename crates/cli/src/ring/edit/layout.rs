//! The layout of a ring file's text: the positions needed to change one value and leave every other byte
//! alone.

use std::ops::Range;

/// A range of bytes in the text.
pub(super) type Span = Range<usize>;

/// The layout of a ring file.
#[derive(Debug)]
pub(super) struct Layout {
    /// The value of `version`.
    pub(super) version: Span,
    /// The way nodes are listed.
    pub(super) list: List,
    /// The nodes in order; at least one.
    pub(super) nodes: Vec<Entry>,
    /// The syntax of its fields.
    pub(super) syntax: Syntax,
}

/// The way nodes are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// On separate lines, after `[[node]]`.
    Headers,
    /// On separate lines, after a dash.
    Dashes,
    /// In brackets; the span includes them.
    Brackets(Span),
}

/// One node.
#[derive(Debug)]
pub(super) struct Entry {
    /// From the node's header, dash or brace to the end of its last value, or to its closing brace.
    pub(super) span: Span,
    /// The position of its first field or its brace. Equals the start of the span unless the node has a dash.
    pub(super) body: usize,
    /// Whether its fields are in braces.
    pub(super) braces: bool,
    /// Its fields in the order of the text.
    pub(super) fields: Vec<Field>,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) key: Span,
    pub(super) value: Span,
}

impl Entry {
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The differences between formats in the way a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Whether keys are in quotes.
    pub(super) quoted_keys: bool,
    /// The text between a key and its value.
    pub(super) assign: &'static str,
    /// Whether `#` begins a comment.
    pub(super) comments: bool,
}

impl Syntax {
    /// A field as text. Names and addresses have no characters that need escaping.
    pub(super) fn field(self, key: &str, value: &str) -> String {
        let quote = if self.quoted_keys { "\"" } else { "" };
        format!("{quote}{key}{quote}{}{value}", self.assign)
    }

    /// The position of the first character at or after `from` that is neither white space nor part of a
    /// comment.
    pub(super) fn next(self, text: &str, from: usize) -> usize {
        let mut at = from;
        loop {
            let rest = &text[at..];
            at += rest.len() - rest.trim_start().len();
            if !(self.comments && text[at..].starts_with('#')) {
                return at;
            }
            at = line_end(text, at);
        }
    }
}

/// The start of the line at this position.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The end of the line at this position, including the line break.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}
