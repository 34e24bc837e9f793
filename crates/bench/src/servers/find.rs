//! Finds programs and their versions.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ask::Client;
use crate::cli::{Node, Others};
use crate::error::BenchError;

/// A server that can be measured.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// The name in tables.
    pub(crate) name: String,
    /// The version that it reports.
    pub(crate) version: String,
    pub(crate) origin: Origin,
}

/// The source of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A program, started for each measurement.
    Program {
        /// Its path.
        path: PathBuf,
        /// Additional flags for it alone.
        extra: Vec<String>,
    },
    /// A running server, which this program does not start or stop.
    Running(SocketAddr),
}

impl Contender {
    /// Finds memcached: the path in the flag, else on the PATH.
    pub(crate) fn memcached(named: Option<&Path>) -> anyhow::Result<Self> {
        let program = match named {
            Some(path) => existing(path)?,
            None => on_path("memcached").ok_or_else(|| {
                missing("memcached is not on the PATH: install it, or say where it is")
            })?,
        };
        Self::of("memcached", program, "")
    }

    /// Finds ringbinderd: the path in the flag, else beside this program, else on the PATH.
    pub(crate) fn ringbinderd(node: &Node) -> anyhow::Result<Self> {
        const NAME: &str = "ringbinderd";
        let beside = || std::env::current_exe().ok().map(|program| program.with_file_name(NAME));
        let program = match &node.ringbinderd {
            Some(path) => existing(path)?,
            None => beside().filter(|path| path.is_file()).or_else(|| on_path(NAME)).ok_or_else(
                || {
                    missing(
                        "cannot find ringbinderd beside this program or on the PATH: build \
                         it with `cargo build --release`, or say where it is with --ringbinderd",
                    )
                },
            )?,
        };
        Self::of(NAME, program, &node.ringbinderd_flags)
    }

    /// The servers of `--vs`, each with a unique name.
    pub(crate) fn others(others: &Others) -> anyhow::Result<Vec<Self>> {
        let mut all: Vec<Self> = Vec::new();
        for named in &others.vs {
            let mut one = Self::other(named, &others.vs_flags)?;
            let taken = |name: &str| name == "ringbinderd" || all.iter().any(|it| it.name == name);
            let plain = one.name.clone();
            let names = std::iter::once(plain.clone())
                .chain((2..).map(|number| format!("{plain}-{number}")));
            one.name = names.into_iter().find(|name| !taken(name)).unwrap_or(plain);
            all.push(one);
        }
        Ok(all)
    }

    /// A path if it contains a slash, an address if it contains a colon, else a name on the PATH.
    fn other(named: &str, extra: &str) -> anyhow::Result<Self> {
        if named.contains('/') {
            let name = Path::new(named).file_name().unwrap_or_default().to_string_lossy();
            return Self::of(&name, existing(Path::new(named))?, extra);
        }
        if named.contains(':') {
            let mut addresses = named
                .to_socket_addrs()
                .map_err(|error| missing(&format!("--vs {named}: {error}; it is HOST:PORT")))?;
            let address =
                addresses.next().ok_or_else(|| missing(&format!("{named} has no address")))?;
            let version = Client::connect(address).and_then(|mut client| client.version());
            let version = version
                .map_err(|error| missing(&format!("no server answers at {named}: {error:#}")))?;
            let version = format!("{named}: version {}", version.escape_default());
            return Ok(Self { name: named.to_owned(), version, origin: Origin::Running(address) });
        }
        let program = on_path(named).ok_or_else(|| {
            missing(&format!(
                "{named} is not on the PATH: install it, or say where it is with --vs PATH"
            ))
        })?;
        Self::of(named, program, extra)
    }

