//! The ring: assigns each key to a node, as a ring file describes.
//!
//! A ring file is the same for every client, node and tool. It names the nodes, and libmemcached's
//! weighted ketama does the rest: every program that reads the same file finds the same owner for
//! every key, and so does every client that hashes like libmemcached.
//!
//! ```
//! use ringbinder_ring::{Format, Ring};
//!
//! let text = r#"
//! version = 7
//!
//! [[node]]
//! name = "cache-a"
//! address = "10.0.0.1:11211"
//!
//! [[node]]
//! name = "cache-b"
//! address = "10.0.0.2:11211"
//! weight = 2
//! "#;
//! let ring = Ring::parse(text, Format::Toml, "ring.toml")?;
//! let owner = &ring.nodes()[ring.owner(b"notes:1") as usize];
//! assert_eq!(owner.to_string(), "10.0.0.1:11211");
//! # Ok::<(), ringbinder_ring::RingError>(())
//! ```
//!
//! A [`Ring`] is always valid: checked, immutable, with its continuum built. [`compare()`] finds
//! the keys that a change of the file would move. Only [`Ring::load`], [`source`] and [`regular`]
//! do I/O.
//!
//! | file | purpose |
//! |---|---|
//! | `ring`, `node` | [`Ring`] and its nodes |
//! | `ketama` | ketama: which node owns a point |
//! | `compare` | the keys that move from one ring to another |
//! | `file` | the formats and fields of a ring file |
//! | `source` | reading a ring from a file or etcd, and watching it |
//! | `address`, `error` | addresses of nodes; what is wrong with a ring |
//! | `printable`, `message`, `shell` | text from outside made safe to print; in messages; quoted for a shell |
//! | `regular` | reading regular files, up to a limit |

mod address;
mod compare;
mod error;
mod file;
mod ketama;
mod message;
mod node;
pub mod printable;
pub mod regular;
mod ring;
pub mod shell;
pub mod source;

pub use address::MAX_HOST_LEN;
pub use compare::{Comparison, Move, NodeChange, Share, compare};
pub use error::{MAX_FILE_BYTES, RingError, RingFault};
pub use file::Format;
pub use ketama::{Point, point};
pub use node::{MAX_NAME_LEN, MAX_NODES, MAX_WEIGHT, Node, NodeFault, NodeIndex};
pub use ring::{MAX_VERSION, Ring, RingId};
