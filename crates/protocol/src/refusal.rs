//! Refusals: everything that can be wrong with a request, typed by who is at fault. This is the
//! only place that turns a refusal into words on the wire.

use std::fmt;

use crate::Follows;

/// The party that must act for the request to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such command, or not with that number of words: `ERROR`.
    Command,
    /// The client sent something invalid: `CLIENT_ERROR`.
    Client,
    /// The server could not carry out a valid request: `SERVER_ERROR`.
    Server,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $fault:ident $line:literal)*) => {
        /// The reason why a request was not carried out. [`Refusal::line`] is the text for the
        /// client.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// The answer, without its line end.
            pub fn line(self) -> &'static str {
                match self { $(Refusal::$name => $line,)* }
            }

            /// The party at fault.
            pub fn fault(self) -> Fault {
                match self { $(Refusal::$name => Fault::$fault,)* }
            }

            /// All refusals.
            pub const ALL: &[Refusal] = &[$(Refusal::$name,)*];
        }
    };
}

refusals! {
    /// Unknown command, or an administrative command with unknown words.
    Unknown Command "ERROR"
    /// A dump or watch after other commands in one pipeline.
    WatchInPipeline Command "ERROR cannot pipeline other commands before watch"
    /// See [`Refusal::WatchInPipeline`].
    MetadumpInPipeline Command "ERROR cannot pipeline other commands before metadump"
    /// See [`Refusal::WatchInPipeline`].
    MgdumpInPipeline Command "ERROR cannot pipeline other commands before mgdump"
    /// `lru_crawler metadump` with `-X`.
    MetadumpDisabled Command "ERROR metadump not allowed"
    /// `lru_crawler mgdump` with `-X`.
    MgdumpDisabled Command "ERROR key dump not allowed"
    /// `lru tune` with shares that leave nothing for the rest.
    LruShares Command "ERROR hot and warm pcts must not exceed 80"
    /// `lru tune` with factors that are not positive.
    LruFactors Command "ERROR hot/warm age factors must be greater than 0"
    /// `lru_crawler enable` while the crawler runs.
    CrawlerRunning Command "ERROR failed to start lru crawler thread"
    /// Too many connections: the answer to a new one before it closes.
    TooManyConnections Command "ERROR Too many open connections"
    /// An invalid key, number or word, or missing words.
    BadFormat Client "CLIENT_ERROR bad command line format"
    /// An invalid exptime.
    BadExptime Client "CLIENT_ERROR invalid exptime argument"
    /// An invalid delta.
    BadDelta Client "CLIENT_ERROR invalid numeric delta argument"
    /// The present value is not a number.
    NonNumeric Client "CLIENT_ERROR cannot increment or decrement non-numeric value"
    /// No line end follows the value at its announced length.
    BadDataChunk Client "CLIENT_ERROR bad data chunk"
    /// A line without an end.
    LineTooLong Client "CLIENT_ERROR line too long"
    /// A repeated or invalid meta flag.
    DuplicateFlag Client "CLIENT_ERROR duplicate flag"
    /// An unknown meta flag.
    InvalidFlag Client "CLIENT_ERROR invalid flag"
    /// Either of these, or any other mistake in the flags of `ma`.
    InvalidOrDuplicateFlag Client "CLIENT_ERROR invalid or duplicate flag"
    /// An invalid number after a meta flag.
    BadToken Client "CLIENT_ERROR bad token in command line format"
    /// `b` with a key that is not base64.
    BadBase64Key Client "CLIENT_ERROR error decoding key"
    /// More than 20 words in a meta command.
    TooManyFlags Client "CLIENT_ERROR options flags are too long"
    /// An unknown mode of `ms`.
    BadStoreMode Client "CLIENT_ERROR invalid mode for ms M token"
    /// An unknown mode of `ma`.
    BadArithmeticMode Client "CLIENT_ERROR invalid mode for ma M token"
    /// `J` without a valid number.
    BadInitial Client "CLIENT_ERROR invalid numeric initial value"
    /// `D` without a valid number.
    BadMetaDelta Client "CLIENT_ERROR invalid numeric delta value"
    /// `O` with more than 31 bytes.
    OpaqueTooLong Client "CLIENT_ERROR opaque token too long"
    /// `flush_all` with `-F`.
    FlushDisabled Client "CLIENT_ERROR flush_all not allowed"
    /// `watch` with `-W`.
    WatchDisabled Client "CLIENT_ERROR watch commands not allowed"
    /// `stats cachedump` with `-X`.
    CachedumpDisabled Client "CLIENT_ERROR stats cachedump not allowed"
    /// `stats hotkeys` with `-X`.
    HotKeysDisabled Client "CLIENT_ERROR stats hotkeys not allowed"
    /// `stats detail` with `-X`.
    DetailDisabled Client "CLIENT_ERROR stats detail not allowed"
    /// `stats cachedump` without its numbers.
    BadStatsLine Client "CLIENT_ERROR bad command line"
    /// `stats cachedump` of an invalid class.
    BadSlabClass Client "CLIENT_ERROR Illegal slab id"
    /// `stats detail` with an unknown word.
    DetailUsage Client "CLIENT_ERROR usage: stats detail on|off|dump"
    /// `shutdown` with an unknown word.
    BadShutdownMode Client "CLIENT_ERROR invalid shutdown mode"
    /// `lru_crawler` commands while it is disabled.
    CrawlerDisabled Client "CLIENT_ERROR lru crawler disabled"
    /// `lru_crawler sleep` of more than a second.
    CrawlerSleep Client "CLIENT_ERROR sleep must be one second or less"
    /// `slabs automove window` out of bounds.
    AutomoveWindow Client "CLIENT_ERROR automove window too low or too high"
    /// A client of the binary protocol.
    BinaryProtocol Client "CLIENT_ERROR this port speaks the memcached text protocol, not the binary one: set the client to text (ascii)"
    /// A TLS client.
    Tls Client "CLIENT_ERROR this port speaks the memcached text protocol without TLS: connect without it"
    /// A client without TLS on a port that requires it.
    TlsOnly Client "CLIENT_ERROR this port speaks TLS only: connect with it"
    /// Any request of a client that has not authenticated, if the server requires that.
    Unauthenticated Client "CLIENT_ERROR unauthenticated"
    /// A login that announces too many bytes.
    LoginTooLong Client "CLIENT_ERROR auth token too long"
    /// No line end follows the login at its announced length.
    LoginEnd Client "CLIENT_ERROR bad command line termination"
    /// A login without a space.
    LoginFormat Client "CLIENT_ERROR bad authentication token format"
    /// An unknown user, or a wrong password.
    LoginFailed Client "CLIENT_ERROR authentication failure"
    /// `ring` with unknown words.
    RingUsage Client "CLIENT_ERROR usage: ring version|get|owner <key>|flush [delay]"
    /// `ring` sent to a node without a ring.
    NoRing Client "CLIENT_ERROR this node has no ring: start it with --ring"
    /// `ring get` of a ring that the node does not keep.
    UnknownRing Client "CLIENT_ERROR this node does not have that ring"
    /// An offered ring that exceeds the largest valid size.
    RingTooLarge Client "CLIENT_ERROR the offered ring is too large"
    /// An offered ring without a valid proof of the peer secret, or to a node without a peer
    /// secret.
    RingNotProved Client "CLIENT_ERROR the offered ring is not proved by the peer secret of this node"
    /// A proof that does not match the peer secret of this node.
    PeerNotProved Client "CLIENT_ERROR the proof is not by the peer secret of this node"
    /// A key of another node, with `foreign_keys` at `refuse`.
    ForeignKey Client "CLIENT_ERROR another node owns this key: ask 'ring owner <key>'"
    /// `shutdown` without `-A`.
    ShutdownDisabled Server "SERVER_ERROR: shutdown not enabled"
    /// The owner of the key is unreachable.
    OwnerAway Server "SERVER_ERROR the node that owns this key does not answer"
    /// Larger than `-I` allows.
    TooLarge Server "SERVER_ERROR object too large for cache"
    /// There is no room, and evictions are off.
    OutOfMemory Server "SERVER_ERROR out of memory storing object"
    /// There is no room for the number, and evictions are off.
    OutOfMemoryArithmetic Server "SERVER_ERROR out of memory"
}

