//! Finds the server program.
//!
//! After `cargo run --bin ringbinder -- up` in a fresh checkout there is no `ringbinderd` yet. The cargo that
//! started this program then builds it into the same directory. If it is up to date, that takes no time.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::UpError;

/// The server's name.
const NAME: &str = "ringbinderd";

/// The packages of both programs. Cargo chooses the features of dependencies for all packages of one command.
/// With both named, as in a build of the whole workspace, cargo reuses the dependencies of this program
/// instead of building half of them again with other features.
const PACKAGES: [&str; 2] = ["ringbinder-node", env!("CARGO_PKG_NAME")];

/// Finds the server: `named`, or the one beside this program, or the first on the `PATH`.
///
/// # Errors
/// If there is none.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, UpError> {
    if let Some(named) = named {
        return match named.is_file() {
            true => Ok(std::path::absolute(named).unwrap_or_else(|_| named.to_owned())),
            false => Err(UpError::NoProgram { looked: format!("at {}", named.display()) }),
        };
    }
    let own = env::current_exe().ok();
    let directory = own.as_deref().and_then(Path::parent);
    if let Some(directory) = directory {
        if let Some(cargo) = Cargo::from_env() {
            cargo.build(directory)?;
        }
        let beside = directory.join(NAME);
        if beside.is_file() {
            return Ok(beside);
        }
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).map(|place| place.join(NAME));
    places.find(|place| place.is_file()).ok_or_else(|| {
        let beside = directory.map(|directory| format!("in {}, nor ", directory.display()));
        UpError::NoProgram { looked: format!("{}on the PATH", beside.unwrap_or_default()) }
    })
}

/// The cargo that runs this program.
struct Cargo {
    program: OsString,
    manifest: PathBuf,
}

impl Cargo {
    /// Reads the variables that `cargo run` sets ("Environment variables Cargo sets for crates").
    fn from_env() -> Option<Cargo> {
        if env::var("CARGO_PKG_NAME").ok()? != env!("CARGO_PKG_NAME") {
            return None;
        }
        let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
        Some(Cargo { program: env::var_os("CARGO")?, manifest })
    }

    /// Builds the server into the directory of this program.
    fn build(&self, directory: &Path) -> Result<(), UpError> {
        let Some((target, profile)) = target_and_profile(directory) else { return Ok(()) };
        let mut command = Command::new(&self.program);
        if needs_other_build_dir(target) && env::var_os(BUILD_DIR).is_none() {
            command.env(BUILD_DIR, "{cargo-cache-home}/build/{workspace-path-hash}");
        }
        let status = command
            .args(["build", "--bin", NAME, "--profile", profile])
            .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
            .arg("--manifest-path")
            .arg(&self.manifest)
            .arg("--target-dir")
            .arg(target)
            .stdin(Stdio::null())
            .status()
            .map_err(|source| UpError::Spawn { program: self.program.clone().into(), source })?;
        if status.success() { Ok(()) } else { Err(UpError::Build(status.to_string())) }
    }
}

/// Names cargo's directory for what is built on the way (cargo 1.91 and later).
const BUILD_DIR: &str = "CARGO_BUILD_BUILD_DIR";

/// Whether the server cannot be built in this target directory: the build of its allocator, jemalloc, fails in
/// a path with blanks.
fn needs_other_build_dir(target: &Path) -> bool {
    target.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_whitespace)
}

/// Cargo's target directory and profile, from the directory that holds what it has built.
fn target_and_profile(directory: &Path) -> Option<(&Path, &str)> {
    let profile = match directory.file_name()?.to_str()? {
        "debug" => "dev",
        profile => profile,
    };
    Some((directory.parent()?, profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_is_told_apart() {
        assert!(needs_other_build_dir(Path::new("/a folder/target")));
        assert!(!needs_other_build_dir(Path::new("/a-folder/target")));
    }

    #[test]
    fn the_profile_is_that_of_the_directory() {
        let of = |path| target_and_profile(Path::new(path));
        assert_eq!(of("/x/target/debug"), Some((Path::new("/x/target"), "dev")));
        assert_eq!(of("/x/target/release"), Some((Path::new("/x/target"), "release")));
        // Built for an explicit target. The server is then beside this program too.
        assert_eq!(
            of("/x/target/aarch64-unknown-linux-gnu/fast"),
            Some((Path::new("/x/target/aarch64-unknown-linux-gnu"), "fast"))
        );
        assert_eq!(of("/"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = find(Some(Path::new("/nonexistent/ringbinderd"))).unwrap_err();
        assert!(error.to_string().contains("at /nonexistent/ringbinderd"), "{error}");
    }
}
