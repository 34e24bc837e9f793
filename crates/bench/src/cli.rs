//! The command line of `ringbinder bench`.
//!
//! Help, man pages, completions and `docs/cli.md` are generated from these structs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cores::Cores;
use crate::trace::Format;

/// Everything that can be measured. Load goes to 127.0.0.1 unless a server is named elsewhere.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Cost of a request: CPU, throughput and latency, as ratios to other servers
    Compare(CompareOptions),
    /// Resident memory of an item and of an idle connection, and under hostile input
    Memory(MemoryOptions),
    /// Hit ratio of a given cache size on a trace, and its memory
    Replay(ReplayOptions),
    /// Cost of a request in a ring: to its owner, to other nodes, and through nutcracker
    Ring(RingOptions),
}

impl Bench {
    /// Prints JSON instead of the table, unless the JSON goes to a file.
    pub fn print_json(&mut self) {
        let data = match self {
            Bench::Compare(options) => &mut options.data,
            Bench::Memory(options) => &mut options.data,
            Bench::Replay(options) => &mut options.data,
            Bench::Ring(options) => &mut options.data,
        };
        data.json.get_or_insert_with(|| "-".into());
    }
}

/// The node that is measured, and where servers and load run.
#[derive(Args, Debug)]
pub(crate) struct Node {
    /// Server program; default: ringbinderd beside this program, else on the PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) ringbinderd: Option<PathBuf>,

    /// More flags for ringbinderd, separated by spaces
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    #[arg(hide_default_value = true)]
    pub(crate) ringbinderd_flags: String,

    /// Worker threads of each server
    #[arg(short, long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,

    /// Cores of the servers, as 0, 0,2 or 0-3; default: the first ones, one per thread
    #[arg(long, value_name = "CORES")]
    pub(crate) server_cores: Option<Cores>,

    /// Cores of the load; default: as many, after the servers'
    #[arg(long, value_name = "CORES")]
    pub(crate) load_cores: Option<Cores>,
}

/// What the node is compared with.
#[derive(Args, Debug)]
pub(crate) struct Others {
    /// Server to compare with; may be repeated: a program on the PATH or a path, with memcached's flags -l,
    /// -p, -t, -m and -c; or HOST:PORT of a running server
    #[arg(long, value_name = "SERVER", default_value = "memcached")]
    pub(crate) vs: Vec<String>,

    /// More flags for each started --vs, separated by spaces
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    #[arg(hide_default_value = true)]
    pub(crate) vs_flags: String,
}

/// Where the data goes.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// Write all results to this file as JSON; - prints them instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// `compare`
#[derive(Args, Debug)]
pub struct CompareOptions {
    #[command(flatten)]
    pub(crate) node: Node,

    #[command(flatten)]
    pub(crate) others: Others,

    #[command(flatten)]
    pub(crate) data: Data,

    /// Memory of each server in megabytes (-m)
    #[arg(short, long, value_name = "MB", default_value_t = 1024,
          value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) memory_limit: u64,

    /// Rounds of each load. In each round, every server gets it once; the order alternates
    #[arg(short, long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Seconds of load on each server in each round
    #[arg(short, long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,

    /// Run all loads instead of the selection that takes about seven minutes
    #[arg(long)]
    pub(crate) full: bool,

    /// Run only the loads, out of all, whose name contains one of these words: get-p32,1k
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Print the names of the loads that would run, without running them
    #[arg(long)]
    pub(crate) list: bool,

    /// Draw the ratios as SVG into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Load generator
    #[arg(long, value_name = "NAME", value_enum, default_value_t = GeneratorChoice::Auto)]
    pub(crate) generator: GeneratorChoice,

    /// Path of memtier_benchmark; default: the one on the PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) memtier: Option<PathBuf>,
}

/// Who makes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GeneratorChoice {
    /// memtier_benchmark if it is installed, else this program
    Auto,
    /// memtier_benchmark
    Memtier,
    /// this program
    Own,
}

/// `memory`
#[derive(Args, Debug)]
pub struct MemoryOptions {
    #[command(flatten)]
    pub(crate) node: Node,

    #[command(flatten)]
    pub(crate) others: Others,

    #[command(flatten)]
    pub(crate) data: Data,

    /// Run hostile inputs that take much memory instead, and print the surviving items and the resident
    /// memory, each with its target
    #[arg(long, conflicts_with_all = ["memory_limit", "items", "values", "connections", "threads",
          "server_cores", "load_cores"])]
    pub(crate) hostile: bool,

    /// Run only hostile inputs whose name contains one of these words: half-sent,container
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',', requires = "hostile")]
    pub(crate) only: Vec<String>,

    /// Memory of each server in megabytes (-m): enough to keep every item
    #[arg(short, long, value_name = "MB", default_value_t = 2048,
          value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) memory_limit: u64,

    /// Items to store
    #[arg(short, long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    pub(crate) items: u64,

    /// Value sizes in bytes
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "10,100,500")]
    pub(crate) values: Vec<usize>,

    /// Connections that stay idle after one set and one get each; 0 skips this
    #[arg(short, long, value_name = "N", default_value_t = 6_000)]
    pub(crate) connections: u16,
}

