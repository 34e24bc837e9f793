//! The `ring` command: reports a node's ring, and carries the messages between nodes.
//!
//! For people and clients, read-only, answered by every node that has a ring:
//!
//! | line | answer |
//! |---|---|
//! | `ring version` | `RING version digest` |
//! | `ring get` | `RING version digest len`, the ring as TOML, `END` |
//! | `ring owner key` | `OWNER name host:port` |
//!
//! For operators: `ring flush [delay]` empties only this node, and answers as `flush_all` does.
//!
//! Between nodes:
//!
//! | line | answer |
//! |---|---|
//! | `ring greet name stamp instance seen` | `PEER name instance held base stamp,... standing seen cas list` |
//! | `ring greet name stamp` | `PEER name instance held base stamp,stamp,...`: the form of older nodes |
//! | `ring get stamp` | as `ring get`, for an earlier ring |
//! | `ring nonce` | `NONCE hex` |
//! | `ring prove mac` | `PROVED` |
//! | `ring offer mac len`, then the ring | `ACCEPTED` |
//! | `ring forward stamp owner` (or `former`) | none; names the ring and claim of the requests after it |
//!
//! A stamp is `version.digest`, with the version in decimal and the digest as 16 hexadecimal
//! digits. An instance is 16 hexadecimal digits. `seen` is an instance or `-`: the process that the
//! sender accepts as the node at the other side's address.

use std::fmt;

use crate::refusal::Refused;
use crate::{Refusal, Tokens, announced, from_hex, key, number};

/// Longest name of a node in bytes.
pub const MAX_NODE_NAME: usize = 64;

/// Largest ring that a node may offer, in bytes.
pub const MAX_RING_LEN: usize = 2 << 20;

/// Bytes of a message authentication code (HMAC-SHA-256).
pub const MAC_LEN: usize = 32;

/// Identifies a ring: its version, and a digest that tells apart two rings with the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The version of the ring file.
    pub version: u64,
    /// Digest of the ring's content.
    pub digest: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.version, self.digest)
    }
}

impl Stamp {
    /// Reads a stamp as [`Stamp`]'s `Display` writes it.
    pub fn parse(word: &[u8]) -> Option<Stamp> {
        let dot = memchr::memchr(b'.', word)?;
        let (version, digest) = (&word[..dot], &word[dot + 1..]);
        Some(Stamp { version: number::unsigned(version)?, digest: hexadecimal(digest)? })
    }
}

/// The reason why a peer forwards a key to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// By the sender's ring this node owns the key.
    Owner,
    /// By the sender's ring the sender owns the key and this node owned it before.
    Former,
}

/// The ring and claim of the forwarded requests that follow on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// The ring by which the sender forwards.
    pub stamp: Stamp,
    /// The reason for forwarding to this node.
    pub claim: Claim,
}

/// A `ring` command without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingCommand<'a> {
    /// `ring version`
    Version,
    /// `ring get [stamp]`
    Get(Option<Stamp>),
    /// `ring owner key`
    Owner(&'a [u8]),
    /// `ring greet name stamp [instance seen]`
    Greet {
        /// Name of the greeting node, 1 to [`MAX_NODE_NAME`] bytes of printable ASCII.
        name: &'a str,
        /// The ring that the greeting node holds.
        stamp: Stamp,
        /// The greeting process; `None` from a node of a version that does not send it.
        process: Option<Greeter>,
    },
    /// `ring flush [delay]`
    Flush {
        /// The delay as an exptime; zero or negative means now. The error is reported only if
        /// flushing is not disabled.
        delay: Result<i64, Refusal>,
    },
    /// `ring nonce`
    Nonce,
    /// `ring prove mac`: HMAC-SHA-256 over the nonce, which proves that the sender knows the peer
    /// secret.
    Prove([u8; MAC_LEN]),
    /// `ring forward stamp claim`
    Forward(Forwarding),
}

/// The greeting process, and the process that it accepts as the greeted node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeter {
    /// The number drawn by the greeting process when it started.
    pub instance: Instance,
    /// The process that the sender accepts at the greeted node's address; `None` if it knows none.
    pub seen: Option<Instance>,
}

