//! The layout of a TOML ring file.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value};

use super::layout::{Entry, Field, Layout, List, Syntax};

const SYNTAX: Syntax = Syntax { quoted_keys: false, assign: " = ", comments: true };

/// Parses the layout of a text. Returns `None` if the text cannot be edited in place.
pub(super) fn layout(text: &str) -> Option<Layout> {
    let document = Document::parse(text).ok()?;
    let root = document.as_table();
    let version = root.get("version")?.span()?;
    let (list, nodes) = match root.get("node")? {
        Item::ArrayOfTables(tables) => {
            let nodes = tables.iter().map(|table| {
                let header = table.span()?;
                let fields = fields(table)?;
                let end = fields.iter().map(|field| field.value.end).max()?;
                let (span, body) = (header.start..end, header.start);
                Some(Entry { span, body, braces: false, fields })
            });
            (List::Headers, nodes.collect::<Option<Vec<_>>>()?)
        }
        Item::Value(Value::Array(array)) => {
            let nodes = array.iter().map(|value| {
                let span = value.span()?;
                let (body, fields) = (span.start, fields(value.as_inline_table()?)?);
                Some(Entry { span, body, braces: true, fields })
            });
            (List::Brackets(array.span()?), nodes.collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    Some(Layout { version, list, nodes, syntax: SYNTAX })
}

fn fields(table: &dyn TableLike) -> Option<Vec<Field>> {
    let mut fields = table
        .iter()
        .map(|(name, item)| {
            let key: Range<usize> = table.key(name)?.span()?;
            Some(Field { name: name.to_owned(), key, value: item.span()? })
        })
        .collect::<Option<Vec<_>>>()?;
    fields.sort_by_key(|field| field.key.start);
    Some(fields)
}