/// `replay`
#[derive(Args, Debug)]
pub struct ReplayOptions {
    /// Trace file, uncompressed
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,

    /// Format of the trace; default: from its name (.bin, .csv, oracleGeneral)
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) format: Option<Format>,

    /// Replay only this number of requests, from the beginning
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// Multiply the sizes of values by this
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) multiply: u64,

    #[command(flatten)]
    pub(crate) node: Node,

    #[command(flatten)]
    pub(crate) others: Others,

    #[command(flatten)]
    pub(crate) data: Data,

    /// Memory of each server in megabytes (-m)
    #[arg(short, long, value_name = "MB", default_value_t = 64,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) memory_limit: u64,

    /// Replay on ringbinderd repeatedly with different -m, until its peak of resident memory is close to that
    /// of the first --vs without exceeding it
    #[arg(long, visible_alias = "equal-resident")]
    pub(crate) match_resident: bool,
}

/// `ring`
#[derive(Args, Debug)]
pub struct RingOptions {
    #[command(flatten)]
    pub(crate) node: Node,

    #[command(flatten)]
    pub(crate) data: Data,

    /// memcached behind nutcracker; default: the one on the PATH; if there is none, its rows are left out
    #[arg(long, value_name = "PATH")]
    pub(crate) memcached: Option<PathBuf>,

    /// nutcracker; default: the one on the PATH or in /usr/sbin; if there is none, its rows are left out
    #[arg(long, value_name = "PATH")]
    pub(crate) nutcracker: Option<PathBuf>,

    /// Memory of each server in megabytes (-m)
    #[arg(short, long, value_name = "MB", default_value_t = 512,
          value_parser = clap::value_parser!(u64).range(256..))]
    pub(crate) memory_limit: u64,

    /// Rounds of each load. In each round, every layout gets it once, in changing order
    #[arg(short, long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Seconds of load on each layout in each round
    #[arg(short, long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,

    /// Run only loads whose name contains one of these words: get-p32,mix
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        bench: Bench,
    }

    fn parse(line: &str) -> Result<Bench, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.bench)
    }

    #[test]
    fn the_definition_holds() {
        Line::command().debug_assert();
    }

    #[test]
    fn lists_and_flags_of_a_server() {
        let line = "x compare --only get-p1,1k --ringbinderd-flags=--eviction\ttinylfu --vs a --vs \
                    b:1 --load-cores 1-2";
        let Bench::Compare(options) = parse(line).unwrap() else { panic!("not compare") };
        assert_eq!(options.only, ["get-p1", "1k"]);
        assert_eq!(options.node.ringbinderd_flags, "--eviction\ttinylfu");
        assert_eq!(options.node.load_cores.unwrap().to_string(), "cores 1,2");
        assert_eq!(options.others.vs, ["a", "b:1"]);
        assert!(parse("x compare --rounds 0").is_err());
    }

    #[test]
    fn a_trace_is_replayed_against_memcached_unless_told_otherwise() {
        let line = "x replay t.csv --format oracle-general --multiply 4 --equal-resident";
        let Bench::Replay(options) = parse(line).unwrap() else { panic!("not replay") };
        assert_eq!((options.format, options.multiply), (Some(Format::OracleGeneral), 4));
        assert!(options.match_resident && options.others.vs == ["memcached"]);
        assert!(parse("x replay").is_err() && parse("x replay t.csv --multiply 0").is_err());
    }

    #[test]
    fn hostile_inputs_come_with_flags_of_their_own() {
        let Bench::Memory(options) = parse("x memory --hostile --only half,container").unwrap()
        else {
            panic!("not memory")
        };
        assert!(options.hostile && options.only == ["half", "container"]);
        assert!(parse("x memory --hostile --items 5000").is_err());
        assert!(parse("x memory --hostile -t 2").is_err());
        assert!(parse("x memory --only half").is_err());
    }

    #[test]
    fn flags_of_a_ring() {
        let line = "x ring --nutcracker n -t 2 --rounds 3 --only p1";
        let Bench::Ring(options) = parse(line).unwrap() else { panic!("not ring") };
        assert_eq!(options.nutcracker, Some("n".into()));
        assert_eq!((options.node.threads, options.rounds, options.seconds), (2, 3, 2));
        assert_eq!(options.only, ["p1"]);
        assert!(parse("x ring -m 64").is_err());
    }
}
