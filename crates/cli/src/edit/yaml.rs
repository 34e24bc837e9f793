//! The layout of a YAML ring file.
//!
//! This module does not look for anchors and tags. If a file has some, its layout may be wrong; the check of
//! the new text then rejects it.

use saphyr_parser::{Event, Parser, Span as Marks};

use super::layout::{Entry, Field, Layout, List, Span, Syntax};

const SYNTAX: Syntax = Syntax { quoted_keys: false, assign: ": ", comments: true };

/// Parses the layout of a text. Returns `None` if the text cannot be edited in place.
pub(super) fn layout(text: &str) -> Option<Layout> {
    let mut reader = Reader::new(text);
    while !matches!(reader.next()?.0, Event::MappingStart(..)) {}
    let mut version = None;
    let mut list = None;
    loop {
        match reader.next()? {
            (Event::MappingEnd, _) => break,
            (Event::Scalar(key, ..), _) => match (key.as_ref(), reader.next()?) {
                ("version", (Event::Scalar(..), span)) => version = Some(span),
                ("node", (Event::SequenceStart(..), span)) => {
                    list = Some(reader.nodes(span.start)?)
                }
                (_, (Event::Scalar(..), _)) => {}
                _ => return None,
            },
            _ => return None,
        }
    }
    let (list, nodes) = list?;
    Some(Layout { version: version?, list, nodes, syntax: SYNTAX })
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// The byte of every character, and the end.
    bytes: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        let mut bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
        bytes.push(text.len());
        Reader { text, parser: Parser::new_from_str(text), bytes }
    }

    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        let (event, marks) = self.parser.next_event()?.ok()?;
        Some((event, self.span(marks)?))
    }

    fn span(&self, marks: Marks) -> Option<Span> {
        let byte = |character: usize| self.bytes.get(character).copied();
        Some(byte(marks.start.index())?..byte(marks.end.index())?)
    }

    /// The list whose start event was just read at `from`.
    fn nodes(&mut self, from: usize) -> Option<(List, Vec<Entry>)> {
        let brackets = self.text[from..].starts_with('[');
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingStart(..), span) => {
                    let mut entry = self.entry(span.start)?;
                    if !brackets {
                        entry.span.start = self.dash_before(entry.body)?;
                    }
                    nodes.push(entry);
                }
                (Event::SequenceEnd, span) if brackets => {
                    return Some((List::Brackets(from..span.end), nodes));
                }
                (Event::SequenceEnd, _) => return Some((List::Dashes, nodes)),
                _ => return None,
            }
        }
    }

    /// The node whose start event was just read at `from`.
    fn entry(&mut self, from: usize) -> Option<Entry> {
        let braces = self.text[from..].starts_with('{');
        let mut fields: Vec<Field> = Vec::new();
        loop {
            match self.next()? {
                (Event::Scalar(name, ..), key) => {
                    let (Event::Scalar(..), value) = self.next()? else { return None };
                    fields.push(Field { name: name.into_owned(), key, value });
                }
                (Event::MappingEnd, _) => {
                    let end = fields.last()?.value.end;
                    let end = if braces { self.brace_after(end)? } else { end };
                    let body = if braces { from } else { fields.first()?.key.start };
                    return Some(Entry { span: body..end, body, braces, fields });
                }
                _ => return None,
            }
        }
    }

    /// The end of the mapping whose last value ends at `end`. The parser's own mark may lie behind a comment.
    fn brace_after(&self, end: usize) -> Option<usize> {
        let mut at = SYNTAX.next(self.text, end);
        if self.text[at..].starts_with(',') {
            at = SYNTAX.next(self.text, at + 1);
        }
        self.text[at..].starts_with('}').then_some(at + 1)
    }

    /// The dash of the entry that begins at `body`, if only white space is between them.
    fn dash_before(&self, body: usize) -> Option<usize> {
        let before = self.text[..body].trim_end();
        before.ends_with('-').then(|| before.len() - 1)
    }
}
