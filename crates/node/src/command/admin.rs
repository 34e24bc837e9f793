//! Commands without a key.

use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::{Admin, Dump, DumpTarget, MEMCACHED_VERSION, Refusal, Stats, answer};
use ringbinder_store::{ResizeResult, Store};

use super::long::Long;
use super::step::Step;
use super::{Context, refuse, reply};
use crate::net::connections::CloseReason;
use crate::net::output::Output;
use crate::observe::dump::{DumpForm, Items, Sizes};
use crate::observe::logging;
use crate::process::stop::StopCause;
use crate::sampling::{self, Class};
use crate::stats;
use crate::worker::shared::Shared;

/// The highest verbosity, as in memcached.
const MAX_VERBOSITY: u32 = 2;

/// The smallest and largest budgets that `cache_memlimit` accepts, in MiB.
const MEMLIMIT_MIB: std::ops::RangeInclusive<u32> = 8..=1_000_000_000;

/// Carries out a command. Returns the connection's next step, if there is one.
pub(crate) fn execute(context: &Context<'_>, admin: &Admin<'_>, out: &mut Output) -> Option<Step> {
    context.offer(Class::Other, None, true, out);
    let shared = context.shared;
    match *admin {
        Admin::Noop => answer::line(&mut out.bytes, "MN"),
        Admin::Version => {
            out.bytes.extend_from_slice(b"VERSION ");
            answer::line(&mut out.bytes, MEMCACHED_VERSION);
        }
        Admin::Quit => return Some(Step::Close(CloseReason::Normal)),
        Admin::Verbosity { level, noreply } => {
            let level = u8::try_from(level.min(MAX_VERBOSITY)).unwrap_or(u8::MAX);
            shared.verbosity.store(level, Relaxed);
            logging::set_verbosity(level);
            reply(out, noreply, "OK");
        }
        Admin::FlushAll { delay, noreply } => return flush_all(context, delay, noreply, out),
        Admin::CacheMemlimit { megabytes, noreply } => {
            memlimit(context, megabytes, noreply, out);
        }
        Admin::Shutdown { graceful } => return shutdown(context, graceful, out),
        Admin::Stats(what) => return statistics(context, what, out),
        Admin::Dump { dump, target } => return crawl(context, Some(dump), target, out),
        Admin::Crawl { target } => return crawl(context, None, target, out),
        Admin::Crawler { enable } => {
            let was = shared.crawler_enabled.swap(enable, Relaxed);
            if enable && was {
                answer::refusal(&mut out.bytes, Refusal::CrawlerRunning);
            } else {
                answer::line(&mut out.bytes, "OK");
            }
        }
        Admin::Watch { flags } => {
            if shared.settings.disable_watch {
                answer::refusal(&mut out.bytes, Refusal::WatchDisabled);
            } else if !out.is_empty() {
                answer::refusal(&mut out.bytes, Refusal::WatchInPipeline);
            } else {
                match flags {
                    Ok(flags) => return Some(Step::Watch(flags)),
                    Err(refusal) => answer::refusal(&mut out.bytes, refusal),
                }
            }
        }
        Admin::RefreshCerts => return Some(Step::Refresh),
        Admin::Harmless { answer, noreply } => reply(out, noreply, answer),
    }
    None
}

/// `flush_all`: on every node of the ring if this node forwards requests, else on this node.
fn flush_all(
    context: &Context<'_>,
    delay: Result<i64, Refusal>,
    noreply: bool,
    out: &mut Output,
) -> Option<Step> {
    let delay = match may_flush(context, delay) {
        Ok(delay) => delay,
        Err(refusal) => {
            refuse(out, noreply, refusal);
            return None;
        }
    };
    match context.router {
        Some(router) if router.flushes_everywhere() => Some(Step::FlushAll { delay, noreply }),
        router => {
            flush_store(context.shared, delay);
            let name = context.shared.ring.as_ref().map(|ring| ring.name()).unwrap_or_default();
            let moved = router.is_some_and(|router| router.is_not_the_last_word(&name));
            reply(out, noreply, if moved { "MOVED" } else { "OK" });
            None
        }
    }
}

/// `ring flush`: empties this node and no other.
pub(crate) fn flush_here(context: &Context<'_>, delay: Result<i64, Refusal>, out: &mut Output) {
    match may_flush(context, delay) {
        Ok(delay) => {
            flush_store(context.shared, delay);
            answer::line(&mut out.bytes, "OK");
        }
        Err(refusal) => answer::refusal(&mut out.bytes, refusal),
    }
}

/// Counts a flush, and decides whether this node carries it out.
fn may_flush(context: &Context<'_>, delay: Result<i64, Refusal>) -> Result<i64, Refusal> {
    context.counters.cmd_flush.increment();
    if context.shared.settings.disable_flush_all { Err(Refusal::FlushDisabled) } else { delay }
}

/// Empties the store, at once or after the delay. `delay` is an exptime; zero or less means at
/// once.
pub(crate) fn flush_store(shared: &Shared, delay: i64) {
    let now = shared.clock.now();
    let at = shared.clock.expiry(delay.max(0), now).unix().unwrap_or(now);
    shared.flushed_at.store(at.max(now), Relaxed);
    shared.store.flush(at, now);
}

