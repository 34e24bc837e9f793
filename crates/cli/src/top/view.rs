//! Draws the model in a terminal of any size.
//!
//! From top to bottom: the ring and its totals, the problems, the nodes, the ring's history, the hot keys
//! beside the selected node, and the keys to press. If there is little room, the least important parts are
//! left out first.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline};

use ringbinder_protocol::Standing;
use ringbinder_protocol::stats::{General, key_text};

use super::columns::{self, GAP, Tone, memory_text};
use super::model::{Entry, Model, State};
use super::ui::Ui;
use crate::escape::words;
use crate::fleet::numbers::{count, counted, micros, per_second, percent, span};

/// Minimum number of lines for the parts beside the hot keys.
const DETAIL_LINES: u16 = 4;

/// Minimum width in columns to show hot keys and the selected node side by side.
const BOTH: u16 = 72;

/// Width in columns of the selected node's figures.
const DETAIL: u16 = 31;

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) colors: bool,
}

impl Theme {
    fn of(self, tone: Tone) -> Style {
        if !self.colors {
            return Style::new();
        }
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => Style::new().fg(Color::Green),
            Tone::Warn => Style::new().fg(Color::Yellow),
            Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Dim => Style::new().fg(Color::DarkGray),
        }
    }

    fn head(self) -> Style {
        if self.colors { Style::new().fg(Color::Cyan) } else { Style::new() }
    }

    fn bars(self) -> Style {
        if self.colors { Style::new().fg(Color::Blue) } else { Style::new() }
    }

    fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws the whole view.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, ui: &Ui, theme: Theme) {
    let area = frame.area();
    let trouble = model.trouble();
    let lines = u16::try_from(model.nodes.len()).unwrap_or(u16::MAX);
    let above = 3 + u16::from(trouble.is_some());
    // Some hot keys are worth more than the last of many nodes.
    let kept = if area.height >= 20 { 9 } else { area.height / 4 };
    let table = lines.min(area.height.saturating_sub(above + 1 + kept)).max(1) + 1;
    let [head, wrong, nodes, rest, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(u16::from(trouble.is_some())),
        Constraint::Length(table),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    header(frame, head, model, ui, theme);
    if let Some(trouble) = trouble {
        frame.render_widget(Line::styled(trouble, theme.of(Tone::Bad)), wrong);
    }
    let order = ui.order(model);
    let selected = ui.selected(model, &order);
    table_of_nodes(frame, nodes, model, &order, selected, theme);
    below(frame, rest, model, order.get(selected).map(|&node| &model.nodes[node]), theme);
    footer(frame, foot, ui, theme);
    if ui.help {
        help(frame, area);
    }
}

/// Joins segments into a line as long as they fit, so that none is cut.
fn joined(segments: Vec<Span<'static>>, gap: &'static str, room: u16) -> Line<'static> {
    let mut left = usize::from(room);
    let mut spans: Vec<Span<'static>> = Vec::new();
    for segment in segments {
        let need = segment.width() + if spans.is_empty() { 0 } else { gap.len() };
        if need > left {
            break;
        }
        left -= need;
        if !spans.is_empty() {
            spans.push(Span::raw(gap));
        }
        spans.push(segment);
    }
    Line::from(spans)
}