/// Longest list of nodes in an answer, in bytes, unless the first node alone needs more. The whole
/// answer stays below 350 bytes, the most that some releases of libmemcached read.
const MAX_NAMED: usize = 280;

/// Longest quoted part of a node's answer, in bytes.
const MAX_REPEATED: usize = 80;

/// The reason why one node of a ring may still have items that a `flush_all` should have removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlushFault {
    /// The node did not answer in time, or is known to be unreachable.
    NoAnswer,
    /// The node gave this answer, without its line end, instead of `OK`.
    Answered(Vec<u8>),
    /// The node flushed, but another node or process may serve its keys, and the requesting node
    /// did not learn in time which one.
    Unsettled,
    /// The requesting node has not heard from all its peers yet: it may not know all nodes.
    NotJoined,
}

impl fmt::Display for FlushFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlushFault::NoAnswer => f.write_str("no answer"),
            FlushFault::Answered(line) => {
                let words = line.strip_prefix(b"CLIENT_ERROR ").unwrap_or(line);
                let words = words.strip_prefix(b"SERVER_ERROR ").unwrap_or(words);
                let shown: String = words.escape_ascii().to_string();
                f.write_str(&shown[..shown.len().min(MAX_REPEATED)])
            }
            FlushFault::Unsettled => f.write_str("the ring is changing there; try again"),
            FlushFault::NotJoined => f.write_str("it has not heard from all nodes yet"),
        }
    }
}

