//! A change keeps everything outside it, however a file is written.

use proptest::prelude::*;
use ringbinder_ring::{Format, Node, Ring};

use super::edit;
use crate::ring::change::{Change, NewWeight, apply};

/// A way to write a ring file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `[[node]]`
    Headers,
    /// A TOML array of inline tables, one a line.
    TomlList,
    /// A YAML list, a field a line.
    Dashes,
    /// A YAML list of flow mappings, one a line.
    DashBraces,
    /// A YAML flow sequence, a node a line.
    YamlList,
    /// JSON, a field a line.
    JsonFields,
    /// JSON, a node a line.
    JsonNodes,
    /// JSON on one line.
    JsonLine,
}

const STYLES: [Style; 8] = [
    Style::Headers,
    Style::TomlList,
    Style::Dashes,
    Style::DashBraces,
    Style::YamlList,
    Style::JsonFields,
    Style::JsonNodes,
    Style::JsonLine,
];

impl Style {
    fn format(self) -> Format {
        match self {
            Style::Headers | Style::TomlList => Format::Toml,
            Style::Dashes | Style::DashBraces | Style::YamlList => Format::Yaml,
            Style::JsonFields | Style::JsonNodes | Style::JsonLine => Format::Json,
        }
    }
}

/// Writes a file, with comments and empty lines at random places chosen by `dice`.
struct Writer<'a> {
    style: Style,
    dice: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    comments: usize,
    text: String,
}

impl Writer<'_> {
    fn roll(&mut self, sides: u8) -> u8 {
        self.dice.next().unwrap() % sides
    }

    fn has_comments(&self) -> bool {
        self.style.format() != Format::Json
    }

    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("# c{}, \"{{[ ü", self.comments)
    }

    /// Adds comments or empty lines, or nothing.
    fn pause(&mut self, indent: &str) {
        for _ in 0..self.roll(3) {
            if self.roll(2) == 0 || !self.has_comments() {
                self.text += "\n";
            } else {
                let comment = self.comment();
                self.text += &format!("{indent}{comment}\n");
            }
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        if self.has_comments() && self.roll(4) == 0 {
            let comment = self.comment();
            self.text += &format!("  {comment}");
        }
        self.text += "\n";
    }

    fn fields(&mut self, node: &Node) -> Vec<String> {
        let (quote, assign) = match self.style.format() {
            Format::Toml => ("", " = "),
            Format::Yaml => ("", ": "),
            Format::Json => ("\"", ": "),
        };
        let mut fields = vec![
            format!("{quote}name{quote}{assign}\"{}\"", node.name),
            format!("{quote}address{quote}{assign}\"{node}\""),
        ];
        if node.weight != 1 || self.roll(3) == 0 {
            let weight = format!("{quote}weight{quote}{assign}{}", node.weight);
            let place = usize::from(self.roll(3));
            fields.insert(place, weight);
        }
        fields
    }

    fn file(mut self, nodes: &[Node]) -> String {
        let trailing = self.style == Style::TomlList && self.roll(2) == 0;
        self.pause("");
        match self.style {
            Style::Headers | Style::TomlList => self.line("version = 1"),
            Style::Dashes | Style::DashBraces | Style::YamlList => self.line("version: 1"),
            Style::JsonFields | Style::JsonNodes => self.text += "{\n  \"version\": 1,\n",
            Style::JsonLine => self.text += "{\"version\": 1, \"node\": [",
        }
        self.pause("");
        match self.style {
            Style::Headers | Style::JsonLine => {}
            Style::TomlList => self.line("node = ["),
            Style::YamlList => self.line("node: ["),
            Style::Dashes | Style::DashBraces => self.line("node:"),
            Style::JsonFields | Style::JsonNodes => self.text += "  \"node\": [\n",
        }
        for (place, node) in nodes.iter().enumerate() {
            let last = place + 1 == nodes.len();
            let comma = if last && !trailing { "" } else { "," };
            let fields = self.fields(node);
            self.pause("  ");
            match self.style {
                Style::Headers => {
                    self.line("[[node]]");
                    for field in fields {
                        self.line(&field);
                        self.pause("");
                    }
                }
                Style::Dashes => {
                    for (number, field) in fields.iter().enumerate() {
                        let start = if number == 0 { "  - " } else { "    " };
                        self.line(&format!("{start}{field}"));
                        self.pause("    ");
                    }
                }
                Style::DashBraces => self.line(&format!("  - {{{}}}", fields.join(", "))),
                Style::TomlList | Style::YamlList => {
                    self.line(&format!("  {{ {} }}{comma}", fields.join(", ")));
                }
                Style::JsonFields => {
                    let fields = fields.join(",\n      ");
                    self.line(&format!("    {{\n      {fields}\n    }}{comma}"));
                }
                Style::JsonNodes => self.line(&format!("    {{{}}}{comma}", fields.join(", "))),
                Style::JsonLine => self.text += &format!("{{{}}}{comma}", fields.join(", ")),
            }
        }
        match self.style {
            Style::TomlList | Style::YamlList => self.line("]"),
            Style::JsonFields | Style::JsonNodes => self.text += "  ]\n}\n",
            Style::JsonLine => self.text += "]}",
            Style::Headers | Style::Dashes | Style::DashBraces => {}
        }
        self.pause("");
        if self.roll(3) == 0 {
            self.text.truncate(self.text.trim_end().len());
        }
        if self.roll(8) == 0 {
            self.text.insert(0, '\u{feff}');
        }
        self.text
    }
}

