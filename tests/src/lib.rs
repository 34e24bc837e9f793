//! The harness for tests across processes: servers as child processes, bytes over sockets, and real memcached
//! for comparison.
//!
//! The tests themselves are in `tests/`, with one binary for each subject. `differential` sends generated
//! histories to ringbinderd and to memcached and compares every answer. `wire` asserts the protocol at byte
//! level. `ring` runs several nodes that share a ring, and `faults` exposes them to faults of machines.
//! `client` and `fill` run the Rust client on nodes and on memcached. `etcd` and `twemproxy` use those
//! programs. `memory` checks the memory limits of servers.
//!
//! The expectations in `wire` are verified by running them against memcached itself
//! (`RINGBINDER_WIRE_TARGET=memcached`).

pub mod allowed;
pub mod conn;
pub mod crowd;
pub mod diff;
pub mod etcd;
pub mod history;
pub mod http;
pub mod levels;
pub mod load;
pub mod process;
pub mod relay;
pub mod ring;
pub mod server;
pub mod skip;
pub mod wait;

pub use conn::Conn;
pub use server::{Kind, Server};
