//! The live table: its contents, and how it is drawn. The least important parts are left out first.

use std::path::Path;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::figures::Figures;
use crate::escape::is_plain;
use crate::fleet::numbers::{bytes, count, counted, ratio, span};
use crate::shell;
use crate::up::entry::{Entry, State};

/// What the live table shows.
pub(super) struct Board<'a> {
    pub(super) file: &'a Path,
    /// The version of the ring.
    pub(super) version: u64,
    /// Time since the nodes were started.
    pub(super) age: Duration,
    pub(super) entries: &'a [Entry],
    /// The directory of the nodes' logs.
    pub(super) logs: &'a Path,
    /// Commands to try in another terminal, as the user would type them.
    pub(super) commands: &'a [String],
}

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

/// Draws the table on a terminal of any size. `notes` are past events, the latest last.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board<'_>, notes: &[String]) {
    const TITLE: u16 = 2;
    let area = frame.area();
    let mut bottom = bottom(board, notes, area.width.into());
    // The table has priority: a heading and at least one node.
    let room = usize::from(area.height.saturating_sub(TITLE + 2));
    // An incomplete command is useless.
    while bottom.iter().map(Vec::len).sum::<usize>() > room {
        bottom.remove(0);
    }
    let bottom = bottom.concat();
    let below = u16::try_from(bottom.len()).unwrap_or(u16::MAX);
    let room = area.height.saturating_sub(TITLE + below);
    let (table, more) = table(board.entries, area.width.into(), room.into());
    let used = u16::try_from(board.entries.len() + 1).unwrap_or(u16::MAX).min(room);
    let part = |y, height| Rect { y, height, ..area }.intersection(area);
    frame.render_widget(title(board), part(0, 1));
    frame.render_widget(table, part(TITLE, used));
    if let Some(more) = more {
        frame.render_widget(Line::raw(more), part((TITLE + used).saturating_sub(1), 1));
    }
    frame.render_widget(Paragraph::new(bottom), part(TITLE + used, below));
}