/// The failure of a `flush_all` for a whole ring: the nodes that it did not empty. All others are
/// empty.
///
/// Unlike a [`Refusal`] it names nodes. Its line is bounded, however many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushFailed {
    /// Each node in the form that people read, such as `cache-b (10.0.0.2:11211)`, and its fault;
    /// at least one.
    pub nodes: Vec<(String, FlushFault)>,
}

impl FlushFailed {
    /// The party at fault.
    pub fn fault(&self) -> Fault {
        Fault::Server
    }

    /// The answer, without its line end.
    pub fn line(&self) -> String {
        format!("SERVER_ERROR flush_all failed on {self}")
    }
}

/// The nodes and their faults, as in [`FlushFailed::line`].
impl fmt::Display for FlushFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut len = 0;
        for (index, (node, fault)) in self.nodes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let next = format!("{separator}{node}: {fault}");
            len += next.len();
            if index > 0 && len > MAX_NAMED {
                return write!(f, "; and {} more", self.nodes.len() - index);
            }
            f.write_str(&next)?;
        }
        Ok(())
    }
}

/// A line that is not carried out, before its bytes are counted.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) quiet: bool,
    pub(crate) follows: Follows,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused { refusal, quiet: false, follows: Follows::Request }
    }
}

impl Refused {
    pub(crate) fn quiet_if(self, quiet: bool) -> Self {
        Refused { quiet, ..self }
    }

    pub(crate) fn followed_by(self, follows: Follows) -> Self {
        Refused { follows, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_one_at_fault() {
        for &refusal in Refusal::ALL {
            let line = refusal.line();
            let prefix = match refusal.fault() {
                Fault::Command => "ERROR",
                Fault::Client => "CLIENT_ERROR ",
                // memcached has one answer with a colon.
                Fault::Server => "SERVER_ERROR",
            };
            assert!(line.starts_with(prefix), "{line}");
            assert!(!line.contains(['\r', '\n']), "{line}");
        }
    }

    #[test]
    fn a_failed_flush_names_the_nodes_that_it_did_not_reach() {
        let failed = FlushFailed {
            nodes: vec![
                ("cache-b (10.0.0.2:11211)".into(), FlushFault::NoAnswer),
                (
                    "cache-c (10.0.0.3:11211)".into(),
                    FlushFault::Answered(Refusal::FlushDisabled.line().into()),
                ),
            ],
        };
        assert_eq!(failed.fault(), Fault::Server);
        assert_eq!(
            failed.line(),
            "SERVER_ERROR flush_all failed on cache-b (10.0.0.2:11211): no answer; \
             cache-c (10.0.0.3:11211): flush_all not allowed"
        );
    }

    #[test]
    fn a_failed_flush_is_one_short_line_whatever_nodes_say() {
        let foreign = FlushFault::Answered(b"\r\n\xff\x1b[2J".repeat(1000));
        let nodes = (0..100).map(|index| (format!("cache-{index} (10.0.0.1:1)"), foreign.clone()));
        let line = FlushFailed { nodes: nodes.collect() }.line();
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert!(line.len() < 350, "{} bytes: {line}", line.len());
        assert!(line.ends_with(" more"), "{line}");
        let named = line.matches("cache-").count();
        assert!(line.ends_with(&format!("and {} more", 100 - named)), "{line}");
    }
}