fn memlimit(context: &Context<'_>, megabytes: u32, noreply: bool, out: &mut Output) {
    let answer = if megabytes < *MEMLIMIT_MIB.start() {
        "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"
    } else if megabytes > *MEMLIMIT_MIB.end() {
        "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"
    } else {
        match context.shared.store.resize(u64::from(megabytes) << 20) {
            ResizeResult::Done => {
                tracing::info!("the memory limit is now {megabytes} MiB");
                "OK"
            }
            ResizeResult::Refused => "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust",
        }
    };
    reply(out, noreply, answer);
}

fn shutdown(
    context: &Context<'_>,
    graceful: Result<bool, Refusal>,
    out: &mut Output,
) -> Option<Step> {
    if !context.shared.settings.enable_shutdown {
        answer::refusal(&mut out.bytes, Refusal::ShutdownDisabled);
        return None;
    }
    match graceful {
        Ok(_) => {
            context.shared.stop.because(StopCause::Shutdown);
            Some(Step::Close(CloseReason::Shutdown))
        }
        Err(refusal) => {
            answer::refusal(&mut out.bytes, refusal);
            None
        }
    }
}

fn statistics(context: &Context<'_>, what: Stats<'_>, out: &mut Output) -> Option<Step> {
    let shared = context.shared;
    let bytes = &mut out.bytes;
    match what {
        Stats::General => stats::general(shared, bytes),
        Stats::Settings => stats::settings(shared, bytes),
        Stats::Items => stats::items(shared, bytes),
        Stats::Slabs => stats::slabs(shared, bytes),
        Stats::Sizes if shared.settings.track_sizes => {
            return Some(Step::Long(Long::Sizes(Sizes::default())));
        }
        Stats::Sizes => stats::sizes_disabled(bytes),
        Stats::Conns => return Some(Step::Long(Long::Connections(None))),
        Stats::Ring => return Some(Step::Long(Long::RingStatus(None))),
        // There is no external storage, and a memcached without it answers the same.
        Stats::Extstore => answer::line(bytes, "END"),
        Stats::HotKeys if shared.settings.disable_dumping => {
            answer::refusal(bytes, Refusal::HotKeysDisabled);
        }
        Stats::HotKeys => sampling::hot_keys(shared, bytes),
        Stats::Latency => sampling::latency(shared, bytes),
        Stats::Reset => {
            stats::reset(shared);
            answer::line(bytes, "RESET");
        }
        Stats::Detail(_) | Stats::DetailDump | Stats::DetailUsage
            if shared.settings.disable_dumping =>
        {
            answer::refusal(bytes, Refusal::DetailDisabled);
        }
        Stats::Detail(on) => {
            shared.prefixes.enable(on);
            answer::line(bytes, "OK");
        }
        Stats::DetailDump => return Some(Step::Long(Long::Prefixes(0))),
        Stats::DetailUsage => answer::refusal(bytes, Refusal::DetailUsage),
        Stats::Cachedump(_) if shared.settings.disable_dumping => {
            answer::refusal(bytes, Refusal::CachedumpDisabled);
        }
        Stats::Cachedump(Err(refusal)) => answer::refusal(bytes, refusal),
        Stats::Cachedump(Ok((1, limit))) => {
            return Some(Step::Long(Long::Items(Items::new(DumpForm::Cachedump(limit)))));
        }
        Stats::Cachedump(Ok(_)) => answer::line(bytes, "END"),
        Stats::Unknown(_) => answer::refusal(bytes, Refusal::Unknown),
    }
    None
}

/// Starts a dump, or a pass that removes dead items.
fn crawl(
    context: &Context<'_>,
    dump: Option<Dump>,
    target: DumpTarget,
    out: &mut Output,
) -> Option<Step> {
    let shared = context.shared;
    let (disabled, in_pipeline) = match dump {
        None => (None, None),
        Some(Dump::Meta) => (Some(Refusal::MetadumpDisabled), Some(Refusal::MetadumpInPipeline)),
        Some(Dump::MetaGet) => (Some(Refusal::MgdumpDisabled), Some(Refusal::MgdumpInPipeline)),
    };
    let refusal = if !shared.crawler_enabled.load(Relaxed) {
        Some(Refusal::CrawlerDisabled)
    } else if shared.settings.disable_dumping {
        disabled
    } else if !out.is_empty() {
        in_pipeline
    } else {
        None
    };
    if let Some(refusal) = refusal {
        answer::refusal(&mut out.bytes, refusal);
        return None;
    }
    match (target, dump) {
        (DumpTarget::BadClass, _) => answer::line(&mut out.bytes, "BADCLASS invalid class id"),
        (DumpTarget::Nothing, Some(dump)) => {
            answer::line(&mut out.bytes, "OK");
            answer::line(&mut out.bytes, if dump == Dump::MetaGet { "EN" } else { "END" });
        }
        (DumpTarget::Nothing, None) => answer::line(&mut out.bytes, "OK"),
        (DumpTarget::Everything, Some(dump)) => {
            return Some(Step::Long(Long::Items(Items::new(DumpForm::Crawler(dump)))));
        }
        (DumpTarget::Everything, None) => {
            shared.sweep_wanted.notify_one();
            answer::line(&mut out.bytes, "OK");
        }
    }
    None
}
