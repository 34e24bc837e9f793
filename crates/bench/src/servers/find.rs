//! Where the programs are, and which versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// One of the two servers that are compared.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// What it is started from.
    pub(crate) program: PathBuf,
    /// What it says of itself with `-V`.
    pub(crate) version: String,
    /// Flags for it alone.
    pub(crate) extra: Vec<String>,
}

impl Contender {
    /// memcached: where the flag says, else on the PATH.
    pub(crate) fn memcached(named: Option<&Path>, extra: &str) -> anyhow::Result<Self> {
        let program = match named {
            Some(path) => existing(path)?,
            None => on_path("memcached").context(
                "memcached is not on the PATH: install it, or say where it is with --memcached",
            )?,
        };
        Self::of("memcached", program, extra)
    }

    /// ringbinderd: where the flag says, else beside this program, else in a `target/release` here
    /// or above.
    pub(crate) fn ringbinderd(named: Option<&Path>, extra: &str) -> anyhow::Result<Self> {
        let program = match named {
            Some(path) => existing(path)?,
            None => built_ringbinderd().context(
                "there is no ringbinderd beside this program, and none in target/release: build \
                 it with `cargo build --release`, or say where it is with --ringbinderd",
            )?,
        };
        Self::of("ringbinderd", program, extra)
    }

    fn of(name: &'static str, program: PathBuf, extra: &str) -> anyhow::Result<Self> {
        let version = version_line(&program, "-V")?;
        let extra = extra.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Self { name, program, version, extra })
    }

    /// The version and the flags that only this one gets.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.version.clone();
        if !self.extra.is_empty() {
            text.push_str(&format!(", with {}", self.extra.join(" ")));
        }
        text
    }
}

/// memtier_benchmark: where the flag says, else on the PATH, else None.
pub(crate) fn memtier(named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    match named {
        Some(path) => existing(path).map(Some),
        None => Ok(on_path("memtier_benchmark")),
    }
}

/// nutcracker: where the flag says, else on the PATH or where Debian puts it, else None.
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

/// The first line that the program prints when asked for its version.
pub(crate) fn version_line(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg(flag)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    // nutcracker says it on stderr.
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let text = String::from_utf8_lossy(said);
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) if output.status.success() => Ok(line.trim().to_owned()),
        _ => bail!("{} {flag} prints no version ({})", program.display(), output.status),
    }
}

fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        // A bare name would be looked up on the PATH instead.
        Ok(std::path::absolute(path)?)
    } else {
        bail!("{} is no file", path.display())
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn built_ringbinderd() -> Option<PathBuf> {
    const NAME: &str = "ringbinderd";
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(NAME));
    let here = std::env::current_dir().unwrap_or_default();
    let above = here.ancestors().map(|folder| folder.join("target/release").join(NAME));
    beside.into_iter().chain(above).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_asked_for() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program-anywhere"), None);
        let error = existing(Path::new("no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "no/such/file is no file");
    }

    #[test]
    fn a_program_without_a_version_is_refused() {
        let (echo, no) = (on_path("echo").unwrap(), on_path("false").unwrap());
        assert_eq!(version_line(&echo, "memcached 1.6").unwrap(), "memcached 1.6");
        assert!(version_line(&no, "-V").is_err());
        assert!(version_line(&echo, "").is_err());
    }
}
