//! Commands without a key: statistics, flushing, dumps, watching, tuning.
//!
//! Tuning commands that have no effect here are parsed nevertheless, because operators' scripts
//! send them. A well-formed one is [`Admin::Harmless`]; a malformed one gets memcached's answer.

use crate::number::{float, signed, unsigned32};
use crate::refusal::Refused;
use crate::{Refusal, Tokens};

/// Highest slab class number in memcached.
const MAX_SLAB_CLASS: u32 = 64;

/// A request without a key: the node that receives it carries it out.
#[derive(Clone, Copy, Debug)]
pub enum Admin<'a> {
    /// `mn`
    Noop,
    /// `version`
    Version,
    /// `quit`
    Quit,
    /// `verbosity level`
    Verbosity {
        /// 0 to 2^32 - 1.
        level: u32,
        /// The client wants no answer.
        noreply: bool,
    },
    /// `flush_all [delay]`
    FlushAll {
        /// The delay as an exptime; zero or negative means now. The error is reported only if
        /// flushing is not disabled.
        delay: Result<i64, Refusal>,
        /// The client wants no answer.
        noreply: bool,
    },
    /// `cache_memlimit megabytes`
    CacheMemlimit {
        /// The new budget in MiB.
        megabytes: u32,
        /// The client wants no answer.
        noreply: bool,
    },
    /// `shutdown [graceful]`
    Shutdown {
        /// Whether the client sent `graceful`; or the error.
        graceful: Result<bool, Refusal>,
    },
    /// `stats [what]`
    Stats(Stats<'a>),
    /// `lru_crawler metadump what`, `lru_crawler mgdump what`
    Dump {
        /// The form of the dump.
        dump: Dump,
        /// Whether this server's only slab class is among those requested. The error is reported
        /// after all others.
        target: DumpTarget,
    },
    /// `lru_crawler enable`, `lru_crawler disable`
    Crawler {
        /// Enable if true.
        enable: bool,
    },
    /// `lru_crawler crawl what`
    Crawl {
        /// As for [`Admin::Dump`].
        target: DumpTarget,
    },
    /// `watch what...`
    Watch {
        /// The requested streams, or the error that one of them does not exist.
        flags: Result<WatchFlags, Refusal>,
    },
    /// `refresh_certs`: read the certificates again.
    RefreshCerts,
    /// A well-formed tuning command without effect; the answer is fixed.
    Harmless {
        /// The answer that memcached would give.
        answer: &'static str,
        /// The client wants no answer.
        noreply: bool,
    },
}

/// The form of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// `key=... exp=...` lines.
    Meta,
    /// `mg key` lines.
    MetaGet,
}

/// The items that a crawl or dump covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpTarget {
    /// All items.
    Everything,
    /// None: classes that are empty here.
    Nothing,
    /// Not a valid class.
    BadClass,
}

/// The argument of `stats`.
#[derive(Clone, Copy, Debug)]
pub enum Stats<'a> {
    /// The general statistics.
    General,
    /// `settings`
    Settings,
    /// `items`
    Items,
    /// `slabs`
    Slabs,
    /// `sizes`, and the older `sizes_enable` and `sizes_disable`
    Sizes,
    /// `conns`
    Conns,
    /// `extstore`
    Extstore,
    /// `ring`
    Ring,
    /// `hotkeys`
    HotKeys,
    /// `latency`
    Latency,
    /// `reset`
    Reset,
    /// `detail on`, `off`
    Detail(bool),
    /// `detail dump`
    DetailDump,
    /// `detail` with another word
    DetailUsage,
    /// `cachedump class limit`
    Cachedump(Result<(u32, u32), Refusal>),
    /// Any other argument.
    Unknown(&'a [u8]),
}

/// The streams of `watch`, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchFlags(u8);

