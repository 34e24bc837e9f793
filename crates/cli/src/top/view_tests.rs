//! Tests of views in terminals of several sizes.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::super::model::tests::{away, sample, three};
use super::super::ui::Key;
use super::*;

/// Some seconds of three nodes. The second becomes unreachable, and the third holds an older ring.
fn busy() -> Model {
    let mut model = three();
    let start = Instant::now();
    for seconds in 0..20 {
        let at = start + Duration::from_secs(seconds);
        model.hear(0, at, Ok(sample(seconds + 1, 1000 + 10 * seconds, 7)));
        let second =
            if seconds < 10 { Ok(sample(seconds + 1, 500, 7)) } else { away("is away: refused") };
        model.hear(1, at, second);
        model.hear(2, at, Ok(sample(seconds + 1, 2000, 6)));
        model.remember();
    }
    model
}

fn picture(model: &Model, ui: &Ui, width: u16, height: u16, colors: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, ui, Theme { colors })).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let cells = buffer.content.chunks(width);
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect();
    cells.map(line).map(|line: String| line.trim_end().to_owned()).collect()
}

fn ui() -> Ui {
    Ui::new(Duration::from_secs(1))
}

fn row<'a>(lines: &'a [String], name: &str) -> &'a str {
    let found = lines.iter().find(|line| line.get(2..).is_some_and(|line| line.starts_with(name)));
    found.unwrap_or_else(|| panic!("{lines:#?}"))
}

#[test]
fn a_usual_terminal_has_all_that_an_operator_asks_first() {
    let buffer = picture(&busy(), &ui(), 80, 24, true);
    let lines = lines(&buffer);
    assert!(lines[0].starts_with("ringbinder top  ring 7  3 nodes  1 away"), "{}", lines[0]);
    assert!(lines[0].ends_with("every 1s"), "{}", lines[0]);
    for figure in ["req/s", "get/s", "set/s", "hits 90.0%", "mem 1G of 2G", "p99 "] {
        assert!(lines[1].contains(figure), "{figure}: {}", lines[1]);
    }
    assert!(lines[2].contains("cache-b is away: refused; ring 7 is the newest"), "{}", lines[2]);
    for title in [
        "NODE", "STATE", "RING", "GET/S", "SET/S", "HITS", "MEM", "P50", "P99", "FAIL/S", "EVICT",
        "FRGN/S",
    ] {
        assert!(lines[3].contains(title), "{title}: {}", lines[3]);
    }
    let a: Vec<&str> = row(&lines, "cache-a").split_whitespace().collect();
    assert_eq!(a[..4], [">", "cache-a", "ok", "7"], "{a:?}");
    assert!(row(&lines, "cache-b").contains("away"));
    assert!(row(&lines, "cache-c").contains(" 6!"));
    let text = lines.join("\n");
    assert!(text.contains("hot keys of the ring, last 45 s"), "{text}");
    // The rate of the two nodes that answer.
    assert!(text.contains("10.2k") && text.contains("2 nodes    user:42"), "{text}");
    assert!(text.contains("%1B[31mred"), "{text}");
    assert!(text.contains("version 0.1.0, up 17m 00s"), "{text}");
    assert!(text.contains("1M items, conns 12 of 1024"), "{text}");
    assert!(text.contains("requests/s of the ring") && text.contains('█'), "{text}");
    assert!(lines[23].starts_with("q quit") && lines[23].ends_with("? help"), "{}", lines[23]);
    assert!(buffer.content.iter().all(|cell| !cell.symbol().contains('\u{1b}')));
}

#[test]
fn a_small_terminal_still_has_every_node_and_the_hottest_key() {
    let lines = lines(&picture(&busy(), &ui(), 60, 15, true));
    for node in ["cache-a", "cache-b", "cache-c"] {
        row(&lines, node);
    }
    assert!(lines[3].contains("GET/S") && lines[3].contains("P99"), "{}", lines[3]);
    assert!(!lines[3].contains("CONNS"), "{}", lines[3]);
    assert!(lines.iter().any(|line| line.contains("user:42")), "{lines:#?}");
    assert!(lines[14].starts_with("q quit"), "{lines:#?}");
}

#[test]
fn a_large_terminal_has_more_of_everything() {
    let lines = lines(&picture(&busy(), &ui(), 200, 50, true));
    for title in ["ADDRESS", "REQ/S", "CONNS", "ITEMS", "UP", "VERSION"] {
        assert!(lines[3].contains(title), "{title}: {}", lines[3]);
    }
    assert!(row(&lines, "cache-a").contains("10.0.0.1:11211"));
}

#[test]
fn no_size_is_too_small_to_be_borne() {
    let model = busy();
    for (width, height) in [(1, 1), (5, 3), (20, 5), (80, 1), (1, 24), (40, 10), (71, 24)] {
        for help in [false, true] {
            let mut ui = ui();
            ui.help = help;
            picture(&model, &ui, width, height, true);
        }
    }
    let mut none = three();
    none.nodes.clear();
    picture(&none, &ui(), 80, 24, true);
}

#[test]
fn of_many_nodes_the_selected_one_is_shown() {
    let mut model = three();
    let entry = model.nodes[0].clone();
    model.nodes = (0..100)
        .map(|index| {
            let mut entry = entry.clone();
            entry.name = format!("cache-{index:02}");
            entry
        })
        .collect();
    let mut ui = ui();
    let first = lines(&picture(&model, &ui, 80, 24, true));
    assert!(row(&first, "cache-00").starts_with('>'));
    assert!(first.iter().any(|line| line.contains(" more")), "{first:#?}");
    assert!(first.iter().any(|line| line.contains("hot keys")), "{first:#?}");
    ui.press(Key::Last, &model);
    assert!(row(&lines(&picture(&model, &ui, 80, 24, true)), "cache-99").starts_with('>'));
}

#[test]
fn choices_are_seen() {
    let model = busy();
    let mut ui = ui();
    ui.press(Key::Sort, &model);
    ui.press(Key::Pause, &model);
    let text = lines(&picture(&model, &ui, 80, 24, true)).join("\n");
    assert!(text.contains("PAUSED") && text.contains("s sort: requests"), "{text}");
    assert!(text.contains("p go on"), "{text}");
    let (_, table) = text.split_once("NODE").unwrap();
    let order = ["cache-c", "cache-a", "cache-b"].map(|name| table.find(name).unwrap());
    assert!(order.is_sorted(), "{text}");
    ui.press(Key::Help, &model);
    let text = lines(&picture(&model, &ui, 80, 24, true)).join("\n");
    assert!(text.contains("select a node") && text.contains("A dash is what"), "{text}");
}

#[test]
fn without_colors_nothing_is_coloured() {
    let buffer = picture(&busy(), &ui(), 80, 24, false);
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let colored = picture(&busy(), &ui(), 80, 24, true);
    assert!(colored.content.iter().any(|cell| cell.fg == Color::Red));
}