fn title(board: &Board<'_>) -> Line<'static> {
    let rest = format!(
        " {} of {} version {}, for {}",
        counted(board.entries.len(), "node"),
        board.file.display(),
        board.version,
        span(board.age.as_secs())
    );
    Line::from_iter(["Ringbinder".bold(), plain(&rest).into()])
}

/// The blocks below the table, the least important first. Each is shown whole or not at all.
fn bottom(board: &Board<'_>, notes: &[String], width: usize) -> Vec<Vec<Line<'static>>> {
    let one = |line: &'static str| vec![Line::raw(line)];
    let mut notes: Vec<String> = notes.iter().flat_map(|note| note_lines(note, width)).collect();
    notes.drain(..notes.len().saturating_sub(NOTE_LINES));
    let mut blocks = vec![one("")];
    if !notes.is_empty() {
        blocks.extend(notes.into_iter().map(|note| vec![note.yellow().bold().into()]));
        blocks.push(one(""));
    }
    let logs = format!("Logs: {}", board.logs.display());
    blocks.push(vec![plain(&logs).dim().into()]);
    let commands = board.commands.iter().filter_map(|command| shell::fold(command, width));
    let commands: Vec<Line<'_>> = commands.flatten().map(Line::raw).collect();
    if !commands.is_empty() {
        let mut group = one("In another terminal:");
        group.extend(commands);
        blocks.push(group);
    }
    blocks.push(one("or point any memcached client at any of the nodes."));
    blocks.push(one("Ctrl-C stops them."));
    blocks
}

/// Wraps a note to lines of at most this width. A command in it gets separate lines.
fn note_lines(note: &str, width: usize) -> Vec<String> {
    let lines = note.lines().flat_map(|line| match line.strip_prefix(shell::INDENT) {
        Some(command) => shell::fold(command, width).unwrap_or_default(),
        None => wrap(line, width),
    });
    lines.collect()
}

/// The table in at most `height` lines, and the last of them if not all nodes fit.
fn table(entries: &[Entry], width: usize, height: usize) -> (Table<'static>, Option<String>) {
    let shown = if entries.len() < height { entries.len() } else { height.saturating_sub(2) };
    let cells: Vec<[String; HEADINGS.len()]> = entries[..shown].iter().map(cells).collect();
    let columns = Columns::new(&cells, width);
    let rows = entries.iter().zip(&cells);
    let rows = rows.map(|(entry, cells)| columns.row(cells, color(entry.state()).into()));
    let heading = HEADINGS.map(|(heading, _)| heading.to_owned());
    let heading = columns.row(&heading, Style::new()).bold();
    let widths = columns.widths.iter().flatten();
    let widths = widths.map(|&width| u16::try_from(width).unwrap_or(u16::MAX));
    let table = Table::new(rows.collect::<Vec<_>>(), widths).column_spacing(columns.gap);
    let hidden = &entries[shown..];
    let more = (!hidden.is_empty()).then(|| {
        let bad = hidden.iter().filter(|entry| entry.state() != State::Up).count();
        let bad = if bad > 0 { format!(", {bad} of them not up") } else { String::new() };
        format!("... and {} more{bad}", hidden.len())
    });
    (table.header(heading), more)
}

fn color(state: State) -> Color {
    match state {
        State::Up => Color::Green,
        State::Starting | State::Leaving => Color::Yellow,
        State::Away | State::Ended => Color::Red,
    }
}

fn cells(entry: &Entry) -> [String; HEADINGS.len()] {
    let dash = || "-".to_owned();
    let figures = entry.figures();
    let general = figures.map(|figures| &figures.report.general);
    let number = |number: Option<u64>| number.map_or_else(dash, count);
    [
        entry.node.name.clone(),
        entry.node.to_string(),
        entry.pid().map_or_else(dash, |pid| pid.to_string()),
        entry.state().name().to_owned(),
        number(general.and_then(|it| it.curr_items)),
        general.and_then(|it| it.bytes).map_or_else(dash, bytes),
        number(entry.gets_per_second),
        figures.and_then(Figures::hits_of_gets).map_or_else(dash, |(hits, gets)| ratio(hits, gets)),
        number(figures.and_then(Figures::connections)),
        figures.and_then(Figures::ring_version).map_or_else(dash, |version| version.to_string()),
        format!("{:.1}%", entry.share * 100.0),
    ]
}

/// The width of each column; `None` if it is left out.
struct Columns {
    widths: [Option<usize>; HEADINGS.len()],
    gap: u16,
}

impl Columns {
    fn new(cells: &[[String; HEADINGS.len()]], room: usize) -> Columns {
        let mut widths = HEADINGS.map(|(heading, _)| Some(heading.len()));
        for row in cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(Some(cell.chars().count()));
            }
        }
        let mut columns = Columns { widths, gap: 2 };
        let mut expendable = EXPENDABLE.into_iter();
        while columns.width() > room {
            columns.gap = 1;
            let excess = columns.width().saturating_sub(room);
            let name = columns.widths[0].unwrap_or_default();
            if excess > 0 && name > MIN_NAME {
                columns.widths[0] = Some(name.saturating_sub(excess).max(MIN_NAME));
            } else if excess > 0 {
                let Some(column) = expendable.next() else { break };
                columns.widths[column] = None;
            }
        }
        columns
    }

    fn width(&self) -> usize {
        let columns = self.widths.iter().flatten();
        columns.clone().sum::<usize>() + usize::from(self.gap) * columns.count().saturating_sub(1)
    }

    /// One row, with the state in a style.
    fn row(&self, cells: &[String; HEADINGS.len()], style: Style) -> Row<'static> {
        const STATE: usize = 3;
        let cells = cells.iter().zip(&HEADINGS).zip(self.widths).enumerate();
        Row::new(cells.filter_map(|(column, ((cell, &(_, right)), width))| {
            let line = Line::raw(cut(cell, width?));
            let line = if right { line.right_aligned() } else { line };
            Some(if column == STATE { line.style(style) } else { line })
        }))
    }
}

/// A text without characters that could mislead the reader.
fn plain(text: &str) -> String {
    text.chars().filter(|&char| is_plain(char)).collect()
}

/// Width of a character in columns; 0 if it cannot be shown.
fn columns(char: char) -> usize {
    char.width().unwrap_or(0)
}