/// The number that a process draws when it starts. It tells apart two processes with the same name,
/// and a process from its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub u64);

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Instance {
    /// Reads an instance as its `Display` writes it.
    pub fn parse(word: &[u8]) -> Option<Instance> {
        hexadecimal(word).map(Instance)
    }
}

/// The state of a node's claim to its place in the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Its address in the ring leads to this process: it serves its keys.
    Confirmed,
    /// It is not confirmed yet that the node's address leads to this process: it serves none of its
    /// keys.
    #[default]
    Unconfirmed,
    /// The node's address leads to another process: this one serves nothing.
    Replaced,
    /// The ring does not name the node: it serves nothing.
    Absent,
}

impl Standing {
    /// All standings.
    pub const ALL: [Standing; 4] =
        [Standing::Confirmed, Standing::Unconfirmed, Standing::Replaced, Standing::Absent];

    /// The standing's word on the wire and in statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Confirmed => "confirmed",
            Standing::Unconfirmed => "unconfirmed",
            Standing::Replaced => "replaced",
            Standing::Absent => "absent",
        }
    }

    /// Reads a standing as its `Display` writes it.
    pub fn parse(word: &[u8]) -> Option<Standing> {
        Standing::ALL.into_iter().find(|standing| standing.as_str().as_bytes() == word)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 16 lower-case hexadecimal digits.
fn hexadecimal(word: &[u8]) -> Option<u64> {
    let digit = |&byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if word.len() != 16 || !word.iter().all(digit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()
}

/// An instance, or `-` for none.
fn seen(word: &[u8]) -> Option<Option<Instance>> {
    if word == b"-" { Some(None) } else { Instance::parse(word).map(Some) }
}

/// A `ring offer`. The ring, `len` bytes and a line end, follows in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingOffer {
    /// HMAC-SHA-256 over the nonce and the ring.
    pub mac: [u8; MAC_LEN],
    /// Bytes of the ring, at most [`MAX_RING_LEN`].
    pub len: usize,
}

/// A request about the ring. Every node answers it, whichever keys it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingRequest<'a> {
    /// `ring`, except `ring offer`
    Command(RingCommand<'a>),
    /// `ring offer`; the ring follows.
    Offer(RingOffer),
    /// `config get cluster`: the ring in the form of auto-discovery clients
    Cluster,
}

pub(crate) fn parse(mut words: Tokens<'_>) -> Result<RingRequest<'_>, Refused> {
    let what = words.next().ok_or(Refusal::RingUsage)?;
    let command = match what {
        b"version" if words.is_exhausted() => RingCommand::Version,
        b"get" if words.is_exhausted() => RingCommand::Get(None),
        b"get" => RingCommand::Get(Some(stamp(one(words)?)?)),
        b"owner" => {
            let key = one(words)?;
            if !key::is_key(key) {
                return Err(Refusal::BadFormat.into());
            }
            RingCommand::Owner(key)
        }
        b"greet" => greet(words)?,
        b"flush" if words.is_exhausted() => RingCommand::Flush { delay: Ok(0) },
        b"flush" => {
            let delay = number::signed(one(words)?).ok_or(Refusal::BadExptime);
            RingCommand::Flush { delay }
        }
        b"nonce" if words.is_exhausted() => RingCommand::Nonce,
        b"prove" => RingCommand::Prove(from_hex(one(words)?).ok_or(Refusal::BadFormat)?),
        b"offer" => return offer(words).map(RingRequest::Offer),
        b"forward" => {
            let [held, claim] = words.exactly().ok_or(Refusal::RingUsage)?;
            let claim = match claim {
                b"owner" => Claim::Owner,
                b"former" => Claim::Former,
                _ => return Err(Refusal::RingUsage.into()),
            };
            RingCommand::Forward(Forwarding { stamp: stamp(held)?, claim })
        }
        _ => return Err(Refusal::RingUsage.into()),
    };
    Ok(RingRequest::Command(command))
}

fn one(words: Tokens<'_>) -> Result<&[u8], Refusal> {
    let [word] = words.exactly().ok_or(Refusal::RingUsage)?;
    Ok(word)
}

fn greet(words: Tokens<'_>) -> Result<RingCommand<'_>, Refusal> {
    if let Some([name, held]) = words.exactly() {
        return Ok(RingCommand::Greet {
            name: node_name(name)?,
            stamp: stamp(held)?,
            process: None,
        });
    }
    let [name, held, instance, other] = words.exactly().ok_or(Refusal::RingUsage)?;
    let process = Greeter {
        instance: Instance::parse(instance).ok_or(Refusal::BadFormat)?,
        seen: seen(other).ok_or(Refusal::BadFormat)?,
    };
    Ok(RingCommand::Greet { name: node_name(name)?, stamp: stamp(held)?, process: Some(process) })
}

fn stamp(word: &[u8]) -> Result<Stamp, Refusal> {
    Stamp::parse(word).ok_or(Refusal::BadFormat)
}

fn node_name(word: &[u8]) -> Result<&str, Refusal> {
    let good = word.len() <= MAX_NODE_NAME && word.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(word).map_err(|_| Refusal::BadFormat)?;
    if good { Ok(name) } else { Err(Refusal::BadFormat) }
}

fn offer(words: Tokens<'_>) -> Result<RingOffer, Refused> {
    offer_line(words)
        .map_err(|refusal| Refused::from(refusal).followed_by(announced::follows_number(words)))
}

fn offer_line(words: Tokens<'_>) -> Result<RingOffer, Refusal> {
    let [mac, len] = words.exactly().ok_or(Refusal::RingUsage)?;
    let len = number::value_len(len).ok_or(Refusal::BadFormat)?;
    if len > MAX_RING_LEN {
        return Err(Refusal::RingTooLarge);
    }
    Ok(RingOffer { mac: from_hex(mac).ok_or(Refusal::BadFormat)?, len })
}

/// The answer of a node to a greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLine {
    /// The node's name in the ring, or the name it was started with.
    pub name: String,
    /// The answering process. Another instance than before has lost all items.
    pub instance: Instance,
    /// The ring that all of the node's workers hold.
    pub held: Stamp,
    /// The oldest ring by which a node known to this one may still serve keys.
    pub base: Stamp,
    /// All rings that the node can send, oldest first, at most [`PeerLine::MAX_KNOWN`].
    pub known: Vec<Stamp>,
    /// The fields that answer the long form of `ring greet`; `None` from a node of a version that
    /// does not know that form.
    pub process: Option<PeerProcess>,
}

/// A node's report on the processes at its own address and at the greeter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProcess {
    /// The state of the node's claim to its own place in the ring.
    pub standing: Standing,
    /// The process that the node accepts under the greeter's name; `None` if it knows none.
    pub seen: Option<Instance>,
    /// The highest CAS unique that the node has assigned.
    pub cas: u64,
    /// The epoch of the node's list of nodes for auto-discovery; 0 if it has none.
    pub list: u64,
}

impl PeerLine {
    /// Most rings named in one line.
    pub const MAX_KNOWN: usize = 32;

    /// The newest ring that the node can send, whether or not its workers hold it yet.
    pub fn newest(&self) -> Stamp {
        self.known.iter().copied().fold(self.held, Stamp::max)
    }

    /// Reads an answer to `ring greet`, without its line end.
    pub fn parse(line: &[u8]) -> Option<PeerLine> {
        let words = Tokens::new(line);
        let (name, instance, held, base, known, process) =
            if let Some([b"PEER", name, instance, held, base, known]) = words.exactly() {
                (name, instance, held, base, known, None)
            } else {
                let [b"PEER", name, instance, held, base, known, standing, other, cas, list] =
                    words.exactly()?
                else {
                    return None;
                };
                let process = PeerProcess {
                    standing: Standing::parse(standing)?,
                    seen: seen(other)?,
                    cas: number::unsigned(cas)?,
                    list: number::unsigned(list)?,
                };
                (name, instance, held, base, known, Some(process))
            };
        let known: Option<Vec<Stamp>> =
            known.split(|&byte| byte == b',').take(Self::MAX_KNOWN + 1).map(Stamp::parse).collect();
        Some(PeerLine {
            name: node_name(name).ok()?.to_owned(),
            instance: Instance::parse(instance)?,
            held: Stamp::parse(held)?,
            base: Stamp::parse(base)?,
            known: known.filter(|known| known.len() <= Self::MAX_KNOWN)?,
            process,
        })
    }
}

impl fmt::Display for PeerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeerLine { name, instance, held, base, known, process } = self;
        write!(f, "PEER {name} {instance} {held} {base} ")?;
        for (index, stamp) in known.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{stamp}")?;
        }
        let Some(PeerProcess { standing, seen, cas, list }) = process else {
            return Ok(());
        };
        match seen {
            Some(seen) => write!(f, " {standing} {seen} {cas} {list}"),
            None => write!(f, " {standing} - {cas} {list}"),
        }
    }
}

