//! What a server keeps in memory, measured from outside as resident size.
//!
//! The promise: resident size is at most `-m`, the memory of connections and [`FIXED_KIB`].

mod drift;
mod idle;

/// What a server holds beside items and connections: code, threads, the allocator's slack.
const FIXED_KIB: u64 = 32 * 1024;

/// What connections may hold together with `-m` so large.
fn connections_kib(megabytes: u64) -> u64 {
    (megabytes / 8).max(32) * 1024
}

/// What may be resident with `-m` so large.
fn promise_kib(megabytes: u64) -> u64 {
    megabytes * 1024 + connections_kib(megabytes) + FIXED_KIB
}
