//! The command line of `ringbinder-bench`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::clients::matrix::{Contestant, Work};
use crate::cli::{Data, Node};
use crate::trace::Format;

/// Benchmarks for developers of Ringbinder.
#[derive(Debug, Parser)]
#[command(name = "ringbinder-bench", version, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) bench: Bench,
}

/// Everything that can be measured.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Cost of a get to the client: ours, async-memcached and pylibmc on the same three nodes
    Clients(ClientsOptions),
    /// Hit ratios of eviction policies on a trace, without any server
    Simulate(SimulateOptions),
    /// Instructions per request of each server, counted by valgrind
    Instructions(InstructionsOptions),
    /// Cost of a store operation within one process, compared with quick_cache and moka
    Engine(EngineOptions),
    /// One client with one kind of work, as run by `clients`
    #[command(hide = true)]
    ClientsWorker(WorkerOptions),
}

/// `clients`
#[derive(Args, Debug)]
pub(super) struct ClientsOptions {
    #[command(flatten)]
    pub(super) node: Node,

    #[command(flatten)]
    pub(super) data: Data,

    /// Python with pylibmc; default: that of the tests or python3; without pylibmc, its rows are left out
    #[arg(long, value_name = "PATH")]
    pub(super) python: Option<PathBuf>,

    /// Rounds of each kind of work. In each round, every client gets it once, in changing order
    #[arg(short, long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,

    /// Seconds of work for each client in each round
    #[arg(short, long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(super) seconds: u32,

    /// Run only work whose name contains one of these words, and get: get32,near
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(super) only: Vec<String>,
}

/// `clients-worker`
#[derive(Args, Clone, Debug)]
pub(super) struct WorkerOptions {
    #[arg(long)]
    pub(super) ring: PathBuf,

    #[arg(long, value_enum)]
    pub(super) client: Contestant,

    #[arg(long, value_enum)]
    pub(super) work: Work,

    #[arg(long)]
    pub(super) seconds: u64,
}

/// `simulate`
#[derive(Args, Debug)]
pub(super) struct SimulateOptions {
    /// Traces: records of u64 key and u32 size (.bin), *oracleGeneral*, or .csv of time,id,size
    #[arg(required = true, value_name = "TRACE")]
    pub(super) traces: Vec<PathBuf>,

    /// Format of the traces [default: from their names]
    #[arg(long, value_name = "NAME", value_enum, ignore_case = true)]
    pub(super) format: Option<Format>,

    /// Memory of the cache in megabytes; each value makes a row
    #[arg(short, long, value_name = "MB", value_delimiter = ',', default_value = "64",
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(super) memory_limit: Vec<u64>,

    /// Multiply the sizes of values by this, to fill more memory with a short trace
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) multiply: u32,

    /// Bytes of an item beyond its key and value
    #[arg(long, value_name = "BYTES", default_value_t = 24,
          value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    pub(super) overhead: u64,

    /// Bytes of a key on the wire
    #[arg(long, value_name = "BYTES", default_value_t = 14,
          value_parser = clap::value_parser!(u64).range(1..=250))]
    pub(super) key_length: u64,

    #[command(flatten)]
    pub(super) data: Data,
}

/// `engine`
#[derive(Args, Debug)]
pub(super) struct EngineOptions {
    #[command(flatten)]
    pub(super) data: Data,

    /// Items of insert, get and overwrite
    #[arg(short, long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub(super) items: u64,

    /// Bytes of their values
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub(super) value: usize,

    /// Rounds. In each round, every contestant has its turn, in changing order
    #[arg(short, long, value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,

    /// Memory of the store whose slowest operations are measured, in megabytes
    #[arg(short, long, value_name = "MB", default_value_t = 1024,
          value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    pub(super) memory_limit: u64,

    /// Threads that work on it
    #[arg(short, long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) threads: u16,

    /// Seconds for each mix of gets and sets
    #[arg(short, long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(super) seconds: u32,

    /// Run only these parts
    #[arg(short, long, value_name = "PARTS", value_delimiter = ',', value_enum)]
    pub(super) only: Vec<Part>,
}

/// `instructions`
#[derive(Args, Debug)]
pub(super) struct InstructionsOptions {
    #[command(flatten)]
    pub(super) data: Data,

    /// Server to compare with: a memcached, on the PATH or at a path
    #[arg(long, value_name = "SERVER", default_value = "memcached")]
    pub(super) vs: PathBuf,

    /// Server program; default: ringbinderd beside this program
    #[arg(long, value_name = "PATH")]
    pub(super) ringbinderd: Option<PathBuf>,

    /// Run only loads whose name contains one of these words: get-p1,get100
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(super) only: Vec<String>,

    /// Items stored beforehand
    #[arg(short, long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=900_000))]
    pub(super) keys: u32,

    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(super) value: u32,

    /// Keep callgrind's files in this folder, for callgrind_annotate and similar tools
    #[arg(long, value_name = "FOLDER")]
    pub(super) keep: Option<PathBuf>,
}

/// What `engine` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// insert, get and overwrite by one thread, compared with quick_cache and moka
    Ops,
    /// the slowest operations of a store that evicts
    Tail,
    /// one key that several threads read, compared with quick_cache and moka
    Hot,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Bench, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|line| line.bench)
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_a_simulation() {
        let line = "x simulate a.bin b.csv -m 2,16 --multiply 16 --overhead 0";
        let Bench::Simulate(options) = parse(line).unwrap() else { panic!("not simulate") };
        assert_eq!(options.traces, ["a.bin", "b.csv"].map(PathBuf::from));
        assert_eq!((options.memory_limit, options.multiply), (vec![2, 16], 16));
        assert_eq!((options.overhead, options.key_length), (0, 14));
        assert!(parse("x simulate").is_err());
        assert!(parse("x simulate a.bin -m 0").is_err());
    }

    #[test]
    fn flags_of_an_engine() {
        let line = "x engine --only tail,hot --value 10 -i 5000 -m 64 -t 2 -s 1 -r 3";
        let Bench::Engine(options) = parse(line).unwrap() else { panic!("not engine") };
        assert_eq!(options.only, [Part::Tail, Part::Hot]);
        assert_eq!((options.items, options.value, options.rounds), (5_000, 10, 3));
        assert_eq!((options.memory_limit, options.threads, options.seconds), (64, 2, 1));
        assert!(parse("x engine --only sockets").is_err());
    }
}
