//! Async memcached client that knows Ringbinder's ring.
//!
//! It takes the ring from a file, from etcd, or from the nodes themselves, sends each key to the
//! node that owns it, and follows the ring while it changes. It works with memcached's own servers
//! just as well.

mod builder;
mod client;
mod commands;
mod connection;
mod error;
mod fill;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod item;
mod lane;
mod link;
mod near;
mod rings;
mod ttl;
mod typed;
mod view;
mod watchdog;
mod wire;

pub use builder::{Builder, OnAway};
pub use client::Client;
pub use commands::{MetaReply, NodeHandle};
pub use error::{Absence, ConnectError, Error, KeyError};
pub use fill::{Fill, FillError};
pub use item::{Item, Stored};
pub use near::NearCache;
pub use ringbinder_ring as ring;
pub use ttl::Ttl;
pub use typed::{Codec, Json, Typed};
