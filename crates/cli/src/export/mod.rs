//! A ring as the configuration of the clients and proxies that use it.
//!
//! Every text works as printed. Its comments say where it goes and what the user must know about the client.
//! There are two kinds of client:
//!
//! - Clients with libmemcached's weighted ketama find the owner of every key. Their configuration spells
//!   hosts and orders nodes as the ring file does, because both affect the hashing.
//! - Other clients may use any node, since nodes forward. The comments say so. The configuration spreads
//!   connections or keys by weight, and keeps working if a node is unreachable.
//!
//! Every configuration limits the cost of a lost node: a request to a node that is frozen or refuses
//! connections takes less than a second, and the client tries the node again soon. [`waiting`] has the
//! figures. Some clients give a lost node's keys to other nodes. That is safe as long as nodes forward
//! (`--foreign-keys forward`), since the owner still answers for its keys.
//!
//! Names and hosts of a ring match `[A-Za-z0-9._:-]`, so most targets take them unchanged. [`text`] quotes
//! them for targets that need strings.

mod haproxy;
mod json;
mod mcrouter;
mod php;
mod python;
mod ruby;
#[cfg(test)]
mod tests;
mod text;
mod twemproxy;
mod waiting;

use ringbinder_ring::Ring;

/// What the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Python: a pylibmc client
    Pylibmc,
    /// Python: a pymemcache client, with a hasher that finds owners
    Pymemcache,
    /// Python: the CACHES of Django's settings, by pylibmc
    Django,
    /// PHP: the memcached extension
    Php,
    /// Ruby: dalli 3.2 or later; nodes forward what it sends elsewhere
    Ruby,
    /// twemproxy (nutcracker): a pool
    Twemproxy,
    /// mcrouter: a configuration file; nodes forward what it sends elsewhere
    Mcrouter,
    /// HAProxy: one address in front of all nodes, for any client
    Haproxy,
    /// JSON with every node and its share, for programs
    Json,
}

/// A ring that has no configuration for a target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// More servers than libmemcached bears as PHP mostly has it.
    #[error(
        "PHP's memcached extension may end its process with more than {limit} servers, as Debian's \
         libmemcached does, and this ring has {nodes} nodes; export for twemproxy or haproxy, run \
         that beside PHP, and give PHP its one address"
    )]
    TooManyForPhp {
        /// How many nodes the ring has.
        nodes: usize,
        /// How many are safe.
        limit: usize,
    },
}

/// The configuration for `target`, ready to be pasted. It ends with a line break.
///
/// # Errors
/// If the target cannot express this ring. The error says why, and what to do instead.
pub(crate) fn render(ring: &Ring, target: Target) -> Result<String, ExportError> {
    Ok(match target {
        Target::Pylibmc => python::pylibmc(ring),
        Target::Pymemcache => python::pymemcache(ring),
        Target::Django => python::django(ring),
        Target::Php => php::render(ring)?,
        Target::Ruby => ruby::render(ring),
        Target::Twemproxy => twemproxy::render(ring),
        Target::Mcrouter => mcrouter::render(ring),
        Target::Haproxy => haproxy::render(ring),
        Target::Json => json::render(ring),
    })
}
