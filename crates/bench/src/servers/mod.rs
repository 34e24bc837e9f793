//! The servers under measurement: finding, starting, asking and ending them.
//!
//! | file | purpose |
//! |---|---|
//! | `find`, `start`, `child` | finding a program, starting it, ending it |
//! | `ring`, `proxy` | three nodes with a ring; nutcracker |
//! | `ask`, `listener`, `proc_fs` | asking a server; which process listens; CPU time and memory from `/proc` |

mod ask;
mod child;
mod find;
mod listener;
mod proc_fs;
mod proxy;
mod ring;
mod start;

pub(crate) use ask::Client;
pub(crate) use child::{Guarded, end_children_on_panic};
pub(crate) use find::{Contender, memtier, nutcracker, version_line};
pub(crate) use proxy::{Pool, start_proxy};
pub(crate) use ring::{NODES, ring_file, share_folder, start_ring};
pub(crate) use start::{Server, Setup, free_addresses};
