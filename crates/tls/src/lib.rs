//! TLS code shared by nodes and clients: the keys and certificates that they accept, and texts for the
//! faults of others.
//!
//! | module | what it is |
//! |---|---|
//! | [`pem`] | certificates and keys out of the text of a file |
//! | `der` | the few parts of DER that this takes |
//! | [`certificate`] | when a certificate ends, and whether it may sign others |
//! | [`calendar`] | the day of a Unix time |
//! | [`identity`] | a certificate and its key, and whether they belong together |
//! | [`words`] | what rustls and webpki object to, as clauses for people |
//!
//! This crate does no I/O: callers read files, and name them in their own errors. No text here shows part
//! of a key, or unescaped bytes of a certificate.

pub mod calendar;
pub mod certificate;
mod der;
pub mod identity;
pub mod pem;
pub mod words;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use rustls::Error;
use rustls::crypto::aws_lc_rs;
use rustls::server::ProducesTickets;

/// The cryptography provider that all sides use.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Creates the ticketer for session resumption. It encrypts tickets with a key of its own.
///
/// # Errors
/// If the system provides no random bytes.
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    aws_lc_rs::Ticketer::new()
}
