//! TLS and login settings for connections to nodes.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use clap::builder::FalseyValueParser;
use ringbinder_client::{Login, Tls};

use crate::error::CliError;

/// The heading of these flags in the help. The manual finds them by it.
pub(crate) const HEADING: &str = "TLS and login";

/// Flags of every command that asks nodes. An empty variable counts as not set.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SecurityOptions {
    /// Connect with TLS and trust the system's CAs. The other --tls flags imply it
    #[arg(long, env = "RINGBINDER_TLS", help_heading = HEADING, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    tls: bool,

    /// PEM file of the CAs to trust instead of the system's
    #[arg(long, value_name = "FILE", env = "RINGBINDER_TLS_CA", help_heading = HEADING)]
    #[arg(hide_env_values = true)]
    tls_ca: Option<OsString>,

    /// PEM file of the certificate, and its chain, for nodes that require one
    #[arg(long, value_name = "FILE", env = "RINGBINDER_TLS_CERT", help_heading = HEADING)]
    #[arg(hide_env_values = true)]
    tls_cert: Option<OsString>,

    /// PEM file of that certificate's key
    #[arg(long, value_name = "FILE", env = "RINGBINDER_TLS_KEY", help_heading = HEADING)]
    #[arg(hide_env_values = true)]
    tls_key: Option<OsString>,

    /// Name that the nodes' certificates must have, instead of each node's host in the ring
    #[arg(long, value_name = "HOST", env = "RINGBINDER_TLS_NAME", help_heading = HEADING)]
    #[arg(hide_env_values = true)]
    tls_name: Option<String>,

    /// File whose first line is the user:password to log in with
    #[arg(long, value_name = "FILE", env = "RINGBINDER_AUTH_FILE", help_heading = HEADING)]
    #[arg(hide_env_values = true)]
    auth_file: Option<OsString>,
}

/// What the flags come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    pub(super) tls: Option<Tls>,
    pub(super) login: Option<Login>,
}

impl SecurityOptions {
    /// Reads the login file. The files for TLS are read with the first client.
    ///
    /// # Errors
    /// If the flags conflict, or the file is invalid.
    pub(crate) fn read(&self) -> Result<Security, CliError> {
        let login = named(&self.auth_file).map(Login::from_file).transpose()?;
        Ok(Security { tls: self.tls()?, login })
    }

    fn tls(&self) -> Result<Option<Tls>, CliError> {
        let (ca, name) = (named(&self.tls_ca), self.tls_name.as_ref().filter(|it| !it.is_empty()));
        let identity = match (named(&self.tls_cert), named(&self.tls_key)) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            (Some(_), None) => return Err(alone("--tls-cert", "--tls-key", "key")),
            (None, Some(_)) => return Err(alone("--tls-key", "--tls-cert", "certificate")),
        };
        if !self.tls && ca.is_none() && identity.is_none() && name.is_none() {
            return Ok(None);
        }
        let mut tls = Tls::new();
        if let Some(ca) = ca {
            tls = tls.ca_file(ca);
        }
        if let Some((chain, key)) = identity {
            tls = tls.certificate_files(chain, key);
        }
        if let Some(name) = name {
            tls = tls.server_name(name);
        }
        Ok(Some(tls))
    }
}

fn named(file: &Option<OsString>) -> Option<&Path> {
    file.as_deref().filter(|file| !file.is_empty()).map(Path::new)
}

fn alone(flag: &str, other: &str, what: &str) -> CliError {
    CliError::Usage(format!("{flag} needs {other} FILE, the {what} that belongs to it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_imply_tls_and_go_together() {
        let some = || Some(OsString::from("f"));
        let none = SecurityOptions::default;
        assert!(none().tls().unwrap().is_none());
        assert!(SecurityOptions { tls: true, ..none() }.tls().unwrap().is_some());
        assert!(SecurityOptions { tls_ca: some(), ..none() }.tls().unwrap().is_some());
        assert!(SecurityOptions { tls_name: Some("a".into()), ..none() }.tls().unwrap().is_some());
        let both = SecurityOptions { tls_cert: some(), tls_key: some(), ..none() };
        assert!(both.tls().unwrap().is_some());
        assert!(SecurityOptions { tls_cert: some(), ..none() }.tls().is_err());
        assert!(SecurityOptions { tls_key: some(), ..none() }.tls().is_err());
        let empty = Some(OsString::new());
        assert!(SecurityOptions { tls_ca: empty, ..none() }.tls().unwrap().is_none());
    }
}