fn node(number: usize, weight: u32) -> Node {
    Node::new(&format!("n{number}"), &format!("h{number}:11211"), weight.into()).unwrap()
}

/// One random change: its kind, the node it applies to, and a weight.
type Step = (u8, usize, u32);

fn change((kind, which, weight): Step, ring: &Ring, added: usize) -> Change {
    let name = ring.nodes()[which % ring.nodes().len()].name.clone();
    match kind % 3 {
        0 => Change::Add(node(1000 + added, weight)),
        1 if ring.nodes().len() > 1 => Change::Remove { name },
        _ => Change::Weight(NewWeight { name, weight }),
    }
}

/// The significant lines of a text, without the commas that separate nodes.
fn lines(text: &str) -> Vec<String> {
    let said = text.lines().filter(|line| !line.trim().is_empty() && !line.contains("version"));
    said.map(|line| line.trim_end().trim_end_matches(',').replace("},", "}")).collect()
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#')).collect()
}

/// Whether `few` is `many` without some of its lines.
fn within(few: &[String], many: &[String]) -> bool {
    let mut many = many.iter();
    few.iter().all(|line| many.any(|other| other == line))
}

/// The number of lines in each text between the common beginning and the common end.
fn hunk(old: &[String], new: &[String]) -> (usize, usize) {
    let same = |pairs: &mut dyn Iterator<Item = (&String, &String)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let head = same(&mut old.iter().zip(new));
    let (old, new) = (&old[head..], &new[head..]);
    let tail = same(&mut old.iter().rev().zip(new.iter().rev()));
    (old.len() - tail, new.len() - tail)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_touch_nothing_else(
        style in proptest::sample::select(&STYLES[..]),
        weights in prop::collection::vec(prop_oneof![Just(1u32), 1..70u32], 1..6),
        dice in prop::collection::vec(any::<u8>(), 20..60),
        windows in any::<bool>(),
        steps in prop::collection::vec((any::<u8>(), any::<usize>(), 1..200u32), 1..8),
    ) {
        let nodes: Vec<Node> =
            weights.iter().enumerate().map(|(number, &weight)| node(number, weight)).collect();
        let newline = if windows { "\r\n" } else { "\n" };
        let writer = Writer { style, dice: dice.iter().cycle(), comments: 0, text: String::new() };
        let mut text = writer.file(&nodes).replace('\n', newline);
        let format = style.format();
        let mut ring = Ring::parse(&text, format, "it").unwrap();
        for (added, &step) in steps.iter().enumerate() {
            let change = change(step, &ring, added);
            let new = apply(&ring, std::slice::from_ref(&change), "it").unwrap();
            let edited = edit(&text, format, &ring, &change, &new);
            let edited = edited.unwrap_or_else(|| panic!("{change:?} of\n{text}"));
            let told = format!("{change:?} of\n{text}\nis\n{edited}");
            prop_assert_eq!(&Ring::parse(&edited, format, "it").unwrap(), &new, "{}", told);
            prop_assert_eq!(comments(&edited), comments(&text), "{}", told);
            let ends = edited.matches('\n').count();
            prop_assert_eq!(edited.matches("\r\n").count(), if windows { ends } else { 0 }, "{}", told);
            let (old, now) = (lines(&text), lines(&edited));
            if style != Style::JsonLine {
                match change {
                    Change::Add(_) => prop_assert_eq!(hunk(&old, &now).0, 0, "{}", told),
                    Change::Remove { .. } => prop_assert!(within(&now, &old), "{}", told),
                    Change::Weight(_) => {
                        let (gone, come) = hunk(&old, &now);
                        prop_assert!(gone <= 1 && come <= gone + 1, "{}", told);
                    }
                }
            }
            (text, ring) = (edited, new);
        }
    }
}

fn add_to(text: &str, format: Format) -> Option<String> {
    let old = Ring::parse(text, format, "it").unwrap();
    let change = Change::Add(node(1, 2));
    let new = apply(&old, std::slice::from_ref(&change), "it").unwrap();
    edit(text, format, &old, &change, &new)
}

#[test]
fn a_node_is_added_as_the_one_before_it_is_written() {
    let toml =
        "version = 0x1 # hex\n  [[node]]\n  name = 'a'\n  address = 'h:1'\n  # weight = 3\n\n# end";
    let added = "  [[node]]\n  name = \"n1\"\n  address = \"h1:11211\"\n  weight = 2\n";
    assert_eq!(
        add_to(toml, Format::Toml).unwrap(),
        toml.replace("0x1", "2").replace("\n\n# end", &format!("\n\n{added}\n# end"))
    );
    let yaml = "node:\n- name: a\n  address: h:1\n# end\nversion: 1\n";
    let added = "- name: \"n1\"\n  address: \"h1:11211\"\n  weight: 2\n";
    assert_eq!(
        add_to(yaml, Format::Yaml).unwrap(),
        yaml.replace("# end", &format!("{added}# end")).replace("version: 1", "version: 2")
    );
}

#[test]
fn what_cannot_be_changed_with_certainty_is_left_alone() {
    // A comment stands between the dash and the node.
    let text = "version: 1\nnode:\n  - # the first\n    name: a\n    address: h:1\n";
    assert_eq!(add_to(text, Format::Yaml), None);
}