/// Shortens a text to at most this width.
fn cut(text: &str, width: usize) -> String {
    let text = plain(text);
    if text.width() <= width {
        return text;
    }
    let mut left = width.saturating_sub(1);
    let kept = text.chars().take_while(|&char| {
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
        let word = plain(word);
        let len = word.width();
        if used > 0 && used + 1 + len > width {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            lines.last_mut().expect("there is a first line").push(' ');
            used += 1;
        }
        for char in word.chars() {
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
    use std::time::Instant;

    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ringbinder_ring::Node;

    use crate::up::figures::tests::some;

    /// What a [`Board`] borrows.
    struct Fleet {
        entries: Vec<Entry>,
        commands: Vec<String>,
    }

    impl Fleet {
        fn lines(&self, notes: &[String], width: usize, height: usize) -> Vec<String> {
            let board = Board {
                file: Path::new("/home/somebody/ring.toml"),
                version: 1,
                age: Duration::from_secs(61),
                entries: &self.entries,
                logs: Path::new("/var/tmp/ringbinder-up-x"),
                commands: &self.commands,
            };
            let (columns, lines) = (width.try_into().unwrap(), height.try_into().unwrap());
            let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
            terminal.draw(|frame| draw(frame, &board, notes)).unwrap();
            let cells = terminal.backend().buffer().content();
            let lines = cells.chunks(width.max(1)).map(|line| {
                let line: String = line.iter().map(|cell| cell.symbol()).collect();
                line.trim_end().to_owned()
            });
            lines.collect()
        }
    }

    fn fleet(nodes: usize) -> Fleet {
        let entry = |index: usize| {
            let address = format!("127.0.0.1:{}", 11_211 + index);
            let node = Node::new(&format!("cache-{index}"), &address, 1).unwrap();
            let mut entry = Entry::new(node, true, 1.0 / 3.0);
            if index != 40 {
                entry.update(Some(some(1000, Instant::now())));
            }
            entry.gets_per_second = Some(99_999);
            entry
        };
        Fleet {
            entries: (0..nodes).map(entry).collect(),
            commands: vec![
                "target/debug/ringbinder set greeting hello".to_owned(),
                "target/debug/ringbinder get greeting".to_owned(),
            ],
        }
    }

    #[test]
    fn eighty_columns_hold_every_column() {
        let lines = fleet(3).lines(&[], 80, 24);
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
        let mut fleet = fleet(3);
        fleet.commands = vec![
            format!("{program} set --ring '/tmp/my rings/ring.toml' greeting hello"),
            format!("{program} get --ring '/tmp/my rings/ring.toml' greeting"),
        ];
        let joined = |lines: &[String]| lines.join("\n").replace("'\\\n'", "").replace("\\\n", "");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (width, height) in [(80, 24), (60, 30), (30, 60), (20, 70), (200, 24)] {
            let shown = fleet.lines(&[], width, height);
            for command in &fleet.commands {
                let shown = words(&joined(&shown));
                assert!(shown.contains(&words(command)), "{width}: {shown}");
            }
        }
        // The commands are shown together or not at all.
        for height in 0..24 {
            let shown = words(&joined(&fleet.lines(&[], 80, height)));
            let there = fleet.commands.iter().filter(|it| shown.contains(&words(it))).count();
            let any = shown.contains("ringbinder'") || shown.contains("In another terminal");
            assert_eq!(there, if any { 2 } else { 0 }, "{height}: {shown}");
        }
        let note = format!("cache-a: it ended; to start it again:\n    {}", fleet.commands[0]);
        let shown = note_lines(&note, 80);
        assert_eq!(shown[0], "cache-a: it ended; to start it again:");
        assert!(words(&joined(&shown)).contains(&words(&fleet.commands[0])), "{shown:#?}");
    }

    #[test]
    fn nothing_is_larger_than_the_terminal() {
        let long = "a word and ".repeat(40) + &"x".repeat(300);
        for nodes in [1, 3, 50] {
            for (width, height) in [(80, 24), (40, 10), (200, 60), (20, 5), (7, 3), (1, 1), (0, 0)]
            {
                let lines = fleet(nodes).lines(std::slice::from_ref(&long), width, height);
                assert!(lines.len() <= height, "{nodes} in {width}x{height}: {lines:#?}");
                for line in &lines {
                    assert!(line.chars().count() <= width, "{nodes} in {width}x{height}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn nodes_without_room_are_counted() {
        let lines = fleet(50).lines(&[], 80, 24);
        assert_eq!(lines.len(), 24, "{lines:#?}");
        let more = lines.iter().position(|line| line.starts_with("... and ")).expect("a line");
        let shown = lines.iter().filter(|line| line.starts_with("cache-")).count();
        assert_eq!(lines[more], format!("... and {} more, 1 of them not up", 50 - shown));
        assert!(shown >= 10, "{lines:#?}");
        assert!(fleet(50).lines(&[], 80, 80).iter().any(|line| { line.starts_with("cache-49 ") }));
    }

    #[test]
    fn long_names_give_way_before_columns_do() {
        let mut fleet = fleet(2);
        fleet.entries[1].node.name = "x".repeat(64);
        let lines = fleet.lines(&[], 80, 24);
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
