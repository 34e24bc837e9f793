//! What whoever sits there has chosen: a node, an order, a pace. Keys come in, and nothing is drawn.

use std::cmp::Ordering;
use std::time::Duration;

use super::model::{Entry, Model, State};

/// Paces that `+` and `-` step through.
const PACES: [Duration; 8] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// A key that means something.
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
    /// As the ring has them.
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

    /// As the screen names it.
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

    /// What comes first has more of this; nodes without the figure come last.
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

/// The choices.
#[derive(Clone, Debug)]
pub(super) struct Ui {
    /// The name of the selected node, which stays it wherever it moves.
    selected: Option<String>,
    pub(super) sort: Sort,
    /// Whether what is shown stands still.
    pub(super) paused: bool,
    pub(super) help: bool,
    /// How often nodes are asked.
    pub(super) pace: Duration,
}

impl Ui {
    pub(super) fn new(pace: Duration) -> Ui {
        Ui { selected: None, sort: Sort::default(), paused: false, help: false, pace }
    }

    /// Indexes of the nodes in the order in which they are shown.
    pub(super) fn order(&self, model: &Model) -> Vec<usize> {
        let mut order: Vec<usize> = (0..model.nodes.len()).collect();
        // Stable: equals stay in the order of the ring.
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

    /// Where in that order the selected node stands; the first where it is gone.
    pub(super) fn selected(&self, model: &Model, order: &[usize]) -> usize {
        let name = self.selected.as_deref();
        let found = order.iter().position(|&node| Some(model.nodes[node].name.as_str()) == name);
        found.unwrap_or(0)
    }

    /// Follows a key, but for those that end or suspend.
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
                // What was selected stays so, and is not whatever comes first now.
                self.select(model, &order, at);
                self.sort = self.sort.next();
            }
            Key::Pause => self.paused = !self.paused,
            Key::Help => self.help = !self.help,
            Key::Slower => {
                self.pace = PACES.into_iter().find(|&pace| pace > self.pace).unwrap_or(self.pace);
            }
            Key::Faster => {
                let shorter = PACES.into_iter().rev().find(|&pace| pace < self.pace);
                self.pace = shorter.unwrap_or(self.pace);
            }
            Key::Quit | Key::Suspend => {}
        }
    }

    fn select(&mut self, model: &Model, order: &[usize], at: usize) {
        self.selected = order.get(at).map(|&node| model.nodes[node].name.clone());
    }
}

/// Whether a node's figures are worth showing.
pub(super) fn is_up(entry: &Entry) -> bool {
    entry.state == State::Up
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
        assert_eq!(ui.pace, PACES[PACES.len() - 1]);
        for _ in 0..20 {
            ui.press(Key::Faster, &model);
        }
        assert_eq!(ui.pace, PACES[0]);
    }
}
