//! The live table as lines of text that fit the terminal. The least important parts are left out first.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use super::board::{Board, Row, State};
use super::figures::Figures;
use crate::escape::is_plain;
use crate::fleet::numbers::{bytes, count, ratio, span};
use crate::shell;
use crate::style::{BAD, BOLD, DIM, GOOD, WARN};

/// Most lines of notes.
const NOTE_LINES: usize = 6;

/// Minimum width of a name; below it, whole columns are left out.
const MIN_NAME: usize = 8;

/// A heading, and whether its column is aligned right.
const HEADINGS: [(&str, bool); 11] = [
    ("NODE", false),
    ("ADDRESS", false),
    ("PID", true),
    ("STATE", false),
    ("ITEMS", true),
    ("MEM", true),
    ("GETS/S", true),
    ("HITS", true),
    ("CONNS", true),
    ("RING", true),
    ("KEYS", true),
];

/// Columns in the order in which they are left out if there is no room.
const EXPENDABLE: [usize; 9] = [8, 10, 2, 5, 9, 7, 4, 6, 1];

/// The lines for a terminal of this size. `notes` are past events, the latest last.
pub(super) fn lines(board: &Board, notes: &[String], width: usize, height: usize) -> Vec<String> {
    let mut top = vec![title(board, width), String::new()];
    let mut bottom = bottom(board, notes, width);
    // The table has priority: a heading and at least one node.
    let room = height.saturating_sub(top.len() + 2);
    let excess = |bottom: &[Vec<String>]| bottom.iter().map(Vec::len).sum::<usize>() > room;
    // An incomplete command is useless.
    while excess(&bottom) {
        bottom.remove(0);
    }
    let bottom = bottom.concat();
    let room = height.saturating_sub(top.len() + bottom.len());
    top.extend(table(&board.rows, width, room));
    top.extend(bottom);
    top.truncate(height);
    top
}

fn title(board: &Board, width: usize) -> String {
    let nodes = board.rows.len();
    let rest = format!(
        "{nodes} node{} of {} version {}, for {}",
        if nodes == 1 { "" } else { "s" },
        board.file.display(),
        board.version,
        span(board.age.as_secs())
    );
    let name = "Ringbinder";
    if width <= name.len() {
        return cut(name, width);
    }
    format!("{BOLD}{name}{BOLD:#} {}", cut(&rest, width - name.len() - 1))
}

/// The blocks below the table, the least important first. Each is shown whole or not at all.
fn bottom(board: &Board, notes: &[String], width: usize) -> Vec<Vec<String>> {
    let dim = |text: String| format!("{DIM}{}{DIM:#}", cut(&text, width));
    let one = |line: String| vec![line];
    let mut notes: Vec<String> = notes.iter().flat_map(|note| note_lines(note, width)).collect();
    notes.drain(..notes.len().saturating_sub(NOTE_LINES));
    let mut lines = vec![one(String::new())];
    if !notes.is_empty() {
        lines.extend(notes.into_iter().map(|note| one(format!("{WARN}{note}{WARN:#}"))));
        lines.push(one(String::new()));
    }
    lines.push(one(dim(format!("Logs: {}", board.logs.display()))));
    let commands = board.commands.iter().filter_map(|command| shell::fold(command, width));
    let commands: Vec<String> = commands.flatten().collect();
    if !commands.is_empty() {
        let mut group = one(cut("In another terminal:", width));
        group.extend(commands);
        lines.push(group);
    }
    lines.push(one(cut("or point any memcached client at any of the nodes.", width)));
    lines.push(one(cut("Ctrl-C stops them.", width)));
    lines
}

/// Wraps a note to lines of at most this width. A command in it gets separate lines.
fn note_lines(note: &str, width: usize) -> Vec<String> {
    let lines = note.lines().flat_map(|line| match line.strip_prefix(shell::INDENT) {
        Some(command) => shell::fold(command, width).unwrap_or_default(),
        None => wrap(line, width),
    });
    lines.collect()
}

fn table(rows: &[Row], width: usize, height: usize) -> Vec<String> {
    let shown = if rows.len() < height { rows.len() } else { height.saturating_sub(2) };
    let cells: Vec<[String; HEADINGS.len()]> = rows[..shown].iter().map(cells).collect();
    let layout = Layout::new(&cells, width);
    let heading = HEADINGS.map(|(heading, _)| heading.to_owned());
    let mut lines = vec![format!("{BOLD}{}{BOLD:#}", layout.line(&heading, None))];
    for (row, cells) in rows.iter().zip(&cells) {
        lines.push(layout.line(cells, Some(style(row.state))));
    }
    let hidden = &rows[shown..];
    if !hidden.is_empty() {
        let bad = hidden.iter().filter(|row| row.state != State::Up).count();
        let mut text = format!("... and {} more", hidden.len());
        if bad > 0 {
            let _ = write!(text, ", {bad} of them not up");
        }
        lines.push(cut(&text, width));
    }
    lines
}

