//! The options that may follow `-o`: every name that memcached 1.6 knows, and its effect here.
//!
//! [`EXTENDED`] is the only list of them: parsing, the help and the test of the manual read it. An
//! option either sets one of our own settings, or shows in `stats settings`. If it only shows, it
//! is accepted with a warning that explains why it has no effect.

use super::error::SettingsError;
use super::figures::Figures;

/// One name after `-o`.
pub(super) struct ExtendedOption {
    /// The name as written.
    pub(super) name: &'static str,
    takes: Takes,
    does: &'static [Does],
    /// For an option without effect: the reason.
    pub(super) why_idle: &'static str,
}

impl ExtendedOption {
    /// Whether it changes the server's behaviour.
    pub(super) fn has_effect(&self) -> bool {
        self.does
            .iter()
            .any(|does| matches!(does, Does::Set(_) | Does::SetTo(..) | Does::ActAs(..)))
    }
}

/// The names of all options with an effect here, or of all without, for the help.
pub(super) fn names(effect: bool) -> String {
    let options = EXTENDED.iter().filter(|option| option.has_effect() == effect);
    options.map(|option| option.name).collect::<Vec<_>>().join(", ")
}

/// The value that an option may have after an equals sign.
enum Takes {
    /// None. A given value is ignored, as memcached does.
    Nothing,
    /// Any text.
    Text,
    /// Any text, or no value, which then means the given one.
    OptionalText(&'static str),
    /// A whole number within two bounds, or no value, which then means the given one.
    OptionalWhole(u64, u64, &'static str),
    /// Ascending sizes of slab classes in bytes, separated by hyphens.
    SlabSizes,
    /// `FILE:SIZE` or `FILE:SIZE:BUCKET`, with a unit in the size. May not be empty.
    ExternalFile,
    /// A whole number within two bounds, shown multiplied by the third number.
    Whole(u64, u64, u64),
    /// A fraction within two bounds, shown with this many decimals.
    Fraction(f64, f64, usize),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// The effect of an option.
enum Does {
    /// The value goes to this key.
    Set(&'static str),
    /// This key gets this value.
    SetTo(&'static str, &'static str),
    /// The value shows in this line of `stats settings`.
    Show(&'static str),
    /// Does the same as [`Does::ShowAs`], and the server acts by the shown value.
    ActAs(&'static str, &'static str),
    /// This line of `stats settings` shows this value.
    ShowAs(&'static str, &'static str),
}

use Does::{ActAs, Set, SetTo, Show, ShowAs};
use Takes::{
    ExternalFile, Fraction, Nothing, OptionalText, OptionalWhole, SlabSizes, Text, Whole, Word,
};

const fn option(
    name: &'static str,
    takes: Takes,
    does: &'static [Does],
    why_idle: &'static str,
) -> ExtendedOption {
    ExtendedOption { name, takes, does, why_idle }
}

const ACTS: &str = "";
const TABLE: &str = "the hash table sizes itself";
const SLABS: &str = "memory is not divided into slabs";
const LRU: &str = "there is no segmented LRU to tune";
const CRAWLER: &str = "the crawler sets its own pace";
const BUFFERS: &str = "an idle connection holds no buffers";
const ANSWERS: &str = "answers have one form only";
const STORAGE: &str = "items are kept in memory only";
const PEM: &str = "keys are read in PEM";
const SUITES: &str = "only secure cipher suites are supported";
const RECORDS: &str = "answers are encrypted record by record";
const KERNEL: &str = "encryption stays in the process";
const SANDBOX: &str = "privileges are dropped with -u only";
const COOKIES: &str = "sockets carry no cookie";
const CURRENT: &str = "the defaults are already modern";

const SIZE: u64 = u32::MAX as u64;
const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;

/// Every name; those with an effect come first.
pub(super) const EXTENDED: &[ExtendedOption] = &[
    option("maxconns_fast", Nothing, &[SetTo("maxconns_fast", "true")], ACTS),
    option("no_maxconns_fast", Nothing, &[SetTo("maxconns_fast", "false")], ACTS),
    option("idle_timeout", Text, &[Set("idle_timeout")], ACTS),
    option("track_sizes", Nothing, &[SetTo("track_sizes", "true")], ACTS),
    option("watcher_logbuf_size", Text, &[Set("watcher_logbuf_size")], ACTS),
    option("worker_logbuf_size", Text, &[Set("worker_logbuf_size")], ACTS),
    option("ssl_chain_cert", Text, &[Set("ssl_chain_cert")], ACTS),
    option("ssl_key", Text, &[Set("ssl_key")], ACTS),
    option("ssl_ca_cert", Text, &[Set("ssl_ca_cert")], ACTS),
    option("ssl_verify_mode", Text, &[Set("ssl_verify_mode")], ACTS),
    option("ssl_min_version", Text, &[Set("ssl_min_version")], ACTS),
    option("ssl_session_cache", Nothing, &[SetTo("ssl_session_cache", "true")], ACTS),
    option(
        "no_modern",
        Nothing,
        &[
            SetTo("maxconns_fast", "false"),
            ShowAs("slab_chunk_max", "1048576"),
            ShowAs("slab_reassign", "no"),
            ShowAs("slab_automove", "0"),
            ShowAs("lru_segmented", "no"),
            ActAs("lru_crawler", "no"),
            ShowAs("lru_maintainer_thread", "no"),
            ShowAs("hash_algorithm", "jenkins"),
        ],
        ACTS,
    ),
    option("lru_crawler", Nothing, &[ActAs("lru_crawler", "yes")], ACTS),
    option("no_lru_crawler", Nothing, &[ActAs("lru_crawler", "no")], ACTS),
    option("modern", Nothing, &[], CURRENT),
    option("hashpower", Whole(12, 32, 1), &[Show("hashpower_init")], TABLE),
    option("no_hashexpand", Nothing, &[], TABLE),
    option("hash_algorithm", Word(HASHES), &[Show("hash_algorithm")], TABLE),
    option("tail_repair_time", Whole(10, SIZE, 1), &[Show("tail_repair_time")], LRU),
    option("slab_reassign", Nothing, &[ShowAs("slab_reassign", "yes")], SLABS),
    option("no_slab_reassign", Nothing, &[ShowAs("slab_reassign", "no")], SLABS),
    option("slab_automove", OptionalWhole(0, 2, "1"), &[Show("slab_automove")], SLABS),
    option("no_slab_automove", Nothing, &[ShowAs("slab_automove", "0")], SLABS),
    option("slab_automove_ratio", Fraction(0.0, 1.0, 2), &[Show("slab_automove_ratio")], SLABS),
    option("slab_automove_window", Whole(3, 1800, 1), &[Show("slab_automove_window")], SLABS),
    option("slab_automove_freeratio", ANY, &[Show("slab_automove_freeratio")], SLABS),
    option("slab_sizes", SlabSizes, &[], SLABS),
    option("slab_chunk_max", Whole(1, 1024, KB), &[Show("slab_chunk_max")], SLABS),
    option("no_chunked_items", Nothing, &[ShowAs("slab_chunk_max", "1048576")], SLABS),
    option("lru_crawler_sleep", Whole(0, 1_000_000, 1), &[Show("lru_crawler_sleep")], CRAWLER),
    option("lru_crawler_tocrawl", Whole(0, SIZE, 1), &[Show("lru_crawler_tocrawl")], CRAWLER),
    option("lru_maintainer", Nothing, MAINTAINER, LRU),
    option("no_lru_maintainer", Nothing, NO_MAINTAINER, LRU),
    option("hot_lru_pct", Whole(1, 79, 1), &[Show("hot_lru_pct")], LRU),
    option("warm_lru_pct", Whole(1, 79, 1), &[Show("warm_lru_pct")], LRU),
    option(
        "hot_max_factor",
        Fraction(f64::MIN_POSITIVE, f64::MAX, 2),
        &[Show("hot_max_factor")],
        LRU,
    ),
    option(
        "warm_max_factor",
        Fraction(f64::MIN_POSITIVE, f64::MAX, 2),
        &[Show("warm_max_factor")],
        LRU,
    ),
    option("temporary_ttl", Whole(0, SIZE, 1), TEMPORARY, LRU),
    option("inline_ascii_resp", Nothing, &[], ANSWERS),
    option("no_inline_ascii_resp", Nothing, &[], ANSWERS),
    option("resp_obj_mem_limit", OptionalText(""), &[], BUFFERS),
    option("read_buf_mem_limit", Whole(0, 4095, MB), &[Show("read_buf_mem_limit")], BUFFERS),
    option("drop_privileges", Nothing, &[ShowAs("drop_privileges", "yes")], SANDBOX),
    option("no_drop_privileges", Nothing, &[ShowAs("drop_privileges", "no")], SANDBOX),
    option("relaxed_privileges", Nothing, &[], SANDBOX),
    option("sock_cookie_id", Text, &[], COOKIES),
    option("ext_path", ExternalFile, &[], STORAGE),
    option("ext_page_size", Whole(0, SIZE, 1), &[], STORAGE),
    option("ext_wbuf_size", Whole(0, 4095, MB), &[Show("ext_wbuf_size")], STORAGE),
    option("ext_threads", Whole(0, SIZE, 1), &[], STORAGE),
    option("ext_io_depth", Whole(0, SIZE, 1), &[], STORAGE),
    option("ext_item_size", Whole(0, SIZE, 1), &[Show("ext_item_size")], STORAGE),
    option("ext_item_age", Whole(0, SIZE, 1), &[Show("ext_item_age")], STORAGE),
    option("ext_low_ttl", Whole(0, SIZE, 1), &[Show("ext_low_ttl")], STORAGE),
    option("ext_recache_rate", Whole(0, SIZE, 1), &[Show("ext_recache_rate")], STORAGE),
    option("ext_compact_under", Whole(0, SIZE, 1), &[Show("ext_compact_under")], STORAGE),
    option("ext_drop_under", Whole(0, SIZE, 1), &[Show("ext_drop_under")], STORAGE),
    option("ext_max_sleep", Whole(0, SIZE, 1), &[Show("ext_max_sleep")], STORAGE),
    option("ext_max_frag", Fraction(0.0, f64::MAX, 2), &[Show("ext_max_frag")], STORAGE),
    option("ext_drop_unread", Nothing, &[ShowAs("ext_drop_unread", "yes")], STORAGE),
    option("ssl_keyformat", Text, &[], PEM),
    option("ssl_ciphers", Text, &[], SUITES),
    option("ssl_wbuf_size", Whole(0, 4095, KB), &[Show("ssl_wbuf_size")], RECORDS),
    option("ssl_kernel_tls", Nothing, &[], KERNEL),
];

const HASHES: &[&str] = &["jenkins", "murmur3", "xxh3"];
const ANY: Takes = Fraction(0.0, f64::MAX, 3);
const MAINTAINER: &[Does] =
    &[ShowAs("lru_maintainer_thread", "yes"), ShowAs("lru_segmented", "yes")];
const NO_MAINTAINER: &[Does] =
    &[ShowAs("lru_maintainer_thread", "no"), ShowAs("lru_segmented", "no")];
const TEMPORARY: &[Does] = &[Show("temporary_ttl"), ShowAs("temp_lru", "yes")];

/// The result of a command line's `-o` options.
#[derive(Debug, Default)]
pub(super) struct Extended {
    /// Keys and their values as text, in the order given; a later one wins.
    pub(super) keys: Vec<(&'static str, String)>,
    /// The lines of `stats settings` that change.
    pub(super) figures: Figures,
    /// One line for each option without effect.
    pub(super) warnings: Vec<String>,
}

/// Parses the comma separated lists that follow `-o`.
pub(super) fn parse(lists: &[String]) -> Result<Extended, SettingsError> {
    let mut extended = Extended::default();
    for list in lists.iter().map(|list| list.trim()).filter(|list| !list.is_empty()) {
        // memcached accepts one comma at the end.
        for part in list.strip_suffix(',').unwrap_or(list).split(',') {
            apply(part, &mut extended)?;
        }
    }
    Ok(extended)
}

fn apply(part: &str, extended: &mut Extended) -> Result<(), SettingsError> {
    let (name, value) = match part.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (part, None),
    };
    if name.starts_with("proxy_") {
        return Err(SettingsError::Unsupported {
            what: format!("-o {name}"),
            instead: "ringbinderd is a cache and not a proxy; leave it out".into(),
        });
    }
    let option = EXTENDED
        .iter()
        .find(|option| option.name == name)
        .ok_or_else(|| SettingsError::UnknownExtended(name.into()))?;
    let value = option.takes.read(value).map_err(|reason| SettingsError::Value {
        place: format!("-o {name}"),
        reason,
        on_command_line: true,
    })?;
    for does in option.does {
        match *does {
            Set(key) => extended.keys.push((key, value.clone())),
            SetTo(key, text) => extended.keys.push((key, text.into())),
            Show(line) => extended.figures.set(line, value.as_str()),
            ShowAs(line, text) | ActAs(line, text) => extended.figures.set(line, text),
        }
    }
    if !option.has_effect() {
        extended.warnings.push(format!("-o {name} has no effect: {}", option.why_idle));
    }
    Ok(())
}

impl Takes {
    /// The value as `stats settings` shows it, or the problem with it.
    fn read(&self, given: Option<&str>) -> Result<String, String> {
        let required =
            || given.filter(|value| !value.is_empty()).ok_or("needs a value after an equals sign");
        match self {
            Self::OptionalWhole(min, max, default) => match given {
                None => Ok((*default).to_owned()),
                Some(_) => Self::Whole(*min, *max, 1).read(given),
            },
            Self::SlabSizes => slab_sizes(required()?),
            Self::ExternalFile => external_file(required()?),
            Self::Nothing => Ok(String::new()),
            Self::Text => Ok(required()?.to_owned()),
            Self::OptionalText(default) => Ok(given.unwrap_or(default).to_owned()),
            Self::Whole(min, max, scale) => required()?
                .trim()
                .parse()
                .ok()
                .filter(|number: &u64| (min..=max).contains(&number))
                .map(|number| (number * scale).to_string())
                .ok_or_else(|| format!("must be a whole number from {min} to {max}")),
            Self::Fraction(min, max, places) => required()?
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number >= min && number <= max)
                .map(|number| format!("{number:.places$}"))
                .ok_or_else(|| "must be a number in the range that memcached allows".to_owned()),
            Self::Word(words) => {
                let word = required()?;
                if words.contains(&word) {
                    Ok(word.to_owned())
                } else {
                    Err(format!("must be one of {}", words.join(", ")))
                }
            }
        }
    }
}

/// The smallest and the largest slab class in bytes, the distance between two of them, and their
/// maximum number, by memcached's defaults.
const SLAB_SIZES: std::ops::RangeInclusive<u64> = 48..=512 * KB;
const SLAB_STEP: u64 = 8;
const MAX_SLAB_SIZES: usize = 62;

fn slab_sizes(text: &str) -> Result<String, String> {
    let sizes: Option<Vec<u64>> = text.split('-').map(|size| size.parse().ok()).collect();
    let sizes = sizes.filter(|sizes| {
        sizes.len() <= MAX_SLAB_SIZES
            && sizes.iter().all(|size| SLAB_SIZES.contains(size))
            && sizes.windows(2).all(|pair| pair[1] > pair[0] + SLAB_STEP)
    });
    sizes.map(|_| text.to_owned()).ok_or_else(|| {
        format!(
            "must be sizes from {} to {} bytes with hyphens between them, each more than {SLAB_STEP} \
             bytes above the one before, and at most {MAX_SLAB_SIZES}",
            SLAB_SIZES.start(),
            SLAB_SIZES.end()
        )
    })
}

/// The kinds of data that memcached keeps in files of external storage, by their names.
const BUCKETS: [&str; 6] = ["default", "compact", "lowttl", "chunked", "coldcompact", "old"];

fn external_file(text: &str) -> Result<String, String> {
    let mut parts = text.split(':');
    let file = parts.next().filter(|file| !file.is_empty());
    let size = parts.next().and_then(|size| {
        let (number, unit) = size.split_at_checked(size.len().checked_sub(1)?)?;
        let is_unit = matches!(unit.to_ascii_lowercase().as_str(), "m" | "g" | "t" | "p");
        number.parse::<u64>().ok().filter(|number| *number > 0 && is_unit)
    });
    let bucket_is_one = parts.next().is_none_or(|bucket| BUCKETS.contains(&bucket));
    match (file, size) {
        (Some(_), Some(_)) if bucket_is_one && parts.next().is_none() => Ok(text.to_owned()),
        _ => Err("must be a file and its size, such as FILE:64m (m, g, t or p)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_one(list: &str) -> Result<Extended, SettingsError> {
        parse(&[list.to_owned()])
    }

    #[test]
    fn options_with_an_effect_set_keys_in_order() {
        let extended = parse_one("no_modern,maxconns_fast,idle_timeout=10");
        let extended = extended.unwrap();
        let keys: Vec<_> =
            extended.keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(
            keys,
            [("maxconns_fast", "false"), ("maxconns_fast", "true"), ("idle_timeout", "10"),]
        );
        assert_eq!(extended.warnings, Vec::<String>::new());
        assert_eq!(extended.figures.get("hash_algorithm"), Some("jenkins"));
    }

    #[test]
    fn options_without_effect_are_shown_and_warned_about() {
        let extended = parse_one("slab_chunk_max=16,no_lru_crawler,hot_max_factor=0.5").unwrap();
        assert_eq!(extended.figures.get("slab_chunk_max"), Some("16384"));
        assert_eq!(extended.figures.get("lru_crawler"), Some("no"));
        assert_eq!(extended.figures.get("hot_max_factor"), Some("0.50"));
        assert_eq!(extended.warnings.len(), 2, "no_lru_crawler acts");
        assert_eq!(
            extended.warnings[0],
            "-o slab_chunk_max has no effect: memory is not divided into slabs"
        );
    }

    #[test]
    fn every_name_is_accepted_and_every_idle_one_says_why() {
        for option in EXTENDED {
            let value = match option.takes {
                Takes::Whole(min, ..) => min.to_string(),
                Takes::Fraction(..) => "0.5".into(),
                Takes::Word(words) => words[0].into(),
                Takes::SlabSizes => "100-200".into(),
                Takes::ExternalFile => "/f:64m".into(),
                _ => "1".into(),
            };
            let extended = parse_one(&format!("{}={value}", option.name)).unwrap();
            let warnings = usize::from(!option.has_effect());
            assert_eq!(extended.warnings.len(), warnings, "{}", option.name);
            assert_eq!(option.why_idle.is_empty(), option.has_effect(), "{}", option.name);
        }
    }

    #[test]
    fn values_that_memcached_refuses_are_refused() {
        for list in [
            "ext_path=/f:0m",
            "ext_path=/f",
            "ext_path=/f:1x",
            "ext_path=/f:64",
            "ext_path=/f:-1m",
            "ext_path=:64m",
            "ext_path=/f:64m:elsewhere",
            "ext_path=/f:6é",
            "ext_path",
            "ext_page_size=x",
            "ext_threads=x",
            "ext_io_depth=x",
            "slab_automove=3",
            "slab_sizes=1",
            "slab_sizes=abc",
            "slab_sizes=100-100",
            "slab_sizes=100-108",
            "slab_sizes=200-100",
            "slab_sizes=100-",
            "slab_sizes=1048576",
            "hot_max_factor=0",
            "warm_max_factor=0",
        ] {
            assert!(parse_one(list).is_err(), "{list}");
        }
        for list in [
            "ext_path=/f:64m",
            "ext_path=/f:2G:old",
            "slab_automove",
            "slab_automove=2",
            "slab_sizes=100-200-400",
            "hot_max_factor=0.01",
        ] {
            assert!(parse_one(list).is_ok(), "{list}");
        }
    }

    #[test]
    fn names_are_listed_once_and_lines_and_keys_exist() {
        let keys = crate::settings::options::keys_of::<crate::settings::Settings>();
        let figures = Figures::default();
        for (index, option) in EXTENDED.iter().enumerate() {
            let twin = EXTENDED[..index].iter().find(|other| other.name == option.name);
            assert!(twin.is_none(), "{} is listed twice", option.name);
            for does in option.does {
                match *does {
                    Set(key) | SetTo(key, _) => assert!(keys.iter().any(|known| known == key)),
                    Show(line) | ShowAs(line, _) | ActAs(line, _) => {
                        assert!(figures.get(line).is_some(), "{line}")
                    }
                }
            }
        }
    }

    #[test]
    fn what_memcached_refuses_is_refused() {
        for (wrong, why) in [
            ("nonsense", "-o nonsense: unknown option"),
            ("modern,,maxconns_fast", "-o : unknown option"),
            ("idle_timeout", "-o idle_timeout: needs a value"),
            ("hashpower=99", "-o hashpower: must be a whole number from 12 to 32"),
            ("hash_algorithm=md5", "-o hash_algorithm: must be one of jenkins, murmur3, xxh3"),
            ("proxy_config=a.lua", "-o proxy_config is not supported"),
        ] {
            let error = parse_one(wrong).unwrap_err();
            assert!(error.to_string().starts_with(why), "{error}");
            assert_eq!(error.exit_code(), crate::process::exit::ExitCode::Usage);
        }
        assert!(parse_one("modern,").is_ok(), "memcached accepts one comma at the end");
        assert!(parse_one("").is_ok());
    }
}
