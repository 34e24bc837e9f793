//! What crosses processes: servers as children, bytes over sockets, real memcached beside them.
//!
//! The library holds the harness; the tests stand in `tests/`, one binary a subject:
//! `differential` sends generated histories to ringbinderd and to memcached and compares every
//! answer, `wire` asserts the protocol at byte level, `ring` runs several nodes that share a ring, `faults` does
//! to them what happens to machines,
//! `client` and `fill` run the Rust client on nodes and on memcached, `etcd` and
//! `twemproxy` meet those programs, `memory` holds servers to what they may keep in memory.
//! Expectations in `wire` are proved honest by running them against memcached itself
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