fn style(state: State) -> Style {
    match state {
        State::Up => GOOD,
        State::Starting | State::Leaving => WARN,
        State::Away | State::Ended => BAD,
    }
}

fn cells(row: &Row) -> [String; HEADINGS.len()] {
    let dash = || "-".to_owned();
    let reported = row.figures.as_ref();
    let number = |number: Option<u64>| number.map_or_else(dash, count);
    [
        row.name.clone(),
        row.address.clone(),
        row.pid.map_or_else(dash, |pid| pid.to_string()),
        row.state.name().to_owned(),
        number(reported.and_then(Figures::items)),
        reported.and_then(Figures::bytes).map_or_else(dash, bytes),
        number(row.gets_per_second),
        reported
            .and_then(Figures::hits_of_gets)
            .map_or_else(dash, |(hits, gets)| ratio(hits, gets)),
        number(reported.and_then(Figures::connections)),
        reported.and_then(Figures::ring_version).map_or_else(dash, |version| version.to_string()),
        format!("{:.1}%", row.share * 100.0),
    ]
}

/// The width of each column; `None` if it is left out.
struct Layout {
    widths: [Option<usize>; HEADINGS.len()],
    gap: usize,
    room: usize,
}

impl Layout {
    fn new(cells: &[[String; HEADINGS.len()]], room: usize) -> Layout {
        let mut widths = HEADINGS.map(|(heading, _)| Some(heading.len()));
        for row in cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(Some(cell.chars().count()));
            }
        }
        let mut layout = Layout { widths, gap: 2, room };
        let mut expendable = EXPENDABLE.into_iter();
        while layout.width() > room {
            layout.gap = 1;
            let excess = layout.width().saturating_sub(room);
            let name = layout.widths[0].unwrap_or_default();
            if excess > 0 && name > MIN_NAME {
                layout.widths[0] = Some(name.saturating_sub(excess).max(MIN_NAME));
            } else if excess > 0 {
                let Some(column) = expendable.next() else { break };
                layout.widths[column] = None;
            }
        }
        layout
    }

    fn width(&self) -> usize {
        let columns = self.widths.iter().flatten();
        columns.clone().sum::<usize>() + self.gap * columns.count().saturating_sub(1)
    }

    /// One line, with the state in a style.
    fn line(&self, cells: &[String; HEADINGS.len()], style: Option<Style>) -> String {
        const STATE: usize = 3;
        let mut line = String::new();
        let mut used = 0;
        for (column, (cell, &(_, right))) in cells.iter().zip(&HEADINGS).enumerate() {
            let Some(width) = self.widths[column] else { continue };
            let gap = if used > 0 { self.gap } else { 0 };
            // Cuts only in a terminal narrower than the two columns that are always shown.
            let width = width.min(self.room.saturating_sub(used + gap));
            let text = cut(cell, width);
            let text = if right { format!("{text:>width$}") } else { format!("{text:<width$}") };
            let style = style.filter(|_| column == STATE).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ =
                write!(line, "{:gap$}{style}{text}{style:#}", "", gap = gap.min(self.room - used));
            used = (used + gap + width).min(self.room);
        }
        line
    }
}

/// Width of a character in columns; 0 if it cannot be shown.
fn columns(char: char) -> usize {
    char.width().unwrap_or(0)
}

/// Shortens a text to at most this width.
fn cut(text: &str, width: usize) -> String {
    let shown = || text.chars().filter(|&char| is_plain(char));
    if shown().map(columns).sum::<usize>() <= width {
        return shown().collect();
    }
    let mut left = width.saturating_sub(1);
    let kept = shown().take_while(|&char| {
        let fits = columns(char) <= left;
        left = left.saturating_sub(columns(char));
        fits
    });
    kept.chain((width > 0).then_some('\u{2026}')).collect()
}

