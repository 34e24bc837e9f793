//! Load by memtier_benchmark.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use super::{Load, Outcome, memtier_report};
use crate::servers::Guarded;
use crate::stop::Stop;

/// Additional time for memtier to end. It waits forever for an answer that it does not understand.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs memtier once.
pub(super) fn run(
    program: &Path,
    load: &Load,
    server: SocketAddr,
    threads: usize,
    seconds: u32,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let json = folder.path().join("report.json");
    let log = folder.path().join("log");
    let mut command = Command::new(program);
    command
        .args(arguments(load, server, threads, seconds))
        .arg("--json-out-file")
        .arg(&json)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).context("cannot make a temporary file")?);
    let mut child = Guarded::spawn(&mut command)
        .with_context(|| format!("cannot start {}", program.display()))?;
    let time = Duration::from_secs(seconds.into()) + PATIENCE;
    let ended = child.wait(time, stop)?;
    drop(child);
    let complaint = complaint(&String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()));
    let said = complaint.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match ended {
        None => anyhow::bail!("memtier did not exit in time{said}"),
        Some(status) if !status.success() => anyhow::bail!("memtier exited with {status}{said}"),
        Some(_) => {}
    }
    let report = std::fs::read(&json).with_context(|| format!("memtier wrote no report{said}"))?;
    let mut outcome = memtier_report::parse(&report, seconds)?;
    outcome.trouble = outcome.trouble.or(complaint);
    Ok(outcome)
}

fn arguments(load: &Load, server: SocketAddr, threads: usize, seconds: u32) -> Vec<String> {
    let Load { connections, pipeline, sets, gets, keys_per_get, value_size, keys } = *load;
    let threads = threads.clamp(1, connections.max(1));
    // Without separate seeds, all connections would request the same keys in the same order, and the server
    // would find each key in its core's cache.
    let mut arguments: Vec<String> = [
        "-P",
        "memcache_text",
        "--hide-histogram",
        "--distinct-client-seed",
        "--key-pattern",
        "R:R",
        "--key-minimum",
        "1",
    ]
    .map(str::to_owned)
    .into();
    let mut give = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    give("-s", server.ip().to_string());
    give("-p", server.port().to_string());
    give("-t", threads.to_string());
    give("-c", connections.div_ceil(threads).to_string());
    give("--pipeline", pipeline.to_string());
    give("--test-time", seconds.to_string());
    give("--data-size", value_size.to_string());
    give("--key-maximum", keys.to_string());
    if keys_per_get > 1 {
        // One request asks for as many keys as the ratio allows before the next set.
        let keys_per_get = u32::try_from(keys_per_get).unwrap_or(u32::MAX);
        give("--ratio", format!("{sets}:{}", gets.saturating_mul(keys_per_get)));
        give("--multi-key-get", keys_per_get.to_string());
    } else {
        give("--ratio", format!("{sets}:{gets}"));
    }
    arguments
}

/// The complaints of memtier between its progress lines.
fn complaint(log: &str) -> Option<String> {
    let complains = |line: &&str| {
        let line = line.to_ascii_lowercase();
        ["error", "fail", "abort", "refused"].iter().any(|word| line.contains(word))
    };
    let mut lines = log.split(['\r', '\n']).map(str::trim).filter(complains);
    let first = lines.next()?.chars().take(120).collect::<String>();
    Some(match lines.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        connections: 50,
        pipeline: 32,
        sets: 1,
        gets: 10,
        keys_per_get: 1,
        value_size: 1024,
        keys: 5000,
    };

    fn line(load: &Load, threads: usize) -> String {
        arguments(load, "127.0.0.1:4000".parse().unwrap(), threads, 3).join(" ")
    }

    #[test]
    fn the_command_line() {
        let text = line(&LOAD, 4);
        for part in [
            "-P memcache_text",
            "-s 127.0.0.1 -p 4000 -t 4 -c 13",
            "--pipeline 32 --test-time 3",
            "--data-size 1024",
            "--distinct-client-seed",
            "--key-minimum 1",
            "--key-maximum 5000",
            "--ratio 1:10",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("--multi-key-get"), "{text}");
        let many = line(&Load { sets: 0, gets: 1, keys_per_get: 100, ..LOAD }, 1);
        assert!(many.contains("--ratio 0:100 --multi-key-get 100"), "{many}");
    }

    #[test]
    fn complaints_are_found_between_progress_lines() {
        let calm = "Writing results to stdout\n[RUN #1 100%,   2 secs]  1 threads 50 conns:\r\n";
        assert_eq!(complaint(calm), None);
        let log = format!("{calm}server 127.0.0.1:1 handle error response: SERVER_ERROR x\n{calm}");
        let text = "server 127.0.0.1:1 handle error response: SERVER_ERROR x";
        assert_eq!(complaint(&log).unwrap(), text);
        assert_eq!(complaint(&format!("{log}{log}")).unwrap(), format!("{text} (and 1 more)"));
    }

    #[test]
    fn a_program_that_fails_is_told() {
        let server = "127.0.0.1:1".parse().unwrap();
        let error = run(Path::new("false"), &LOAD, server, 1, 1, &Stop::default()).unwrap_err();
        assert!(error.to_string().starts_with("memtier exited with exit status: 1"), "{error}");
        let error = run(Path::new("true"), &LOAD, server, 1, 1, &Stop::default()).unwrap_err();
        assert_eq!(error.to_string(), "memtier wrote no report");
    }
}
