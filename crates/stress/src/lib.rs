//! Crowds of clients that make a server hold memory, and control groups with a memory limit. Both the tests
//! and `ringbinder bench memory --hostile` use them.

mod cgroup;
mod crowd;

pub use self::cgroup::Cgroup;
pub use self::crowd::Crowd;
