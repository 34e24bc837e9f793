//! Where things stand in the text of a ring file: what has to be known to change one of them and
//! leave every other byte alone.

use std::ops::Range;

/// Bytes of a text.
pub(super) type Span = Range<usize>;

/// A ring file, taken apart.
#[derive(Debug)]
pub(super) struct Layout {
    /// The value of `version`.
    pub(super) version: Span,
    /// How nodes are listed.
    pub(super) list: List,
    /// The nodes, in their order; at least one.
    pub(super) nodes: Vec<Entry>,
    /// How it is written.
    pub(super) syntax: Syntax,
}

/// How the nodes are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// On lines of their own, after `[[node]]`.
    Headers,
    /// On lines of their own, after a dash.
    Dashes,
    /// In brackets, which are part of the span.
    Brackets(Span),
}

/// One node.
#[derive(Debug)]
pub(super) struct Entry {
    /// From its header, dash or brace to the end of the last value, or to its closing brace.
    pub(super) span: Span,
    /// Where its first field or its brace stands; the same as the span's start without a dash.
    pub(super) body: usize,
    /// Whether its fields are in braces.
    pub(super) braces: bool,
    /// Its fields, in the order of the text.
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

/// What differs between formats in how a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Whether keys are in quotes.
    pub(super) quoted_keys: bool,
    /// What stands between a key and its value.
    pub(super) assign: &'static str,
    /// Whether `#` begins a comment.
    pub(super) comments: bool,
}

impl Syntax {
    /// A field as text; neither names nor addresses have characters that have to be escaped.
    pub(super) fn field(self, key: &str, value: &str) -> String {
        let quote = if self.quoted_keys { "\"" } else { "" };
        format!("{quote}{key}{quote}{}{value}", self.assign)
    }

    /// The place of the first character from `from` on that is neither white space nor in a comment.
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

/// Where the line of this place begins.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line of this place ends, its line end included.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}
