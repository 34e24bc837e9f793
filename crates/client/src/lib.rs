//! Async memcached client that knows Ringbinder's ring.
//!
//! It gets the ring from a file, from etcd, or from the nodes themselves, sends each key to the
//! node that owns it, and follows changes of the ring. It works with memcached's own servers as
//! well ([`Client::with_servers`]).
//!
//! ```no_run
//! use std::time::Duration;
//! use ringbinder_client::Client;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::with_ring("ring.toml").connect().await?;
//! let stored = client.set("note:7", "buy milk", Duration::from_secs(60)).await?;
//! if let Some(item) = client.get("note:7").await? {
//!     println!("{stored:?}: {}", String::from_utf8_lossy(&item.value));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Guarantees:
//!
//! - **An unreachable cache is an empty cache.** If a node is unreachable, gets miss and writes
//!   return [`Stored::Away`]; with [`OnAway::Error`] both are errors. A node that did not answer
//!   rests, so that not every request waits for its timeout.
//! - **A write is sent at most once** if the node may have seen it: a second time it could undo a
//!   later write of another client.
//! - **One connection to each node for each worker** of the runtime, pipelined: requests share it,
//!   and none waits for another's answer before it is sent. A request whose future is dropped may
//!   still be carried out.
//! - **No answer of a node** makes the client take more memory than the bytes received, wait longer
//!   than the timeout, or give one caller another's value: a connection with wrong answers is
//!   closed.
//!
//! [`Builder::tls`] encrypts the connections, and [`Builder::login`] authenticates the client.
//!
//! A near cache keeps values that are read often in this process (`Builder::near_cache`, of the
//! feature `near-cache`, which is on by default). One caller in the fleet computes a costly value
//! for all ([`Client::get_or_fill`]). Values of any type pass through serde
//! ([`Client::get_typed`]). See `docs/client.md` for more.

// | file | purpose |
// |---|---|
// | `builder`, `settings`, `error`, `item`, `ttl` | setting up a client; its errors; items and their times to live |
// | `client`, `commands`, `typed`, `fill` | the API: commands, values of any type, fills |
// | `near` | the near cache |
// | `rings`, `view` | where the ring comes from; a ring with the connections to its nodes |
// | `link` | a node: opening connections to it, and requests on them |
// | `tls`, `wire` | TLS; the protocol: requests written and answers read |
// | `fuzzing` | the reader of answers, for a fuzz target |

mod builder;
mod client;
mod commands;
mod error;
mod fill;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod item;
mod link;
#[cfg(feature = "near-cache")]
mod near;
#[cfg(not(feature = "near-cache"))]
#[path = "near_disabled.rs"]
mod near;
mod rings;
mod settings;
mod tls;
mod ttl;
mod typed;
mod view;
mod wire;

pub use builder::Builder;
pub use client::Client;
pub use commands::{MetaReply, NodeHandle};
pub use error::{Absence, ConnectError, Error, KeyError};
pub use fill::{Fill, FillError};
pub use item::{Item, Stored};
pub use link::login::{Login, LoginError};
#[cfg(feature = "near-cache")]
pub use near::NearCache;
pub use ringbinder_ring as ring;
pub use settings::OnAway;
pub use tls::{Tls, TlsError, TlsFault, TlsFile, TlsPart, TlsVersion};
pub use ttl::Ttl;
pub use typed::{Codec, Json, Typed};
