//! The description of the machine in reports.

use crate::cores::Placement;

/// Processor, cores and kernel.
pub(crate) fn describe(place: &Placement) -> String {
    format!("machine: {}, {} cores, Linux {}", processor(), place.allowed, kernel())
}

/// Processor and kernel, for benchmarks without placement on cores.
#[cfg(feature = "developer")]
pub(crate) fn describe_processor() -> String {
    format!("machine: {}, Linux {}", processor(), kernel())
}

/// The cores of the servers and the load: `on core 0; load: 1 thread on core 1`.
pub(crate) fn describe_places(place: &Placement) -> String {
    let threads = match place.load_threads() {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    let shared = if place.apart { "" } else { " (SHARED with the servers)" };
    format!("on {}; load: {threads} on {}{shared}", place.servers, place.load)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// Processor and kernel, as JSON.
pub(crate) fn data() -> serde_json::Value {
    serde_json::json!({ "processor": processor(), "kernel": kernel() })
}