/// Reads `RING version digest len`, the first line of an answer to `ring get`.
pub fn parse_ring_header(line: &[u8]) -> Option<(Stamp, usize)> {
    let [b"RING", version, digest, len] = Tokens::new(line).exactly()? else {
        return None;
    };
    let stamp = Stamp::parse(&[version, b".", digest].concat())?;
    let len = number::value_len(len)?;
    (len <= MAX_RING_LEN).then_some((stamp, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Follows;

    fn command(line: &[u8]) -> Result<RingCommand<'_>, Refusal> {
        match parse(Tokens::new(line)) {
            Ok(RingRequest::Command(command)) => Ok(command),
            Ok(other) => panic!("{other:?}"),
            Err(refused) => Err(refused.refusal),
        }
    }

    const STAMP: Stamp = Stamp { version: 7, digest: 0x1f };

    #[test]
    fn every_form_parses() {
        let stamp = "7.000000000000001f";
        assert_eq!(Stamp::parse(stamp.as_bytes()), Some(STAMP));
        assert_eq!(STAMP.to_string(), stamp);
        assert_eq!(command(b"version"), Ok(RingCommand::Version));
        assert_eq!(command(b"get"), Ok(RingCommand::Get(None)));
        assert_eq!(command(b"get 7.000000000000001f"), Ok(RingCommand::Get(Some(STAMP))));
        assert_eq!(command(b"owner abc"), Ok(RingCommand::Owner(b"abc")));
        assert_eq!(command(b"flush"), Ok(RingCommand::Flush { delay: Ok(0) }));
        assert_eq!(command(b"flush 30"), Ok(RingCommand::Flush { delay: Ok(30) }));
        assert_eq!(command(b"flush -1"), Ok(RingCommand::Flush { delay: Ok(-1) }));
        let delay = Err(Refusal::BadExptime);
        assert_eq!(command(b"flush soon"), Ok(RingCommand::Flush { delay }));
        assert_eq!(
            command(b"greet cache-a 7.000000000000001f"),
            Ok(RingCommand::Greet { name: "cache-a", stamp: STAMP, process: None })
        );
        for (word, seen) in [("-", None), ("000000000000beef", Some(Instance(0xbeef)))] {
            let line = format!("greet cache-a {stamp} 000000000000feed {word}");
            let process = Some(Greeter { instance: Instance(0xfeed), seen });
            assert_eq!(
                command(line.as_bytes()),
                Ok(RingCommand::Greet { name: "cache-a", stamp: STAMP, process })
            );
        }
        let proof = format!("prove {}", "0a".repeat(MAC_LEN));
        assert_eq!(command(proof.as_bytes()), Ok(RingCommand::Prove([10; MAC_LEN])));
        assert_eq!(
            command(b"forward 7.000000000000001f former"),
            Ok(RingCommand::Forward(Forwarding { stamp: STAMP, claim: Claim::Former }))
        );
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for line in [
            &b""[..],
            b"vers",
            b"version 1",
            b"owner",
            b"owner a b",
            b"greet a",
            b"forward",
            b"flush 1 2",
            b"prove",
            b"prove 0a 0a",
        ] {
            assert_eq!(command(line), Err(Refusal::RingUsage), "{line:?}");
        }
        for line in [
            &b"prove 0a"[..],
            b"get 7",
            b"greet a 7.000000000000001f feed -",
            b"greet a 7.000000000000001f 000000000000feed +",
            b"greet a 7.000000000000001f - -",
            b"get 7.1f",
            b"get 7.000000000000001F",
            b"get x.000000000000001f",
            b"get 18446744073709551616.000000000000001f",
        ] {
            assert_eq!(command(line), Err(Refusal::BadFormat), "{line:?}");
        }
    }

    #[test]
    fn offers_are_bounded() {
        let mac = "0a".repeat(MAC_LEN);
        let good = format!("offer {mac} 10");
        assert!(matches!(
            parse(Tokens::new(good.as_bytes())),
            Ok(RingRequest::Offer(RingOffer { len: 10, mac: [10, ..] }))
        ));
        let large = format!("offer {mac} {}", MAX_RING_LEN + 1);
        let refused = parse(Tokens::new(large.as_bytes())).err().unwrap();
        assert_eq!(
            (refused.refusal, refused.follows),
            (Refusal::RingTooLarge, Follows::Value(MAX_RING_LEN + 3))
        );
        let refused = parse(Tokens::new(b"offer 0a 10")).err().unwrap();
        assert_eq!((refused.refusal, refused.follows), (Refusal::BadFormat, Follows::Value(12)));
    }

    #[test]
    fn a_peer_line_goes_there_and_back() {
        let line = PeerLine {
            name: "cache-a".into(),
            instance: Instance(0xfeed),
            held: STAMP,
            base: STAMP,
            known: vec![Stamp { version: 6, digest: 2 }, STAMP],
            process: None,
        };
        assert_eq!(PeerLine::parse(line.to_string().as_bytes()), Some(line.clone()));
        for standing in Standing::ALL {
            for seen in [None, Some(Instance(7))] {
                let process = Some(PeerProcess { standing, seen, cas: u64::MAX, list: 7 });
                let long = PeerLine { process, ..line.clone() };
                assert_eq!(PeerLine::parse(long.to_string().as_bytes()), Some(long));
            }
        }
        let short = line.to_string();
        for more in [" confirmed", " confirmed - x", " lost - 1", " confirmed 7 1"] {
            assert_eq!(PeerLine::parse(format!("{short}{more}").as_bytes()), None, "{more}");
        }
        let many = PeerLine { known: vec![STAMP; PeerLine::MAX_KNOWN + 1], ..line };
        assert_eq!(PeerLine::parse(many.to_string().as_bytes()), None);
        assert_eq!(PeerLine::parse(b"ERROR"), None);
    }

    #[test]
    fn the_newest_ring_of_a_peer_may_be_held_or_only_known() {
        let at = |version, digest| Stamp { version, digest };
        let line = |held, known| PeerLine {
            name: "cache-a".into(),
            instance: Instance(0),
            held,
            base: held,
            known,
            process: None,
        };
        assert_eq!(line(STAMP, vec![]).newest(), STAMP);
        assert_eq!(line(STAMP, vec![at(6, u64::MAX), STAMP]).newest(), STAMP);
        assert_eq!(line(STAMP, vec![at(8, 0), STAMP, at(6, 2)]).newest(), at(8, 0));
        assert_eq!(line(STAMP, vec![at(7, 0x20)]).newest(), at(7, 0x20));
    }

    #[test]
    fn a_ring_header_is_read_and_bounded() {
        assert_eq!(parse_ring_header(b"RING 7 000000000000001f 120"), Some((STAMP, 120)));
        assert_eq!(parse_ring_header(b"RING 7 000000000000001f 99999999"), None);
        assert_eq!(parse_ring_header(b"ERROR"), None);
    }
}
