//! Clients that hold what a server lets them, and groups of processes with a limit of memory: what the tests
//! and `ringbinder bench memory --hostile` have in common.

mod cgroup;
mod crowd;

pub use self::cgroup::Cgroup;
pub use self::crowd::Crowd;