/// Wraps a text to lines of at most this width, between words if possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let word = || word.chars().filter(|&char| is_plain(char));
        let len: usize = word().map(columns).sum();
        if used > 0 && used + 1 + len > width {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            lines.last_mut().expect("there is a first line").push(' ');
            used += 1;
        }
        for char in word() {
            if used > 0 && used + columns(char) > width {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().expect("there is a first line").push(char);
            used += columns(char);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::figures::tests::some;
    use super::*;

    fn board(nodes: usize) -> Board {
        let row = |index: usize| Row {
            name: format!("cache-{index}"),
            address: format!("127.0.0.1:{}", 11_211 + index),
            state: if index == 40 { State::Ended } else { State::Up },
            pid: Some(4_194_304),
            figures: Some(some(1000, Instant::now())),
            gets_per_second: Some(99_999),
            share: 1.0 / 3.0,
        };
        Board {
            file: "/home/somebody/ring.toml".into(),
            version: 1,
            age: Duration::from_secs(61),
            rows: (0..nodes).map(row).collect(),
            logs: "/var/tmp/ringbinder-up-x".into(),
            commands: vec![
                "target/debug/ringbinder set greeting hello".to_owned(),
                "target/debug/ringbinder get greeting".to_owned(),
            ],
        }
    }

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn eighty_columns_hold_every_column() {
        let lines = plain(&lines(&board(3), &[], 80, 24));
        let text = lines.join("\n");
        for (heading, _) in HEADINGS {
            assert!(lines[2].contains(heading), "{heading}: {text}");
        }
        assert!(lines[3].starts_with("cache-0 127.0.0.1:11211 4194304 up "), "{text}");
        assert!(lines[3].contains("12.3k"), "{text}");
        assert!(text.contains("Ctrl-C stops them."), "{text}");
        assert!(text.contains("set "), "{text}");
    }

    #[test]
    fn commands_are_whole_however_long_they_are() {
        let program =
            "'/tmp/a rather long folder name with blanks/a checkout/target/debug/ringbinder'";
        let mut board = board(3);
        board.commands = vec![
            format!("{program} set --ring '/tmp/my rings/ring.toml' greeting hello"),
            format!("{program} get --ring '/tmp/my rings/ring.toml' greeting"),
        ];
        let joined = |lines: &[String]| lines.join("\n").replace("'\\\n'", "").replace("\\\n", "");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (width, height) in [(80, 24), (60, 30), (30, 60), (20, 70), (200, 24)] {
            let shown = plain(&lines(&board, &[], width, height));
            for command in &board.commands {
                let shown = words(&joined(&shown));
                assert!(shown.contains(&words(command)), "{width}: {shown}");
            }
        }
        // The commands are shown together or not at all.
        for height in 0..24 {
            let shown = words(&joined(&plain(&lines(&board, &[], 80, height))));
            let there = board.commands.iter().filter(|it| shown.contains(&words(it))).count();
            let any = shown.contains("ringbinder'") || shown.contains("In another terminal");
            assert_eq!(there, if any { 2 } else { 0 }, "{height}: {shown}");
        }
        let note = format!("cache-a: it ended; to start it again:\n    {}", board.commands[0]);
        let shown = plain(&note_lines(&note, 80));
        assert_eq!(shown[0], "cache-a: it ended; to start it again:");
        assert!(words(&joined(&shown)).contains(&words(&board.commands[0])), "{shown:#?}");
    }

    #[test]
    fn nothing_is_larger_than_the_terminal() {
        let long = "a word and ".repeat(40) + &"x".repeat(300);
        for nodes in [1, 3, 50] {
            for (width, height) in [(80, 24), (40, 10), (200, 60), (20, 5), (7, 3), (1, 1), (0, 0)]
            {
                let lines =
                    plain(&lines(&board(nodes), std::slice::from_ref(&long), width, height));
                assert!(lines.len() <= height, "{nodes} in {width}x{height}: {lines:#?}");
                for line in &lines {
                    assert!(line.chars().count() <= width, "{nodes} in {width}x{height}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn nodes_without_room_are_counted() {
        let lines = plain(&lines(&board(50), &[], 80, 24));
        assert_eq!(lines.len(), 24, "{lines:#?}");
        let more = lines.iter().position(|line| line.starts_with("... and ")).expect("a line");
        let shown = lines.iter().filter(|line| line.starts_with("cache-")).count();
        assert_eq!(lines[more], format!("... and {} more, 1 of them not up", 50 - shown));
        assert!(shown >= 10, "{lines:#?}");
        assert!(
            plain(&super::lines(&board(50), &[], 80, 80))
                .iter()
                .any(|line| { line.starts_with("cache-49 ") })
        );
    }

    #[test]
    fn long_names_give_way_before_columns_do() {
        let mut board = board(2);
        board.rows[1].name = "x".repeat(64);
        let lines = plain(&lines(&board, &[], 80, 24));
        assert!(lines[2].contains("CONNS") && lines[4].contains('\u{2026}'), "{lines:#?}");
    }

    #[test]
    fn wide_characters_take_two_columns_and_control_characters_none() {
        assert_eq!(cut("\u{672c}\u{672c}\u{672c}", 6), "\u{672c}\u{672c}\u{672c}");
        assert_eq!(cut("\u{672c}\u{672c}\u{672c}", 5), "\u{672c}\u{672c}\u{2026}");
        assert_eq!(cut("\u{672c}\u{672c}\u{672c}", 4), "\u{672c}\u{2026}");
        assert_eq!(cut("a\x1b[2Jb\n", 80), "a[2Jb");
        assert_eq!(wrap("\u{672c}\u{672c}", 3), ["\u{672c}", "\u{672c}"]);
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn notes_are_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
