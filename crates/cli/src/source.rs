//! The ring that a command works on, named by one flag that all commands share.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Args;
use ringbinder_ring::Ring;
use ringbinder_ring::source::{Origin, OriginError, Source};

use crate::error::CliError;

/// The variable that names the ring if no flag does. `ringbinderd` reads the same variable.
const VARIABLE: &str = "RINGBINDER_RING";

/// The file that is used if nothing is named.
const DEFAULT: &str = "ring.toml";

/// Which ring.
#[derive(Args, Clone, Debug)]
pub(crate) struct RingOption {
    /// Ring: a TOML, YAML or JSON file, or etcd://host:port/key. Default: ring.toml in the current directory
    #[arg(long, value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    ring: Option<OsString>,
}

impl RingOption {
    /// The location of the ring.
    ///
    /// # Errors
    /// If no ring is named and the current directory has none, or the name is invalid.
    pub(crate) fn origin(&self) -> Result<Origin, CliError> {
        match &self.ring {
            // An empty variable counts as unset, as it does for nodes.
            Some(name) if name.is_empty() && !is_set_empty() => Err(OriginError::Empty.into()),
            Some(name) if !name.is_empty() => Ok(parse(name)?),
            _ if Path::new(DEFAULT).exists() => Ok(Origin::File(PathBuf::from(DEFAULT))),
            _ => Err(CliError::NoRing { default: DEFAULT }),
        }
    }

    /// Reads the ring.
    ///
    /// # Errors
    /// If there is no ring, it cannot be read, or it is invalid.
    pub(crate) async fn load(&self) -> Result<Ring, CliError> {
        let (ring, _) = Source::new(self.origin()?, None).first().await?;
        Ok(ring)
    }
}

fn is_set_empty() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value.is_empty())
}

/// Parses a name. A name that is not valid UTF-8 can only be a path.
fn parse(name: &OsStr) -> Result<Origin, OriginError> {
    name.to_str().map_or_else(|| Ok(Origin::File(PathBuf::from(name))), str::parse)
}
