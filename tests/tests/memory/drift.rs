//! Test of the memory promise while the sizes of values change.
//!
//! `RINGBINDER_CHURN_FULL=1` runs the churn at full size: 256 MB, 10 million sets.

use ringbinder_tests::conn::Conn;
use ringbinder_tests::process::rss_kib;
use ringbinder_tests::server::target;
use ringbinder_tests::{Kind, Server};

use crate::promise_kib;

/// Sets per write.
const BATCH: u64 = 200;

/// Value size of set `number` of `count`: 50 bytes at both ends and 50 KB in the middle. Each order of
/// magnitude takes the same time.
fn length(number: u64, count: u64) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "a share between 0 and 1")]
    let share = number as f64 / count as f64;
    let height = 1.0 - (2.0 * share - 1.0).abs();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 50 and 50,000"
    )]
    let length = (50.0 * 1000f64.powf(height)) as usize;
    length
}

#[test]
fn value_lengths_drift_there_and_back() {
    assert_eq!((length(0, 100), length(50, 100), length(100, 100)), (50, 50_000, 50));
    assert!(length(25, 100) > 1000 && length(25, 100) < 2000);
}

#[test]
fn resident_size_keeps_the_promise_while_sizes_drift() {
    if target() != Kind::Ringbinder {
        return;
    }
    let full = std::env::var("RINGBINDER_CHURN_FULL").as_deref() == Ok("1");
    let (megabytes, count) = if full { (256, 10_000_000) } else { (64, 300_000) };
    let server = Server::start(target(), &["-m", &megabytes.to_string()]);
    let mut conn = server.connect();
    let value = vec![b'v'; 50_000];
    let promise = promise_kib(megabytes);
    let figure = |conn: &mut Conn, name: &str| -> u64 {
        let stats = conn.ask_text("stats\r\n");
        let prefix = format!("STAT {name} ");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        line.expect("a figure").parse().expect("a number")
    };
    let (mut peak, mut request, mut used) = (0, Vec::new(), 0);
    for number in 0..count {
        let length = length(number, count);
        // Some of the keys repeat, as in real traffic.
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (count / 2);
        request.extend_from_slice(format!("set key-{key} 0 0 {length} noreply\r\n").as_bytes());
        request.extend_from_slice(&value[..length]);
        request.extend_from_slice(b"\r\n");
        if number % BATCH == BATCH - 1 {
            conn.talk(&request, "");
            request.clear();
            if number > count / 2 && used == 0 {
                used = figure(&mut conn, "bytes");
            }
            let resident = rss_kib(server.pid());
            peak = peak.max(resident);
            assert!(
                resident <= promise,
                "{resident} KiB resident after {number} sets of up to {length} bytes; promised \
                 {promise} with -m {megabytes}"
            );
        }
    }
    println!("-m {megabytes}: at most {peak} KiB of {promise} KiB");
    // The cache was full of values of 50 KB. A cache that stores nothing would keep the promise too.
    assert!(figure(&mut conn, "evictions") > 0, "nothing was evicted");
    assert!(used > (megabytes << 20) / 100 * 88, "only {used} bytes used");
    assert!(figure(&mut conn, "bytes") <= megabytes << 20);
}
