//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::clients::matrix::{Contestant, Work};
use crate::cores::Cores;
use crate::instructions::InstructionsOptions;

/// Runs ringbinderd and memcached side by side on this machine and prints how they compare, as
/// Markdown. Load goes to 127.0.0.1 only.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  measured
    1  could not be measured; stderr says why
    2  wrong command line
    3  measured, but a row is flagged: errors, misses, or a load that did not run
  130  interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What a request costs: CPU per request, throughput and latency, as ratios to memcached
    Compare(CompareOptions),
    /// What an item and an idle connection cost in resident memory
    Memory(MemoryOptions),
    /// What a request costs in a ring: asked of its owner, of other nodes, and through nutcracker
    Ring(RingOptions),
    /// What a get costs the client: ours, async-memcached and pylibmc on the same three nodes
    Clients(ClientsOptions),
    /// How many instructions a request costs each server, counted by valgrind
    Instructions(InstructionsOptions),
    /// One client, one kind of work: what `clients` runs
    #[command(hide = true)]
    ClientsWorker(WorkerOptions),
}

/// Which programs are measured, and where they run.
#[derive(Args, Debug)]
pub(crate) struct Servers {
    /// memcached [default: the one on the PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) memcached: Option<PathBuf>,

    /// ringbinderd [default: the one beside this program, else in target/release]
    #[arg(long, value_name = "PATH")]
    pub(crate) ringbinderd: Option<PathBuf>,

    /// More flags for memcached, separated by spaces
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    pub(crate) memcached_flags: String,

    /// More flags for ringbinderd, separated by spaces
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    pub(crate) ringbinderd_flags: String,

    /// Worker threads of each server (-t)
    #[arg(short, long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,

    /// Cores of the servers, as 0, 0,2 or 0-3 [default: the first, as many as there are threads]
    #[arg(long, value_name = "CORES")]
    pub(crate) server_cores: Option<Cores>,

    /// Cores of the load [default: as many, after the servers']
    #[arg(long, value_name = "CORES")]
    pub(crate) load_cores: Option<Cores>,
}

/// `compare`
#[derive(Args, Debug)]
pub(crate) struct CompareOptions {
    #[command(flatten)]
    pub(crate) servers: Servers,

    /// Memory of each server in megabytes (-m)
    #[arg(short, long, value_name = "MB", default_value_t = 1024,
          value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) memory_limit: u64,

    /// Rounds of each load. In each, both servers get it once; who is first alternates
    #[arg(short, long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Seconds of load on each server in each round
    #[arg(short, long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,

    /// All loads, not the selection that takes about five minutes
    #[arg(long)]
    pub(crate) full: bool,

    /// Only loads whose name contains one of these words, out of all: get-p32,1k
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Print the names of the loads that would run, and do nothing
    #[arg(long)]
    pub(crate) list: bool,

    /// Who makes the load
    #[arg(long, value_name = "NAME", value_enum, default_value_t = GeneratorChoice::Auto)]
    pub(crate) generator: GeneratorChoice,

    /// memtier_benchmark [default: the one on the PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) memtier: Option<PathBuf>,
}

/// Who makes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GeneratorChoice {
    /// memtier_benchmark if there is one, else this program
    Auto,
    /// memtier_benchmark
    Memtier,
    /// This program
    Own,
}

/// `memory`
#[derive(Args, Debug)]
pub(crate) struct MemoryOptions {
    #[command(flatten)]
    pub(crate) servers: Servers,

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

    /// Connections that lie idle after one set and one get each; 0 leaves this out
    #[arg(short, long, value_name = "N", default_value_t = 6_000)]
    pub(crate) connections: u16,
}

/// `ring`
#[derive(Args, Debug)]
pub(crate) struct RingOptions {
    #[command(flatten)]
    pub(crate) servers: Servers,

    /// nutcracker [default: the one on the PATH, else in /usr/sbin; without it, its rows are left out]
    #[arg(long, value_name = "PATH")]
    pub(crate) nutcracker: Option<PathBuf>,

    /// Memory of each server in megabytes (-m)
    #[arg(short, long, value_name = "MB", default_value_t = 512,
          value_parser = clap::value_parser!(u64).range(256..))]
    pub(crate) memory_limit: u64,

    /// Rounds of each load. In each, every layout gets it once, in changing order
    #[arg(short, long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Seconds of load on each layout in each round
    #[arg(short, long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,

    /// Only loads whose name contains one of these words: get-p32,mix
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

/// `clients`
#[derive(Args, Debug)]
pub(crate) struct ClientsOptions {
    #[command(flatten)]
    pub(crate) servers: Servers,

    /// A Python that has pylibmc [default: the one of the tests, else python3; without it, its rows are left out]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,

    /// Rounds of each kind of work. In each, every client gets it once, in changing order
    #[arg(short, long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Seconds of work for each client in each round
    #[arg(short, long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,

    /// Only work whose name contains one of these words, and get: get32,near
    #[arg(short, long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

/// `clients-worker`
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
    pub(crate) ring: PathBuf,

    #[arg(long, value_enum)]
    pub(crate) client: Contestant,

    #[arg(long, value_enum)]
    pub(crate) work: Work,

    #[arg(long)]
    pub(crate) seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_and_flags_of_a_server() {
        let line =
            "x compare --only get-p1,1k --ringbinderd-flags=--eviction\ttinylfu --load-cores 1-2";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Compare(options) = cli.command else { panic!("not compare") };
        assert_eq!(options.only, ["get-p1", "1k"]);
        assert_eq!(options.servers.ringbinderd_flags, "--eviction\ttinylfu");
        assert_eq!(options.servers.load_cores.unwrap().to_string(), "cores 1,2");
        assert!(Cli::try_parse_from(["x", "compare", "--rounds", "0"]).is_err());
    }

    #[test]
    fn flags_of_a_ring() {
        let line = "x ring --nutcracker n -t 2 --rounds 3 --only p1";
        let Command::Ring(options) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not ring")
        };
        assert_eq!(options.nutcracker, Some("n".into()));
        assert_eq!((options.servers.threads, options.rounds, options.seconds), (2, 3, 2));
        assert_eq!(options.only, ["p1"]);
        assert!(Cli::try_parse_from(["x", "ring", "-m", "64"]).is_err());
    }
}
