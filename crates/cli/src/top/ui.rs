//! The user's choices: a node, an order, a pace. This module handles keys and does not draw.

use std::cmp::Ordering;
use std::time::Duration;

use super::model::{Entry, Model};

/// Intervals that `+` and `-` select.
fn paces() -> [Duration; 8] {
    [200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000].map(Duration::from_millis)
}

/// A key that has a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// `q`, Escape, Ctrl-C.
    Quit,
    /// Down, Tab, `j`.
    Next,
    /// Up, Shift-Tab, `k`.
    Previous,
    /// Home, `g`.
    First,
    /// End, `G`.
    Last,
    /// `s`.
    Sort,
    /// `p`, space.
    Pause,
    /// `+`.
    Slower,
    /// `-`.
    Faster,
    /// `?`, `h`.
    Help,
    /// Ctrl-Z.
    Suspend,
}

/// The order of the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The order of the ring.
    #[default]
    Ring,
    /// The busiest first.
    Requests,
    /// The slowest first.
    Latency,
    /// The fewest hits first.
    Hits,
    /// The fullest first.
    Memory,
    /// The most evictions first.
    Evictions,
}

impl Sort {
    const ALL: [Sort; 6] =
        [Sort::Ring, Sort::Requests, Sort::Latency, Sort::Hits, Sort::Memory, Sort::Evictions];

    /// Its name on the screen.
    pub(super) fn name(self) -> &'static str {
        match self {
            Sort::Ring => "ring",
            Sort::Requests => "requests",
            Sort::Latency => "p99",
            Sort::Hits => "hits",
            Sort::Memory => "memory",
            Sort::Evictions => "evictions",
        }
    }

    fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|&sort| sort == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }

    /// The sort value: larger values come first, and nodes without a value last.
    fn weight(self, entry: &Entry) -> Option<f64> {
        let rates = entry.rates.as_ref();
        match self {
            Sort::Ring => None,
            Sort::Requests => rates.map(|rates| rates.requests),
            Sort::Latency => entry.latency?.quantile(0.99),
            Sort::Hits => rates?.hit_ratio().map(|ratio| -ratio),
            Sort::Memory => entry.memory_used(),
            Sort::Evictions => rates.map(|rates| rates.evictions),
        }
    }
}

/// The choices of the user.
#[derive(Clone, Debug)]
pub(super) struct Ui {
    /// The name of the selected node, which stays selected wherever it moves.
    selected: Option<String>,
    pub(super) sort: Sort,
    /// Whether the view is paused.
    pub(super) paused: bool,
    pub(super) help: bool,
    /// Interval at which nodes are asked.
    pub(super) pace: Duration,
}

impl Ui {
    pub(super) fn new(pace: Duration) -> Ui {
        Ui { selected: None, sort: Sort::default(), paused: false, help: false, pace }
    }

    /// Indexes of the nodes in display order.
    pub(super) fn order(&self, model: &Model) -> Vec<usize> {
        let mut order: Vec<usize> = (0..model.nodes.len()).collect();
        // The sort is stable: equal nodes stay in the order of the ring.
        order.sort_by(|&a, &b| {
            let weight = |node: usize| self.sort.weight(&model.nodes[node]);
            match (weight(a), weight(b)) {
                (Some(a), Some(b)) => b.total_cmp(&a),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            }
        });
        order
    }

    /// The position of the selected node in that order, or 0 if it is gone.
    pub(super) fn selected(&self, model: &Model, order: &[usize]) -> usize {
        let name = self.selected.as_deref();
        let found = order.iter().position(|&node| Some(model.nodes[node].name.as_str()) == name);
        found.unwrap_or(0)
    }

