//! The report of `engine`.

use super::caches::Contestant;
use super::hot::{self, Rates};
use super::keys::KEY;
use super::ops::{self, Kind, Turn};
use super::tail::{self, Outcome, Quantiles, Times};
use crate::developer::cli::EngineOptions;
use crate::machine;
use crate::table::{NOTHING, Spread, grouped, markdown, time};

/// The settings and the machine.
pub(super) fn head(options: &EngineOptions) -> String {
    format!(
        "- the store in this process, no sockets; every contestant allocates with jemalloc\n- {}\n- \
         {} rounds\n\n",
        machine::describe_processor(),
        options.rounds
    )
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Nanoseconds, as `123 (119–140)`.
fn nanoseconds(values: impl Iterator<Item = f64>) -> String {
    Spread::of(values).map_or_else(
        || NOTHING.to_owned(),
        |Spread { median, least, most }| format!("{median:.0} ({least:.0}–{most:.0})"),
    )
}

/// The table of single-thread operations, and whether any expected item was missing.
pub(super) fn ops(turns: &[(Contestant, Vec<Turn>)], plan: &ops::Plan) -> (String, bool) {
    let mut rows = vec![row(["operation", "contestant", "ns", "to ringbinder", "misses"])];
    let ours = turns.iter().find(|(contestant, _)| *contestant == Contestant::Ringbinder);
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        for (contestant, turns) in turns {
            let base = ours.filter(|(ours, _)| ours != contestant).map(|(_, turns)| turns);
            let ratios = base.and_then(|base| {
                Spread::of(turns.iter().zip(base).map(|(it, ours)| it.nanos[at] / ours.nanos[at]))
            });
            let misses: u64 = turns.iter().map(|turn| turn.misses).sum();
            rows.push(vec![
                kind.name().to_owned(),
                contestant.name().to_owned(),
                nanoseconds(turns.iter().map(|turn| turn.nanos[at])),
                Spread::ratio(ratios),
                if misses > 0 { grouped(misses as f64) } else { NOTHING.to_owned() },
            ]);
        }
    }
    let missed = turns.iter().flat_map(|(_, turns)| turns).any(|turn| turn.misses > 0);
    let text = format!(
        "{}\nns: processor time per operation of one thread, median over the rounds (least–most), {}\n\
         random keys of {KEY} bytes, values of {} bytes, a budget of {} MB that has room for all. insert:\n\
         into an empty cache that grows; get: with a copy of the value into a buffer; overwrite: with a\n\
         value of the same length. to ringbinder: times as long, round by round. quick_cache and moka are\n\
         told the number of items beforehand; their values are triomphe::Arc<[u8]>.\n\n",
        markdown(&rows),
        grouped(plan.items as f64),
        plan.value,
        plan.budget() >> 20,
    );
    (text, missed)
}

/// The table of the slowest operations.
pub(super) fn tail(outcome: &Outcome, plan: &tail::Plan) -> String {
    let head = ["mix", "operation", "clock", "count", "p50", "p99", "p99.9", "p99.99", "max"];
    let mut rows = vec![row(head)];
    for Times { mix, what, wall, cpu } in &outcome.times {
        for (clock, Quantiles { count, p50, p99, p999, p9999, max }) in
            [("wall", wall), ("CPU", cpu)]
        {
            let mut cells = row([mix, what, clock, &grouped(*count as f64)]);
            cells.extend([p50, p99, p999, p9999, max].map(|&nanos| time(nanos as f64 / 1_000.0)));
            rows.push(cells);
        }
    }
    format!(
        "{}\nEach operation of {} threads by itself, on a store of {} MB that evicts ({} items, {} evictions,\n\
         {:.0} % of gets hit). mix: gets to sets; values of 50 to 2,000 bytes, one in 100 of 64 KiB. wall: what\n\
         passed; with more threads than cores, most of the longest is waiting for a core. CPU: what the\n\
         thread had a processor for, the measuring itself included. control: threads that compute about as\n\
         long as an operation takes and share nothing.\n\n",
        markdown(&rows),
        plan.threads,
        plan.bytes >> 20,
        grouped(outcome.items as f64),
        grouped(outcome.evictions as f64),
        outcome.hits * 100.0,
    )
}

/// The table of readers of one key.
pub(super) fn hot(rates: &[Rates], plan: &hot::Plan) -> String {
    let mut rows = vec![row(["threads", "contestant", "gets/s", "ringbinder to this"])];
    for Rates { threads, contestant, per_second } in rates {
        let ours = rates.iter().find(|ours| {
            ours.threads == *threads
                && ours.contestant == Contestant::Ringbinder
                && ours.contestant != *contestant
        });
        let ratios = ours.and_then(|ours| {
            Spread::of(ours.per_second.iter().zip(per_second).map(|(ours, it)| ours / it))
        });
        let rate = Spread::of(per_second.iter().copied());
        rows.push(vec![
            threads.to_string(),
            contestant.name().to_owned(),
            rate.map_or_else(|| NOTHING.to_owned(), |rate| grouped(rate.median)),
            Spread::ratio(ratios),
        ]);
    }
    format!(
        "{}\ngets/s: gets of one key of {KEY} bytes with {} bytes of value, of all threads together.\n",
        markdown(&rows),
        plan.value,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let turn = |nanos: f64| Turn { nanos: [nanos; 3], misses: 0 };
        let missing = Turn { misses: 1_200, ..turn(300.0) };
        let turns = [
            (Contestant::Ringbinder, vec![turn(100.0), turn(200.0), turn(300.0)]),
            (Contestant::QuickCache, vec![turn(100.0), turn(400.0), missing]),
        ];
        let plan = ops::Plan { items: 10, value: 5, rounds: 3 };
        let (text, missed) = ops(&turns, &plan);
        assert!(missed);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2].split('|').map(str::trim).collect::<Vec<_>>()[3..6],
            ["200 (100–300)", "–", "–"]
        );
        assert_eq!(
            lines[3].split('|').map(str::trim).collect::<Vec<_>>()[3..6],
            ["300 (100–400)", "1.00 (1.00–2.00)", "1,200"]
        );
        assert!(!ops(&turns[..1], &plan).1);
    }

    #[test]
    fn ours_is_compared_with_the_same_number_of_threads() {
        let rates =
            |threads, contestant, rate| Rates { threads, contestant, per_second: vec![rate] };
        let all = [
            rates(1, Contestant::Ringbinder, 1_000.0),
            rates(1, Contestant::QuickCache, 2_000.0),
            rates(2, Contestant::Ringbinder, 4_000.0),
            rates(2, Contestant::QuickCache, 1_000.0),
        ];
        let plan = hot::Plan { value: 5, rounds: 1, time: std::time::Duration::ZERO };
        let text = hot(&all, &plan);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[3].contains("0.50 (0.50–0.50)") && lines[5].contains("4.00 (4.00–4.00)"));
        assert!(!lines[2].contains('('));
    }
}