    fn of(name: &str, path: PathBuf, extra: &str) -> anyhow::Result<Self> {
        let version = version_line(&path, "-V")?;
        let extra = extra.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), version, origin: Origin::Program { path, extra } })
    }

    /// The version, and the flags that only this server gets.
    pub(crate) fn describe(&self) -> String {
        // Numbers distinguish several builds of one program.
        let mut text = match &self.origin {
            Origin::Program { .. } if !self.version.starts_with(&self.name) => {
                format!("{}: {}", self.name, self.version)
            }
            _ => self.version.clone(),
        };
        match &self.origin {
            Origin::Program { extra, .. } if !extra.is_empty() => {
                text.push_str(&format!(", with {}", extra.join(" ")));
            }
            Origin::Program { .. } => {}
            Origin::Running(_) => {
                text.push_str(", which runs already, with flags and on cores of its own");
            }
        }
        text
    }

    /// Whether it can be started.
    pub(crate) fn is_program(&self) -> bool {
        matches!(self.origin, Origin::Program { .. })
    }
}

fn missing(text: &str) -> anyhow::Error {
    BenchError::NoServer(text.to_owned()).into()
}

/// Finds memtier_benchmark: the path in the flag, else on the PATH, else `None`.
pub(crate) fn memtier(named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    match named {
        Some(path) => existing(path).map(Some),
        None => Ok(on_path("memtier_benchmark")),
    }
}

/// Finds nutcracker: the path in the flag, else on the PATH or where Debian installs it, else `None`.
pub(crate) fn nutcracker(named: Option<&Path>) -> anyhow::Result<Option<Contender>> {
    const DEBIAN: &str = "/usr/sbin/nutcracker";
    let program = match named {
        Some(path) => Some(existing(path)?),
        None => on_path("nutcracker").or_else(|| existing(Path::new(DEBIAN)).ok()),
    };
    let Some(program) = program else { return Ok(None) };
    let mut found = Contender::of("nutcracker", program, "")?;
    if let Some(name) = found.version.strip_prefix("This is ") {
        found.version = name.to_owned();
    }
    Ok(Some(found))
}

/// The first line of the program's version output.
pub(crate) fn version_line(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg(flag)
        .output()
        .map_err(|error| missing(&format!("cannot run {}: {error}", program.display())))?;
    // nutcracker prints it on stderr.
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let text = String::from_utf8_lossy(said);
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) if output.status.success() => Ok(line.trim().to_owned()),
        _ => {
            let (program, status) = (program.display(), output.status);
            Err(missing(&format!("{program} {flag} prints no version ({status})")))
        }
    }
}

fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        // A bare name would be looked up on the PATH instead.
        Ok(std::path::absolute(path)?)
    } else {
        Err(missing(&format!("{} is not a file", path.display())))
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_asked_for() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program-anywhere"), None);
        let error = existing(Path::new("no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "no/such/file is not a file");
    }

    #[test]
    fn others_are_programs_or_run_already() {
        let fake = crate::load::fake::Fake::start();
        let of = |vs: &[&str]| {
            let vs = vs.iter().map(|&it| it.to_owned()).collect();
            Contender::others(&Others { vs, vs_flags: "-x 1".to_owned() })
        };
        let address = fake.address.to_string();
        let echo = on_path("echo").unwrap().to_str().unwrap().to_owned();
        let all = of(&["echo", &echo, &address]).unwrap();
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["echo", "echo-2", &address]);
        assert_eq!(all[2].origin, Origin::Running(fake.address));
        assert_eq!(all[2].version, format!("{address}: version 1.6.45"));
        let Origin::Program { extra, .. } = &all[1].origin else { panic!("not started") };
        assert!(extra == &["-x", "1"] && all[1].is_program() && !all[2].is_program());
        for wrong in ["no-such-program-anywhere", "./no-such-program", "127.0.0.1:x"] {
            let error = BenchError::from(of(&[wrong]).unwrap_err());
            assert!(matches!(error, BenchError::NoServer(_)), "{error:?}");
        }
    }

    #[test]
    fn a_program_without_a_version_is_refused() {
        let (echo, no) = (on_path("echo").unwrap(), on_path("false").unwrap());
        assert_eq!(version_line(&echo, "memcached 1.6").unwrap(), "memcached 1.6");
        assert!(version_line(&no, "-V").is_err());
        assert!(version_line(&echo, "").is_err());
    }
}
