//! The layout of a JSON ring file.

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::layout::{Entry, Field, Layout, List, Span, Syntax};

const SYNTAX: Syntax = Syntax { quoted_keys: true, assign: ": ", comments: false };

/// Parses the layout of a text. Returns `None` if the text cannot be edited in place.
pub(super) fn layout(text: &str) -> Option<Layout> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?;
    let Some(Value::Object(root)) = parsed.value else { return None };
    let version = span(&root.get("version")?.value);
    let list = root.get_array("node")?;
    let nodes = list.elements.iter().map(|element| {
        let span = span(element);
        let (body, fields) = (span.start, fields(element.as_object()?));
        Some(Entry { span, body, braces: true, fields })
    });
    let nodes = nodes.collect::<Option<Vec<_>>>()?;
    Some(Layout {
        version,
        list: List::Brackets(list.range.start..list.range.end),
        nodes,
        syntax: SYNTAX,
    })
}

fn fields(object: &Object<'_>) -> Vec<Field> {
    let fields = object.properties.iter().map(|property| Field {
        name: property.name.as_str().to_owned(),
        key: property.name.start()..property.name.end(),
        value: span(&property.value),
    });
    fields.collect()
}

fn span(value: &Value<'_>) -> Span {
    value.start()..value.end()
}
