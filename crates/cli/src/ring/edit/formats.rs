//! The layout of a ring file in JSON, TOML and YAML. Each function returns `None` if the text cannot be edited
//! in place.

use jsonc_parser::ast::{Object, Value as Json};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use saphyr_parser::{Event, Parser, Span as Marks};
use toml_edit::{Document, Item, TableLike, Value};

use crate::ring::edit::layout::{Entry, Field, Layout, List, Span, Syntax};

const JSON: Syntax = Syntax { quoted_keys: true, assign: ": ", comments: false };

pub(super) fn json(text: &str) -> Option<Layout> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?;
    let Some(Json::Object(root)) = parsed.value else { return None };
    let version = json_span(&root.get("version")?.value);
    let list = root.get_array("node")?;
    let nodes = list.elements.iter().map(|element| {
        let span = json_span(element);
        let (body, fields) = (span.start, json_fields(element.as_object()?));
        Some(Entry { span, body, braces: true, fields })
    });
    let nodes = nodes.collect::<Option<Vec<_>>>()?;
    Some(Layout {
        version,
        list: List::Brackets(list.range.start..list.range.end),
        nodes,
        syntax: JSON,
    })
}

fn json_fields(object: &Object<'_>) -> Vec<Field> {
    let fields = object.properties.iter().map(|property| Field {
        name: property.name.as_str().to_owned(),
        key: property.name.start()..property.name.end(),
        value: json_span(&property.value),
    });
    fields.collect()
}

fn json_span(value: &Json<'_>) -> Span {
    value.start()..value.end()
}

const TOML: Syntax = Syntax { quoted_keys: false, assign: " = ", comments: true };

pub(super) fn toml(text: &str) -> Option<Layout> {
    let document = Document::parse(text).ok()?;
    let root = document.as_table();
    let version = root.get("version")?.span()?;
    let (list, nodes) = match root.get("node")? {
        Item::ArrayOfTables(tables) => {
            let nodes = tables.iter().map(|table| {
                let header = table.span()?;
                let fields = toml_fields(table)?;
                let end = fields.iter().map(|field| field.value.end).max()?;
                let (span, body) = (header.start..end, header.start);
                Some(Entry { span, body, braces: false, fields })
            });
            (List::Headers, nodes.collect::<Option<Vec<_>>>()?)
        }
        Item::Value(Value::Array(array)) => {
            let nodes = array.iter().map(|value| {
                let span = value.span()?;
                let (body, fields) = (span.start, toml_fields(value.as_inline_table()?)?);
                Some(Entry { span, body, braces: true, fields })
            });
            (List::Brackets(array.span()?), nodes.collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    Some(Layout { version, list, nodes, syntax: TOML })
}

fn toml_fields(table: &dyn TableLike) -> Option<Vec<Field>> {
    let mut fields = table
        .iter()
        .map(|(name, item)| {
            let key = table.key(name)?.span()?;
            Some(Field { name: name.to_owned(), key, value: item.span()? })
        })
        .collect::<Option<Vec<_>>>()?;
    fields.sort_by_key(|field| field.key.start);
    Some(fields)
}

const YAML: Syntax = Syntax { quoted_keys: false, assign: ": ", comments: true };

pub(super) fn yaml(text: &str) -> Option<Layout> {
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
    Some(Layout { version: version?, list, nodes, syntax: YAML })
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
        let mut at = YAML.next(self.text, end);
        if self.text[at..].starts_with(',') {
            at = YAML.next(self.text, at + 1);
        }
        self.text[at..].starts_with('}').then_some(at + 1)
    }

    /// The dash of the entry that begins at `body`, if only white space is between them.
    fn dash_before(&self, body: usize) -> Option<usize> {
        let before = self.text[..body].trim_end();
        before.ends_with('-').then(|| before.len() - 1)
    }
}
