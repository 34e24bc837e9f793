//! The ring that a command works on: one flag, the same for all of them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Args;
use ringbinder_ring::Ring;
use ringbinder_ring::source::{Origin, OriginError, Source};

use crate::error::CliError;

/// The variable that names a ring where no flag does. `ringbinderd` reads the same one.
const VARIABLE: &str = "RINGBINDER_RING";

/// The file that is taken where nothing is named.
const DEFAULT: &str = "ring.toml";

/// Which ring.
#[derive(Args, Clone, Debug)]
pub(crate) struct RingOption {
    /// The ring: a TOML, YAML or JSON file, or etcd://host:port/key. Without it, ring.toml in the
    /// current directory
    #[arg(long, value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    ring: Option<OsString>,
}

impl RingOption {
    /// Where the ring is kept.
    ///
    /// # Errors
    /// Where no ring is named and none is in the current directory, or the name is no name.
    pub(crate) fn origin(&self) -> Result<Origin, CliError> {
        match &self.ring {
            // An empty variable counts as not set, as it does for nodes.
            Some(name) if name.is_empty() && !is_set_empty() => Err(OriginError::Empty.into()),
            Some(name) if !name.is_empty() => Ok(parse(name)?),
            _ if Path::new(DEFAULT).exists() => Ok(Origin::File(PathBuf::from(DEFAULT))),
            _ => Err(CliError::NoRing { default: DEFAULT }),
        }
    }

    /// Reads the ring.
    ///
    /// # Errors
    /// Where there is none, it cannot be read, or what is there is none.
    pub(crate) async fn load(&self) -> Result<Ring, CliError> {
        let (ring, _) = Source::new(self.origin()?, None).first().await?;
        Ok(ring)
    }
}

fn is_set_empty() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value.is_empty())
}

/// A name that is no text can only be a path.
fn parse(name: &OsStr) -> Result<Origin, OriginError> {
    name.to_str().map_or_else(|| Ok(Origin::File(PathBuf::from(name))), str::parse)
}
