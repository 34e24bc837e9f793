//! memcached's text protocol, classic and meta, on the server's side: parses requests and writes
//! answers. No I/O, no clock, no store.
//!
//! [`parse`] borrows one request from the front of a read buffer. An incomplete request is
//! [`Parsed::Incomplete`] and never an error, so a caller may pass in bytes however they arrive.
//! Every number is checked against its bounds before it is used, and no input causes a panic.
//!
//! ```
//! use ringbinder_protocol::{Parsed, Request, parse};
//!
//! let input = b"get notes:1 notes:2\r\n";
//! assert!(matches!(parse(&input[..7]), Parsed::Incomplete));
//! let Parsed::Request { request: Request::Get(get), consumed } = parse(input) else {
//!     panic!("a whole get was there");
//! };
//! assert_eq!(consumed, input.len());
//! assert_eq!(get.keys.collect::<Vec<_>>(), [b"notes:1", b"notes:2"]);
//! ```
//!
//! The contract is memcached's own `doc/protocol.txt`, and beyond it the answers of memcached
//! 1.6.45.
//!
//! | file | purpose |
//! |---|---|
//! | `request`, `parse`, `quick` | the kinds of requests; reading any of them; reading the most frequent ones |
//! | `classic`, `meta`, `admin`, `ring` | the commands, by family |
//! | `login` | the first request to a server with `-Y` |
//! | `refusal`, `announced` | every error line; the length of the value after a refused line |
//! | `answer`, `reply` | writing answers; reading answers |
//! | [`stats`] | reading the answers to `stats` commands: counters, rates, latency, hot keys |
//! | `key`, `number`, `token`, `scan`, `hex` | keys, numbers, words, searching bytes, hexadecimal digits |

mod admin;
mod announced;
pub mod answer;
mod classic;
mod hex;
mod key;
mod login;
mod meta;
mod number;
mod parse;
mod quick;
mod refusal;
mod reply;
mod request;
mod ring;
mod scan;
pub mod stats;
mod token;

pub use admin::{Admin, Dump, DumpTarget, Stats, WatchFlags};
pub use classic::{Arithmetic, Delete, Get, Store, Touch, Verb};
pub use hex::{from_hex, to_hex};
pub use key::{MAX_KEY_LEN, encode_key, is_key};
pub use login::{Login, MAX_LOGIN, login};
pub use meta::{Meta, MetaArithmetic, MetaKey, MetaStore};
pub use parse::{MAX_GET_LINE, MAX_LINE, longest_line, multi_get, parse};
pub use quick::{Quick, quick};
pub use refusal::{Fault, FlushFailed, FlushFault, Refusal};
pub use reply::{MAX_REPLY_LINE, Reply, reply};
pub use request::{BinaryRequest, Follows, Foreign, Keyed, Parsed, Request, Storage};
pub use ring::{
    Claim, Forwarding, Greeter, Instance, MAC_LEN, MAX_NODE_NAME, MAX_RING_LEN, PeerLine,
    PeerProcess, RingCommand, RingOffer, RingRequest, Stamp, Standing, parse_ring_header,
};
pub use token::Tokens;

/// The memcached release whose protocol this crate implements, as `version` reports it. Clients
/// compare it, so it is a plain dotted number.
pub const MEMCACHED_VERSION: &str = "1.6.45";

/// Largest number of bytes that a value may announce: memcached keeps lengths, line end included,
/// in a signed 32-bit integer.
pub const MAX_VALUE_LEN: usize = i32::MAX as usize - 2;
