//! Async memcached client that knows Ringbinder's ring.
//!
//! It takes the ring from a file, from etcd, or from the nodes themselves, sends each key to the
//! node that owns it, and follows the ring while it changes. It works with memcached's own servers
//! just as well ([`Client::with_servers`]).
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
//! What a user may rely on:
//!
//! - **A cache that is away is an empty cache.** A node that cannot be asked makes gets misses and
//!   writes [`Stored::Away`]; [`OnAway::Error`] makes it an error. A node that did not answer rests, so
//!   that its time-out is waited for once and not by every request.
//! - **A write is sent at most once** where the node may have seen it: sent again it could undo what
//!   somebody else has written in between.
//! - **One connection to each node for each worker** of the runtime, pipelined: requests share it, and
//!   none waits for another's answer to be sent. A request whose future is dropped may still be
//!   carried out.
//! - **Nothing a node sends** makes the client take more memory than came, wait for longer than the
//!   time-out, or hand one caller another's value: a connection whose answers do not fit is closed.
//!
//! Connections are encrypted by [`Builder::tls`], and [`Builder::login`] says who the client is.
//!
//! Values that are read all the time can be kept near (`Builder::near_cache`, of the feature `near-cache`, which
//! is on by default); a value that is costly
//! to make is made by one caller in the fleet ([`Client::get_or_fill`]); values of any type go through
//! serde ([`Client::get_typed`]). `docs/client.md` tells more.

// | file | purpose |
// |---|---|
// | `builder`, `settings`, `error`, `item`, `ttl` | setting up a client; its errors; items and their times to live |
// | `client`, `commands`, `typed`, `fill` | the API: commands, values of any type, fills |
// | `near` | the near cache |
// | `rings`, `view` | where the ring comes from; a ring with the connections to its nodes |
// | `link`, `lane`, `health` | a node; one slot for a connection to it; whether it is worth asking |
// | `dial`, `socket`, `tls`, `login` | opening a connection |
// | `connection`, `wire`, `watchdog` | one pipelined connection; the protocol; requests that wait too long |
// | `fuzzing` | the reader of answers, for a fuzz target |

mod builder;
mod client;
mod commands;
mod connection;
mod dial;
mod error;
mod fill;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod item;
mod lane;
mod link;
mod login;
#[cfg(feature = "near-cache")]
mod near;
#[cfg(not(feature = "near-cache"))]
#[path = "no_near.rs"]
mod near;
mod rings;
mod settings;
mod socket;
mod tls;
mod ttl;
mod typed;
mod view;
mod watchdog;
mod wire;

pub use builder::Builder;
pub use client::Client;
pub use commands::{MetaReply, NodeHandle};
pub use error::{Absence, ConnectError, Error, KeyError};
pub use fill::{Fill, FillError};
pub use item::{Item, Stored};
pub use login::{Login, LoginError};
#[cfg(feature = "near-cache")]
pub use near::NearCache;
pub use ringbinder_ring as ring;
pub use settings::OnAway;
pub use tls::{Tls, TlsError, TlsFault, TlsFile, TlsPart, TlsVersion};
pub use ttl::Ttl;
pub use typed::{Codec, Json, Typed};