fn header(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui, theme: Theme) {
    let totals = model.totals();
    let mut first = vec![
        Span::styled("ringbinder top", theme.head()),
        Span::raw(format!("ring {}", model.ring.version)),
        Span::raw(counted(model.nodes.len(), "node")),
    ];
    if totals.away > 0 {
        first.push(Span::styled(format!("{} away", totals.away), theme.of(Tone::Bad)));
    }
    let right = if ui.paused {
        Line::styled("PAUSED", theme.of(Tone::Warn))
    } else {
        Line::styled(format!("every {}s", ui.pace.as_secs_f64()), theme.of(Tone::Dim))
    };
    first.push(Span::styled(words(&model.origin), theme.of(Tone::Dim)));
    let [above, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let width = u16::try_from(right.width()).unwrap_or(0);
    let [left, corner] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(above);
    frame.render_widget(joined(first, "  ", left.width.saturating_sub(1)), left);
    frame.render_widget(Paragraph::new(right).right_aligned(), corner);

    let rate = |rate: f64, what: &str| Span::raw(format!("{} {what}/s", per_second(rate)));
    let mut figures = Vec::new();
    if let Some(rates) = &totals.rates {
        figures.push(rate(rates.requests, "req"));
        figures.push(rate(rates.served_gets, "get"));
        figures.push(rate(rates.sets, "set"));
        let hits = rates.hit_ratio().map_or_else(|| "-".to_owned(), percent);
        figures.push(Span::raw(format!("hits {hits}")));
    }
    if totals.up > 0 {
        figures.push(Span::raw(format!("mem {}", memory_text(&totals.general))));
    }
    if let Some(slowest) = totals.latency.quantile(0.99) {
        figures.push(Span::raw(format!("p99 {}", micros(slowest))));
    }
    if let Some(rates) = &totals.rates {
        figures.push(rate(rates.evictions, "evict"));
    }
    if totals.up > 0 {
        let General { curr_items, curr_connections, .. } = totals.general;
        figures.push(Span::raw(format!("{} items", count(curr_items.unwrap_or(0)))));
        figures.push(Span::raw(format!("{} conns", count(curr_connections.unwrap_or(0)))));
    }
    frame.render_widget(joined(figures, "  ", second.width), second);
}

fn table_of_nodes(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    order: &[usize],
    selected: usize,
    theme: Theme,
) {
    let rows = usize::from(area.height.saturating_sub(1));
    // The selected node is always visible.
    let first = selected.saturating_sub(rows.saturating_sub(1)).min(order.len());
    // Two columns for the mark of the selected node.
    let filled = columns::fill(model, order, usize::from(area.width).saturating_sub(2));
    let mut lines = Vec::with_capacity(rows + 1);
    let padded = |text: &str, width: usize, left: bool| {
        if left { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    let titles = filled.iter().map(|it| padded(it.column.title, it.width, it.column.left));
    let titles: Vec<String> = titles.collect();
    lines.push(Line::styled(format!("  {}", titles.join(&" ".repeat(GAP))), theme.head()));
    for row in (first..order.len()).take(rows) {
        let mut spans = vec![Span::raw(if row == selected { "> " } else { "  " })];
        for (index, filled) in filled.iter().enumerate() {
            if index > 0 {
                spans.push(Span::raw(" ".repeat(GAP)));
            }
            let (text, tone) = &filled.cells[row];
            let text = padded(text, filled.width, filled.column.left);
            spans.push(Span::styled(text, theme.of(*tone)));
        }
        let line = Line::from(spans);
        lines.push(if row == selected { line.patch_style(theme.chosen()) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
    let hidden = order.len().saturating_sub(rows);
    if hidden > 0 {
        let more = Line::styled(format!(" {hidden} more "), theme.of(Tone::Warn));
        let area = Rect { height: 1.min(area.height), ..area };
        frame.render_widget(Paragraph::new(more).right_aligned(), area);
    }
}

/// Draws the part below the nodes.
fn below(frame: &mut Frame<'_>, area: Rect, model: &Model, selected: Option<&Entry>, theme: Theme) {
    let strip = match area.height {
        0..13 => 0,
        13..24 => 3,
        _ => 6,
    };
    let [history, rest] =
        Layout::vertical([Constraint::Length(strip), Constraint::Min(0)]).areas(area);
    if strip > 0 {
        let most = newest(&model.history, history.width).max().unwrap_or(0);
        let block = titled(format!("requests/s of the ring, up to {}", count(most)), theme);
        let inner = block.inner(history);
        frame.render_widget(block, history);
        bars(frame, inner, &model.history, theme);
    }
    if rest.width >= BOTH && rest.height >= DETAIL_LINES {
        let [hot, detail] =
            Layout::horizontal([Constraint::Min(0), Constraint::Length(DETAIL)]).areas(rest);
        hot_keys(frame, Rect { width: hot.width - 1, ..hot }, model, theme);
        if let Some(entry) = selected {
            details(frame, detail, entry, theme);
        }
    } else {
        hot_keys(frame, rest, model, theme);
    }
}

fn titled(title: impl Into<String>, theme: Theme) -> Block<'static> {
    let title = Span::styled(format!("{} ", title.into()), theme.head());
    Block::new().borders(Borders::TOP).border_style(theme.of(Tone::Dim)).title(title)
}

/// The newest `width` values of a history, the oldest of them first.
fn newest(history: &VecDeque<u64>, width: u16) -> impl Iterator<Item = u64> {
    let skipped = history.len().saturating_sub(usize::from(width));
    history.iter().skip(skipped).copied()
}

/// Draws the newest values of a history over the full width.
fn bars(frame: &mut Frame<'_>, area: Rect, history: &VecDeque<u64>, theme: Theme) {
    let data: Vec<u64> = newest(history, area.width).collect();
    // The newest value is at the right.
    let width = u16::try_from(data.len()).unwrap_or(area.width).min(area.width);
    let area = Rect { x: area.x + (area.width - width), width, ..area };
    frame.render_widget(Sparkline::default().data(data).style(theme.bars()), area);
}

fn hot_keys(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let (keys, window) = model.hot_keys();
    let title = match window {
        Some(seconds) => format!("hot keys of the ring, last {seconds} s"),
        None => "hot keys of the ring".to_owned(),
    };
    let block = titled(title, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if keys.is_empty() {
        let text = match window {
            Some(_) => "none in the last minute",
            None => "no node tells (or -X is set)",
        };
        frame.render_widget(Line::styled(text, theme.of(Tone::Dim)), inner);
        return;
    }
    let head = Line::styled(
        format!("{:>6} {:>6}  {:<10} {}", "REQ/S", "SHARE", "NODE", "KEY"),
        theme.head(),
    );
    let mut lines = vec![head];
    for hot in keys.iter().take(usize::from(inner.height).saturating_sub(1)) {
        let node = match hot.nodes[..] {
            [node] => model.nodes[node].name.clone(),
            ref several => format!("{} nodes", several.len()),
        };
        let node: String = node.chars().take(10).collect();
        let share = hot.share.map_or_else(|| "-".to_owned(), percent);
        lines.push(Line::from(vec![
            Span::raw(format!("{:>6} {:>6}  ", per_second(hot.rate), share)),
            Span::styled(format!("{node:<10} "), theme.of(Tone::Dim)),
            Span::raw(key_text(&hot.key)),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn details(frame: &mut Frame<'_>, area: Rect, entry: &Entry, theme: Theme) {
    let block = titled(entry.name.clone(), theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let mut lines = vec![Line::raw(entry.address.clone())];
    if let State::Away(why) = &entry.state {
        lines.push(Line::styled(why.clone(), theme.of(Tone::Bad)));
    }
    let standing = entry.ring().filter(|_| entry.is_up()).and_then(|ring| ring.standing());
    if let Some(standing) = standing.filter(|&standing| standing != Standing::Confirmed) {
        lines.push(Line::styled(standing.as_str(), theme.of(Tone::Bad)));
    }
    if let Some(general) = entry.general().filter(|_| entry.is_up()) {
        let number = Option::unwrap_or_default;
        let (version, up) = (general.program().unwrap_or_default(), span(number(general.uptime)));
        lines.push(Line::raw(format!("version {version}, up {up}")));
        lines.push(Line::raw(format!("mem {}", memory_text(general))));
        lines.push(Line::raw(format!(
            "{} items, conns {} of {}",
            count(number(general.curr_items)),
            number(general.curr_connections),
            number(general.max_connections),
        )));
    }
    let text = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(inner.height);
    let [words, rest] =
        Layout::vertical([Constraint::Length(text), Constraint::Min(0)]).areas(inner);
    frame.render_widget(Paragraph::new(lines), words);
    let slow = rest.height / 2;
    let [busy, slow] = Layout::vertical([Constraint::Min(0), Constraint::Length(slow)]).areas(rest);
    type Written = fn(u64) -> String;
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let time: Written = |most| micros(most as f64);
    let histories: [(Rect, &str, &VecDeque<u64>, Written); 2] =
        [(busy, "req/s", &entry.history, count), (slow, "p99", &entry.slowest, time)];
    for (area, name, history, written) in histories {
        if area.height > 0 {
            let [name_area, bars_area] =
                Layout::horizontal([Constraint::Length(7), Constraint::Min(0)]).areas(area);
            let most = newest(history, bars_area.width).max().unwrap_or(0);
            let lines = vec![
                Line::styled(name, theme.of(Tone::Dim)),
                Line::styled(format!("<{}", written(most)), theme.of(Tone::Dim)),
            ];
            frame.render_widget(Paragraph::new(lines), name_area);
            bars(frame, bars_area, history, theme);
        }
    }
}

fn footer(frame: &mut Frame<'_>, area: Rect, ui: &Ui, theme: Theme) {
    let keys = [
        "q quit".to_owned(),
        "up/down/Tab node".to_owned(),
        format!("s sort: {}", ui.sort.name()),
        if ui.paused { "p go on".to_owned() } else { "p pause".to_owned() },
        "+/- pace".to_owned(),
        "? help".to_owned(),
    ];
    let keys = keys.into_iter().map(|key| Span::styled(key, theme.of(Tone::Dim))).collect();
    frame.render_widget(joined(keys, "  ", area.width), area);
}

const HELP: [&str; 22] = [
    "q Esc Ctrl-C      quit",
    "up down Tab j k   select a node; Home End: first, last",
    "s                 sort: ring, requests, p99, hits, memory, evictions",
    "p space           pause, go on",
    "+ -               ask less often, more often",
    "? h               this help",
    "",
    "STATE   ok, away, or moves: waits for keys of another node;",
    "        replaced: another process has its place; disputed:",
    "        two processes claim it; unconfirmed: its address is",
    "        not proved; absent: its ring does not name it",
    "RING    version of the ring it holds; ! if not the newest,",
    "        ~ if its ring file has another",
    "HITS    of the gets of the last interval",
    "MEM     in use, of its limit",
    "P50 P99 time to answer, from one request in 128; of the last",
    "        interval, or up to 30 s where few were sampled",
    "FAIL/S  requests a second that no owner answered",
    "EVICT   evictions a second",
    "FRGN/S  requests for keys of other nodes a second: clients",
    "        with another ring",
    "A dash is what a node does not say.",
];

fn help(frame: &mut Frame<'_>, area: Rect) {
    let widest = HELP.iter().map(|line| line.len()).max().unwrap_or(0);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let window = Rect { x, y, width, height };
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Clear, window);
    let block = Block::bordered().title(" ringbinder top ");
    frame.render_widget(Paragraph::new(lines).block(block), window);
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