impl WatchFlags {
    /// Item reads.
    pub const FETCHERS: WatchFlags = WatchFlags(1);
    /// Item stores.
    pub const MUTATIONS: WatchFlags = WatchFlags(2);
    /// Evictions.
    pub const EVICTIONS: WatchFlags = WatchFlags(4);
    /// Connections opened and closed.
    pub const CONNEVENTS: WatchFlags = WatchFlags(8);
    /// Deletions.
    pub const DELETIONS: WatchFlags = WatchFlags(16);

    /// The union of both.
    #[must_use]
    pub fn with(self, other: WatchFlags) -> WatchFlags {
        WatchFlags(self.0 | other.0)
    }

    /// Whether the two have a stream in common.
    pub fn intersects(self, other: WatchFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits, for an atomic.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The inverse of [`WatchFlags::bits`].
    pub fn from_bits(bits: u8) -> WatchFlags {
        WatchFlags(bits)
    }
}

type Outcome<'a> = Result<Admin<'a>, Refused>;

pub(crate) fn parse<'a>(command: &[u8], words: Tokens<'a>) -> Outcome<'a> {
    match command {
        b"mn" => Ok(Admin::Noop),
        b"version" => Ok(Admin::Version),
        b"quit" => Ok(Admin::Quit),
        b"stats" => Ok(Admin::Stats(stats(words))),
        b"verbosity" => verbosity(words),
        b"flush_all" => flush_all(words),
        b"cache_memlimit" => cache_memlimit(words),
        b"shutdown" => Ok(Admin::Shutdown { graceful: shutdown(words) }),
        b"watch" => Ok(Admin::Watch { flags: watch(words) }),
        b"lru_crawler" => lru_crawler(words),
        b"lru" => lru(words),
        b"slabs" => slabs(words),
        // memcached ignores further words.
        b"refresh_certs" => Ok(Admin::RefreshCerts),
        b"extstore" => extstore(words),
        _ => Err(Refused::from(Refusal::Unknown).quiet_if(words.ends_in_noreply())),
    }
}

/// The first word as a number; further words are ignored.
fn number(mut words: Tokens<'_>, otherwise: Refusal) -> Result<(u32, bool), Refused> {
    let noreply = words.ends_in_noreply();
    match words.next().and_then(unsigned32) {
        Some(number) => Ok((number, noreply)),
        None => Err(Refused::from(otherwise).quiet_if(noreply)),
    }
}

