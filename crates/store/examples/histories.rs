//! Runs random histories of a full store against a model: see `tests/histories`. Arguments: steps
//! of each kind, a seed, and the name of a kind for only that one. Prints the counts of events,
//! and, if the store deviates from the model, the seed and the step.

#[path = "../tests/histories/mod.rs"]
mod histories;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use histories::{History, choices::Random, kinds};

static SEED: AtomicU64 = AtomicU64::new(0);
static STEP: AtomicU64 = AtomicU64::new(0);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or| arguments.next().map_or(or, |text| text.parse().expect("a number"));
    let (steps, seed) = (number(100_000), number(1));
    let only = arguments.next();
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("seed {}, step {}:", SEED.load(Relaxed), STEP.load(Relaxed));
        tell(panic);
    }));
    SEED.store(seed, Relaxed);
    for kind in kinds::all() {
        if only.as_ref().is_some_and(|only| only != kind.name) {
            continue;
        }
        println!("{}, seed {seed}", kind.name);
        let start = Instant::now();
        let mut history = History::new(&kind, seed);
        let mut random = Random(seed);
        for step in 0..steps {
            STEP.store(step, Relaxed);
            history.step(&mut random);
            if (step + 1) % (steps / 5).max(1) == 0 {
                println!("  {:>10} steps, {:.0} s", step + 1, start.elapsed().as_secs_f64());
            }
        }
        history.finish();
        println!("  {:?}", history.tally());
    }
}
