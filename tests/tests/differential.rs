//! Generated histories against real memcached, with every answer compared byte for byte.
//!
//! `RINGBINDER_DIFF_COMMANDS` (20000) and `RINGBINDER_DIFF_SEED` (random) change the run.
//! `RINGBINDER_DIFF_SUBJECT=<a memcached>` tests another memcached in place of ringbinderd, which checks the
//! comparison itself. `RINGBINDER_DIFF_SURVEY=1` continues after differences and lists their kinds.

use std::time::Instant;

use ringbinder_tests::allowed::ALLOWED;
use ringbinder_tests::diff::{Plan, Profile, run};
use ringbinder_tests::server::Kind;
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Server, diff};

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

#[test]
fn answers_are_memcacheds() {
    if !Kind::Memcached.available() {
        return skip("answers_are_memcacheds", "memcached is not installed");
    }
    let subject = if std::env::var_os("RINGBINDER_DIFF_SUBJECT").is_some() {
        Kind::Subject
    } else {
        Kind::Ringbinder
    };
    // Enough memory that nothing is evicted: the two would evict different items.
    let arguments = ["-m", "1024", "-t", "2"];
    // memcached's background thread holds items for a moment, and a held item loses the padding that decr
    // leaves. Without that thread the reference's answers are reproducible.
    let steady = [&arguments[..], &["-o", "no_lru_maintainer,no_lru_crawler"]].concat();
    let theirs = Server::start(Kind::Memcached, &steady);
    let ours = match subject {
        Kind::Ringbinder => Server::start(subject, &arguments),
        Kind::Memcached | Kind::Subject => Server::start(subject, &steady),
    };
    let plan = Plan {
        commands: setting("RINGBINDER_DIFF_COMMANDS", 20_000),
        seed: setting("RINGBINDER_DIFF_SEED", rand::random()),
        profile: Profile::of(Kind::Memcached.version()),
        rename_cas: [Kind::Memcached, subject]
            .into_iter()
            .any(|kind| kind != Kind::Ringbinder && Profile::of(kind.version()) == Profile::Latest),
        survey: std::env::var_os("RINGBINDER_DIFF_SURVEY").is_some(),
    };
    println!("{plan:?}");
    let started = Instant::now();
    match run(&theirs, &ours, plan) {
        Ok(outcome) => {
            println!(
                "{} commands in {:.1?}; allowed differences met:",
                outcome.commands,
                started.elapsed()
            );
            for difference in ALLOWED {
                let count = outcome.allowed.get(difference.name).copied().unwrap_or_default();
                println!("{count:>8} {}: {}", difference.name, difference.reason);
            }
            for (kind, (count, example)) in &outcome.differences {
                println!("{count:>8} {kind}\n{example}");
            }
            assert!(outcome.differences.is_empty(), "differences were met");
        }
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn a_seed_gives_the_same_commands() {
    let history = |seed| {
        let mut generator = diff::Generator::new(seed, Profile::Debian, false);
        let batch = (0..50).flat_map(|_| generator.batch().0);
        batch.map(|command| command.render(diff::Side::Ours)).collect::<Vec<_>>()
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}