fn verbosity(words: Tokens<'_>) -> Outcome<'_> {
    let (level, noreply) = number(words, Refusal::BadFormat)?;
    Ok(Admin::Verbosity { level, noreply })
}

fn flush_all(mut words: Tokens<'_>) -> Outcome<'_> {
    let noreply = words.ends_in_noreply();
    let delay = match words.next() {
        None => Ok(0),
        Some(_) if noreply && words.is_exhausted() => Ok(0),
        Some(word) => signed(word).ok_or(Refusal::BadExptime),
    };
    Ok(Admin::FlushAll { delay, noreply })
}

fn cache_memlimit(words: Tokens<'_>) -> Outcome<'_> {
    let (megabytes, noreply) = number(words, Refusal::Unknown)?;
    Ok(Admin::CacheMemlimit { megabytes, noreply })
}

fn shutdown(mut words: Tokens<'_>) -> Result<bool, Refusal> {
    match (words.next(), words.next()) {
        (None, _) => Ok(false),
        (Some(b"graceful"), None) => Ok(true),
        _ => Err(Refusal::BadShutdownMode),
    }
}

fn stats(mut words: Tokens<'_>) -> Stats<'_> {
    let Some(what) = words.next() else {
        return Stats::General;
    };
    match what {
        b"settings" => Stats::Settings,
        b"items" => Stats::Items,
        b"slabs" => Stats::Slabs,
        b"sizes" => Stats::Sizes,
        b"conns" => Stats::Conns,
        b"extstore" => Stats::Extstore,
        b"ring" => Stats::Ring,
        b"hotkeys" => Stats::HotKeys,
        b"latency" => Stats::Latency,
        b"reset" => Stats::Reset,
        b"detail" => match words.next() {
            Some(b"on") => Stats::Detail(true),
            Some(b"off") => Stats::Detail(false),
            Some(b"dump") => Stats::DetailDump,
            _ => Stats::DetailUsage,
        },
        b"cachedump" => Stats::Cachedump(cachedump(words)),
        _ => Stats::Unknown(what),
    }
}

fn cachedump(mut words: Tokens<'_>) -> Result<(u32, u32), Refusal> {
    let (Some(class), Some(limit)) = (words.next(), words.next()) else {
        return Err(Refusal::BadStatsLine);
    };
    let (Some(class), Some(limit)) = (unsigned32(class), unsigned32(limit)) else {
        return Err(Refusal::BadFormat);
    };
    if class >= MAX_SLAB_CLASS {
        return Err(Refusal::BadSlabClass);
    }
    Ok((class, limit))
}

fn watch(words: Tokens<'_>) -> Result<WatchFlags, Refusal> {
    if words.is_exhausted() {
        return Ok(WatchFlags::FETCHERS);
    }
    words.into_iter().try_fold(WatchFlags::default(), |flags, word| {
        Ok(flags.with(match word {
            b"fetchers" => WatchFlags::FETCHERS,
            b"mutations" => WatchFlags::MUTATIONS,
            b"evictions" => WatchFlags::EVICTIONS,
            b"connevents" => WatchFlags::CONNEVENTS,
            b"deletions" => WatchFlags::DELETIONS,
            // Valid streams that never carry anything here.
            b"rawcmds" | b"sysevents" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => flags,
            _ => return Err(Refusal::Unknown),
        }))
    })
}

fn dump_target(word: &[u8]) -> DumpTarget {
    if word == b"all" || word == b"hash" {
        return DumpTarget::Everything;
    }
    let mut target = DumpTarget::Nothing;
    for class in word.split(|&byte| byte == b',').filter(|class| !class.is_empty()) {
        match unsigned32(class) {
            Some(1) => target = DumpTarget::Everything,
            Some(2..MAX_SLAB_CLASS) => {}
            _ => return DumpTarget::BadClass,
        }
    }
    target
}

fn lru_crawler(words: Tokens<'_>) -> Outcome<'_> {
    if let Some([word]) = words.exactly::<1>() {
        return match word {
            b"enable" => Ok(Admin::Crawler { enable: true }),
            b"disable" => Ok(Admin::Crawler { enable: false }),
            _ => Err(Refusal::Unknown.into()),
        };
    }
    let Some([word, argument]) = words.exactly::<2>() else {
        return Err(Refusal::Unknown.into());
    };
    match word {
        b"crawl" => Ok(Admin::Crawl { target: dump_target(argument) }),
        b"metadump" => Ok(Admin::Dump { dump: Dump::Meta, target: dump_target(argument) }),
        b"mgdump" => Ok(Admin::Dump { dump: Dump::MetaGet, target: dump_target(argument) }),
        b"tocrawl" => harmless(unsigned32(argument).is_some(), Refusal::BadFormat, false),
        b"sleep" => match unsigned32(argument) {
            Some(0..=1_000_000) => harmless(true, Refusal::BadFormat, false),
            Some(_) => Err(Refusal::CrawlerSleep.into()),
            None => Err(Refusal::BadFormat.into()),
        },
        _ => Err(Refusal::Unknown.into()),
    }
}

fn harmless<'a>(good: bool, otherwise: Refusal, noreply: bool) -> Outcome<'a> {
    if good {
        Ok(Admin::Harmless { answer: "OK", noreply })
    } else {
        Err(Refused::from(otherwise).quiet_if(noreply))
    }
}

fn lru(mut words: Tokens<'_>) -> Outcome<'_> {
    let noreply = words.ends_in_noreply();
    let unknown = || Refused::from(Refusal::Unknown).quiet_if(noreply);
    let what = words.next().ok_or(Refusal::Unknown)?;
    let mut word = || words.next().ok_or_else(unknown);
    match what {
        b"tune" => {
            let (hot, warm, hot_factor, warm_factor) = (word()?, word()?, word()?, word()?);
            let shares = unsigned32(hot).zip(unsigned32(warm)).ok_or_else(unknown)?;
            let factors = float(hot_factor).zip(float(warm_factor)).ok_or_else(unknown)?;
            if u64::from(shares.0) + u64::from(shares.1) > 80 {
                return Err(Refused::from(Refusal::LruShares).quiet_if(noreply));
            }
            let positive = factors.0 > 0.0 && factors.1 > 0.0;
            harmless(positive, Refusal::LruFactors, noreply)
        }
        b"mode" => {
            let mode = word()?;
            harmless(mode == b"flat" || mode == b"segmented", Refusal::Unknown, noreply)
        }
        b"temp_ttl" => harmless(signed(word()?).is_some(), Refusal::Unknown, noreply),
        _ => Err(unknown()),
    }
}

fn slabs(mut words: Tokens<'_>) -> Outcome<'_> {
    let noreply = words.ends_in_noreply();
    match words.next() {
        Some(b"reassign") => {
            let [from, to] = words.exactly::<2>().ok_or(Refusal::Unknown)?;
            let (Some(from), Some(to)) = (signed(from), signed(to)) else {
                return Err(Refusal::BadFormat.into());
            };
            Ok(Admin::Harmless { answer: reassign(from, to), noreply: false })
        }
        Some(b"automove") => automove(words, noreply),
        _ => Err(Refusal::Unknown.into()),
    }
}

/// The answer of memcached if there are no pages to move, as is always the case here.
fn reassign(from: i64, to: i64) -> &'static str {
    let class = |class: i64| (0..i64::from(MAX_SLAB_CLASS)).contains(&class);
    if from == to {
        "SAME src and dst class are identical"
    } else if !(from == -1 || class(from)) || !class(to) {
        "BADCLASS invalid src or dst class id"
    } else {
        "NOSPARE source class has no spare pages"
    }
}

fn automove(mut words: Tokens<'_>, noreply: bool) -> Outcome<'_> {
    match words.next().ok_or(Refusal::Unknown)? {
        b"ratio" | b"freeratio" => {
            harmless(words.next().and_then(float).is_some(), Refusal::Unknown, noreply)
        }
        b"window" => match words.next().and_then(unsigned32) {
            Some(3..=1800) => harmless(true, Refusal::BadFormat, noreply),
            Some(_) => Err(Refused::from(Refusal::AutomoveWindow).quiet_if(noreply)),
            None => Err(Refused::from(Refusal::BadFormat).quiet_if(noreply)),
        },
        level => match unsigned32(level) {
            Some(0..=2) => harmless(true, Refusal::Unknown, noreply),
            Some(_) => Err(Refused::from(Refusal::Unknown).quiet_if(noreply)),
            None => Err(Refused::from(Refusal::BadFormat).quiet_if(noreply)),
        },
    }
}

fn extstore(mut words: Tokens<'_>) -> Outcome<'_> {
    let noreply = words.ends_in_noreply();
    let what = words.next().ok_or(Refusal::Unknown)?;
    let argument = words.next();
    let good = match what {
        b"item_size" | b"item_age" | b"low_ttl" | b"recache_rate" | b"compact_under"
        | b"drop_under" | b"max_sleep" | b"drop_unread" => argument.and_then(unsigned32).is_some(),
        b"max_frag" => argument.and_then(float).is_some(),
        b"free_memchunks" => {
            argument.and_then(unsigned32).is_some_and(|class| class < MAX_SLAB_CLASS)
                && words.next().and_then(unsigned32).is_some()
        }
        _ => false,
    };
    harmless(good, Refusal::Unknown, noreply)
}
