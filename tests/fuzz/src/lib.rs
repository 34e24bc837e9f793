//! What the fuzz targets check, as a library without a fuzzer, so that `replay` and ordinary tests
//! run the same checks.
//!
//! - [`parsing`]: any bytes into the request parser; its promises hold, however they are cut.
//! - [`storage_line`]: storage lines with a mistake; no byte of a value is read as a request.
//! - [`answers`]: any bytes as a node's answer to the client; one that is wrong is refused.
//! - [`stats`]: any bytes as a node's answers to `stats`; reports are bounded and their numbers sane.
//! - [`ring_file`]: any bytes as a ring file; what is read can be written and read again.
//! - [`store`]: any bytes become a history of a small store, asked through the trait `Store`.
//! - [`snapshot`]: any bytes as a snapshot; nothing comes out that had not gone in.
//! - [`session`]: any bytes become a session with nodes inside this process. Most are histories of
//!   well-formed requests ([`generate`]), and [`model`] says what the node must answer, byte for
//!   byte. The rest are raw streams, or histories on a node too small for what they store.
//!
//! The model knows nothing of the server's code: it is written from memcached's protocol and
//! behaviour, and is meant to be read as such. It holds a map from key to item and does one request
//! at a time.

#![forbid(unsafe_code)]

pub mod answer;
pub mod answers;
pub mod choices;
pub mod generate;
pub mod model;
pub mod parsing;
mod raw;
pub mod request;
pub mod ring_file;
mod scarce;
pub mod session;
pub mod snapshot;
pub mod stats;
pub mod storage_line;
pub mod store;
