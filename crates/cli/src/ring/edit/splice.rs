//! Changes to a text by its layout: sets the version or a weight, adds or removes a node. All other text
//! stays. Comments on separate lines always stay. A comment at the end of a removed line is removed with it.

use ringbinder_ring::Node;

use super::layout::{Entry, Layout, List, Span, line_end, line_start};

/// Non-overlapping replacements in a text.
pub(super) struct Splices<'a> {
    text: &'a str,
    layout: &'a Layout,
    newline: &'static str,
    replaced: Vec<(Span, String)>,
}

impl<'a> Splices<'a> {
    pub(super) fn new(text: &'a str, layout: &'a Layout) -> Splices<'a> {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Splices { text, layout, newline, replaced: Vec::new() }
    }

    /// Returns the text with all replacements made.
    pub(super) fn finish(mut self) -> String {
        self.replaced.sort_by_key(|(span, _)| span.start);
        let mut new = self.text.to_owned();
        // From the last to the first, so that the positions of the others stay valid.
        for (span, text) in self.replaced.iter().rev() {
            new.replace_range(span.clone(), text);
        }
        new
    }

    pub(super) fn version(&mut self, version: u64) {
        self.put(self.layout.version.clone(), version.to_string());
    }

    pub(super) fn weight(&mut self, place: usize, weight: u32) -> Option<()> {
        let entry = &self.layout.nodes[place];
        if let Some(field) = entry.field("weight") {
            self.put(field.value.clone(), weight.to_string());
            return Some(());
        }
        let address = entry.field("address")?;
        let field = self.layout.syntax.field("weight", &weight.to_string());
        if entry.braces {
            let gap = self.gap_before(address.key.start, entry.body);
            self.put_at(address.value.end, format!(",{gap}{field}"));
        } else {
            let indent = self.column(address.key.start);
            self.put_lines(line_end(self.text, address.value.end), &[format!("{indent}{field}")]);
        }
        Some(())
    }

    pub(super) fn remove(&mut self, place: usize) {
        match &self.layout.list {
            List::Brackets(_) => self.remove_from_list(place),
            List::Headers | List::Dashes => self.remove_lines(place),
        }
    }

    pub(super) fn add(&mut self, node: &Node) -> Option<()> {
        let last = self.layout.nodes.last()?;
        match &self.layout.list {
            List::Brackets(brackets) => self.add_to_list(node, last, brackets),
            List::Headers | List::Dashes => {
                let mut at = line_end(self.text, last.span.end);
                while self.is_comment_of(last, at) {
                    at = line_end(self.text, at);
                }
                self.put_lines(at, &self.lines(node, last));
            }
        }
        Some(())
    }

    /// Whether the line at `at`, right below a node, is a comment that belongs to that node. If nodes begin
    /// with a dash, such a comment is indented further than the dash.
    fn is_comment_of(&self, entry: &Entry, at: usize) -> bool {
        let line = &self.text[at..line_end(self.text, at)];
        let indent = line.len() - line.trim_start().len();
        let dash = entry.span.start - line_start(self.text, entry.span.start);
        let within = self.layout.list != List::Dashes || indent > dash;
        within && line[indent..].starts_with('#')
    }

    /// The lines of a new node, in the style of the node before it.
    fn lines(&self, node: &Node, last: &Entry) -> Vec<String> {
        let indent = self.column(last.span.start);
        let fields = self.fields(node);
        if self.layout.list == List::Headers {
            let mut lines = vec![String::new(), format!("{indent}[[node]]")];
            lines.extend(fields.iter().map(|field| format!("{indent}{field}")));
            return lines;
        }
        let gap = match &self.text[last.span.start + 1..last.body] {
            gap if gap.contains('\n') => " ",
            gap => gap,
        };
        if last.braces {
            return vec![format!("{indent}-{gap}{{{}}}", fields.join(", "))];
        }
        let first = format!("{indent}-{gap}{}", fields[0]);
        let rest = fields[1..].iter().map(|field| format!("{indent} {gap}{field}"));
        std::iter::once(first).chain(rest).collect()
    }

    /// The fields of a new node, in this order.
    fn fields(&self, node: &Node) -> Vec<String> {
        let syntax = self.layout.syntax;
        let mut fields = vec![
            syntax.field("name", &format!("\"{}\"", node.name)),
            syntax.field("address", &format!("\"{node}\"")),
        ];
        if node.weight != 1 {
            fields.push(syntax.field("weight", &node.weight.to_string()));
        }
        fields
    }

    fn add_to_list(&mut self, node: &Node, last: &Entry, brackets: &Span) {
        let fields = self.fields(node);
        let first = last.fields.first().map_or(last.body + 1, |field| field.key.start);
        let inside = self.white(last.body + 1..first).unwrap_or_default().to_owned();
        let end = last.fields.last().map_or(last.body + 1, |field| field.value.end);
        let closing = self.white(end..last.span.end - 1).unwrap_or_default();
        let between = if inside.contains('\n') { &inside } else { " " };
        let entry = format!("{{{inside}{}{closing}}}", fields.join(&format!(",{between}")));

        let gap = self.gap_before(last.span.start, brackets.start);
        let syntax = self.layout.syntax;
        let after = syntax.next(self.text, last.span.end);
        let trailing = self.text[after..].starts_with(',');
        let end = if trailing { after + 1 } else { last.span.end };
        if !trailing {
            self.put_at(last.span.end, ",".to_owned());
        }
        // A comment behind the last node stays behind it.
        let rest = &self.text[end..line_end(self.text, end)];
        let commented = syntax.comments && rest.trim_start().starts_with('#');
        let at = if commented { end + rest.trim_end_matches(['\r', '\n']).len() } else { end };
        let comma = if trailing { "," } else { "" };
        let gap = if commented && !gap.contains('\n') { self.newline.to_owned() } else { gap };
        self.put_at(at, format!("{gap}{entry}{comma}"));
    }

    fn remove_from_list(&mut self, place: usize) {
        let (nodes, syntax) = (&self.layout.nodes, self.layout.syntax);
        let span = nodes[place].span.clone();
        let after = syntax.next(self.text, span.end);
        let comma = self.text[after..].starts_with(',');
        let mut end = if comma { after + 1 } else { span.end };
        let mut start = span.start;
        let blank_before = self.text[line_start(self.text, start)..start].trim().is_empty();
        let rest = &self.text[end..line_end(self.text, end)];
        let blank_after =
            rest.trim().is_empty() || (syntax.comments && rest.trim_start().starts_with('#'));
        if blank_before && blank_after {
            start = line_start(self.text, start);
            end = line_end(self.text, end);
        } else {
            end += rest.len() - rest.trim_start_matches([' ', '\t']).len();
        }
        if !comma && place > 0 {
            // Without the last node, the comma before it would be one too many.
            let before = syntax.next(self.text, nodes[place - 1].span.end);
            if self.text[before..].starts_with(',') {
                let white = self.white(before + 1..start);
                if blank_before && blank_after || white.is_none() {
                    self.put(before..before + 1, String::new());
                } else {
                    start = before;
                    // The closing bracket keeps its position.
                    end = span.end;
                }
            }
        }
        self.put(start..end, String::new());
    }

    /// Removes the lines with a node's header, dash and fields, and no other line.
    fn remove_lines(&mut self, place: usize) {
        let entry = &self.layout.nodes[place];
        let start = entry.span.start;
        let own = if entry.braces { entry.span.clone() } else { start..start + 1 };
        let fields = entry.fields.iter().map(|field| field.key.start..field.value.end);
        let spans = std::iter::once(own).chain(fields);
        let mut lines: Vec<Span> = Vec::new();
        for span in spans {
            let line = line_start(self.text, span.start)..line_end(self.text, span.end);
            match lines.last_mut() {
                Some(last) if line.start <= last.end => last.end = last.end.max(line.end),
                _ => lines.push(line),
            }
        }
        // If two empty lines would meet, one of them is removed too.
        let empty = |line: &str| line.trim().is_empty();
        if let [only] = &mut lines[..] {
            let before = line_start(self.text, only.start.saturating_sub(1));
            let gap_before = only.start == 0 || empty(&self.text[before..only.start]);
            if gap_before && empty(&self.text[only.end..line_end(self.text, only.end)]) {
                match only.end < self.text.len() {
                    true => only.end = line_end(self.text, only.end),
                    false => only.start = before,
                }
            }
        }
        for line in lines {
            self.put(line, String::new());
        }
    }

    /// The white space right before this position, with at most one line break. `from` is the earliest start
    /// of the search.
    fn gap_before(&self, at: usize, from: usize) -> String {
        let before = &self.text[from..at];
        let gap = &before[before.trim_end().len()..];
        match gap.rsplit_once('\n') {
            Some((_, indent)) => format!("{}{indent}", self.newline),
            None if gap.is_empty() => " ".to_owned(),
            None => gap.to_owned(),
        }
    }

    /// This part of the text if it is only white space.
    fn white(&self, span: Span) -> Option<&'a str> {
        self.text.get(span).filter(|text| text.trim().is_empty())
    }

    /// The indentation of a line up to this position.
    fn column(&self, at: usize) -> String {
        let before = &self.text[line_start(self.text, at)..at];
        before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect()
    }

    /// Inserts lines before the line that begins at `at`.
    fn put_lines(&mut self, at: usize, lines: &[String]) {
        let newline = self.newline;
        let mut text = String::new();
        if !self.text[..at].ends_with('\n') {
            text.push_str(newline);
        }
        for line in lines {
            text.push_str(line);
            text.push_str(newline);
        }
        self.put_at(at, text);
    }

    fn put_at(&mut self, at: usize, text: String) {
        self.put(at..at, text);
    }

    fn put(&mut self, span: Span, text: String) {
        self.replaced.push((span, text));
    }
}