    /// Handles every key except those that quit or suspend.
    pub(super) fn press(&mut self, key: Key, model: &Model) {
        let order = self.order(model);
        let at = self.selected(model, &order);
        let count = order.len();
        match key {
            Key::Next => self.select(model, &order, (at + 1) % count.max(1)),
            Key::Previous => self.select(model, &order, (at + count.max(1) - 1) % count.max(1)),
            Key::First => self.select(model, &order, 0),
            Key::Last => self.select(model, &order, count.saturating_sub(1)),
            Key::Sort => {
                // The selected node stays selected even if another node comes first.
                self.select(model, &order, at);
                self.sort = self.sort.next();
            }
            Key::Pause => self.paused = !self.paused,
            Key::Help => self.help = !self.help,
            Key::Slower => {
                self.pace = paces().into_iter().find(|&pace| pace > self.pace).unwrap_or(self.pace);
            }
            Key::Faster => {
                let shorter = paces().into_iter().rev().find(|&pace| pace < self.pace);
                self.pace = shorter.unwrap_or(self.pace);
            }
            Key::Quit | Key::Suspend => {}
        }
    }

    fn select(&mut self, model: &Model, order: &[usize], at: usize) {
        self.selected = order.get(at).map(|&node| model.nodes[node].name.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::model::tests::{away, sample, three};
    use super::*;

    fn loaded() -> Model {
        let mut model = three();
        let start = Instant::now();
        for seconds in 0..2 {
            let at = start + Duration::from_secs(seconds);
            model.hear(0, at, Ok(sample(seconds + 1, 100, 7)));
            model.hear(2, at, Ok(sample(seconds + 1, 5000, 7)));
        }
        model.hear(1, start, away("gone"));
        model
    }

    #[test]
    fn nodes_are_in_the_chosen_order_and_those_without_figures_last() {
        let model = loaded();
        let mut ui = Ui::new(Duration::from_secs(1));
        assert_eq!(ui.order(&model), [0, 1, 2]);
        ui.press(Key::Sort, &model);
        assert_eq!((ui.sort.name(), ui.order(&model)), ("requests", vec![2, 0, 1]));
        for _ in 1..Sort::ALL.len() {
            ui.press(Key::Sort, &model);
        }
        assert_eq!(ui.sort, Sort::Ring);
    }

    #[test]
    fn the_selected_node_stays_selected() {
        let model = loaded();
        let mut ui = Ui::new(Duration::from_secs(1));
        let name = |ui: &Ui| {
            let order = ui.order(&model);
            model.nodes[order[ui.selected(&model, &order)]].name.clone()
        };
        assert_eq!(name(&ui), "cache-a");
        ui.press(Key::Sort, &model);
        assert_eq!(name(&ui), "cache-a");
        ui.press(Key::First, &model);
        assert_eq!(name(&ui), "cache-c");
        ui.press(Key::Next, &model);
        ui.press(Key::Next, &model);
        assert_eq!(name(&ui), "cache-b");
        ui.press(Key::Next, &model);
        assert_eq!(name(&ui), "cache-c", "around the end");
        ui.press(Key::Previous, &model);
        assert_eq!(name(&ui), "cache-b");
    }

    #[test]
    fn a_ring_without_nodes_bears_every_key() {
        let mut model = loaded();
        model.nodes.clear();
        let mut ui = Ui::new(Duration::from_secs(1));
        for key in [Key::Next, Key::Previous, Key::First, Key::Last, Key::Sort, Key::Quit] {
            ui.press(key, &model);
        }
        assert!(ui.order(&model).is_empty());
    }

    #[test]
    fn the_pace_has_steps_and_ends() {
        let model = loaded();
        let mut ui = Ui::new(Duration::from_millis(700));
        ui.press(Key::Slower, &model);
        assert_eq!(ui.pace, Duration::from_secs(1));
        for _ in 0..20 {
            ui.press(Key::Slower, &model);
        }
        assert_eq!(ui.pace, *paces().last().unwrap());
        for _ in 0..20 {
            ui.press(Key::Faster, &model);
        }
        assert_eq!(ui.pace, paces()[0]);
    }
}
