//! TLS: the certificates that listeners present and trust, and the same towards other nodes.
//!
//! | file | what it is |
//! |---|---|
//! | `material` | certificates and keys out of files |
//! | `explain` | what went wrong, in words for the one who can act |
//!
//! All data from files is one [`State`], replaced as a whole. If a reload fails, the current state
//! stays. Connections keep the state with which they began. Each kind of listener has a
//! configuration of its own, so that a session without a client certificate cannot be resumed if
//! one is required.

pub(crate) mod explain;
mod material;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};
use ringbinder_store::Seconds;
use ringbinder_tls::calendar::date;
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub(crate) use material::{TlsError, too_open};

use self::material::OwnCertificate;
use crate::observe::log_limit::LogLimit;
use crate::settings::{TlsSettings, Verify};

/// A certificate that expires within this many seconds causes a warning.
const SOON: u64 = 14 * 24 * 3600;

static LATEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
static ALL: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// TLS, as workers share it.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    /// The configurations that listeners need.
    verify: Vec<Verify>,
    /// Whether this node may dial other nodes with TLS.
    dials: bool,
    state: RwLock<Arc<State>>,
    reloading: Mutex<()>,
    /// Handshakes that failed.
    pub(crate) handshake_errors: AtomicU64,
    /// Connections that broke the protocol after their handshake.
    pub(crate) proto_errors: AtomicU64,
    /// Handshakes that began a new session.
    pub(crate) new_sessions: AtomicU64,
    /// The log rate limit for failed handshakes.
    pub(crate) complaints: LogLimit,
}

/// The data from the files.
#[derive(Debug)]
struct State {
    servers: Vec<(Verify, Arc<ServerConfig>)>,
    client: Option<Arc<ClientConfig>>,
    expires: Option<u64>,
    read_at: Seconds,
}

impl Tls {
    /// Reads the files; also returns warnings for the operator, one line each. `verify` says which
    /// certificates listeners request from clients, `dials` whether this node may dial other nodes.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(crate) fn load(
        settings: &TlsSettings,
        verify: impl IntoIterator<Item = Verify>,
        dials: bool,
        now: Seconds,
    ) -> Result<(Tls, Vec<String>), TlsError> {
        let mut verify: Vec<Verify> = verify.into_iter().collect();
        verify.sort_unstable();
        verify.dedup();
        let (state, warnings) = State::read(settings, &verify, dials, now)?;
        let tls = Tls {
            settings: settings.clone(),
            verify,
            dials,
            state: RwLock::new(Arc::new(state)),
            reloading: Mutex::new(()),
            handshake_errors: AtomicU64::new(0),
            proto_errors: AtomicU64::new(0),
            new_sessions: AtomicU64::new(0),
            complaints: LogLimit::default(),
        };
        Ok((tls, warnings))
    }

    /// Reads the files again, for connections that begin after this. Blocks while it reads, so it
    /// must not run on a worker's thread.
    ///
    /// # Errors
    /// A file that cannot be used; the current state then stays.
    pub(crate) fn reload(&self, now: Seconds) -> Result<Vec<String>, TlsError> {
        let _one_at_a_time = self.reloading.lock();
        let (state, warnings) = State::read(&self.settings, &self.verify, self.dials, now)?;
        let past = |expires: Option<u64>| expires.filter(|&expires| expires <= u64::from(now));
        if let (Some(expires), Some(chain)) = (past(state.expires), &self.settings.chain)
            && past(self.expires()).is_none()
        {
            return Err(TlsError::Expired { path: chain.clone(), date: date(expires) });
        }
        *self.state.write() = Arc::new(state);
        Ok(warnings)
    }

    /// The configuration of a listener: its certificate, and the authorities that it trusts.
    pub(crate) fn server(&self, verify: Verify) -> Option<Arc<ServerConfig>> {
        let state = self.state.read();
        state.servers.iter().find(|(it, _)| *it == verify).map(|(_, server)| Arc::clone(server))
    }

    /// The configuration towards other nodes: this node's certificate, and the authorities that it
    /// trusts.
    pub(crate) fn client(&self) -> Option<Arc<ClientConfig>> {
        self.state.read().client.clone()
    }

    /// The time at which the first certificate of the chain expires, as a Unix time.
    pub(crate) fn expires(&self) -> Option<u64> {
        self.state.read().expires
    }

    /// The time at which the files were last read, as a Unix time.
    pub(crate) fn read_at(&self) -> Seconds {
        self.state.read().read_at
    }

    /// The files that a reload reads.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let TlsSettings { chain, key, authorities, .. } = &self.settings;
        [chain, key, authorities].into_iter().flatten().map(AsRef::as_ref)
    }
}

impl State {
    fn read(
        settings: &TlsSettings,
        verify: &[Verify],
        dials: bool,
        now: Seconds,
    ) -> Result<(State, Vec<String>), TlsError> {
        let provider = ringbinder_tls::provider();
        let mut warnings = Vec::new();
        let identity = match &settings.chain {
            Some(chain) => Some(OwnCertificate::read(chain, settings.key.as_deref(), &provider)?),
            None => None,
        };
        let expires = identity.as_ref().map(|identity| identity.expires);
        if let (Some(identity), Some(chain)) = (&identity, &settings.chain) {
            warnings.extend(identity.warnings.iter().cloned());
            warnings.extend(age(chain, identity.expires, now));
        }
        let authorities = settings.authorities.as_deref().map(material::authorities).transpose()?;
        let authorities = authorities.map(Arc::new);
        let build = Build { settings, provider, identity, authorities };
        let servers = verify.iter().map(|&verify| Ok((verify, build.server(verify)?)));
        let servers = servers.collect::<Result<_, TlsError>>()?;
        let client = if dials { Some(build.client(&mut warnings)?) } else { None };
        Ok((State { servers, client, expires, read_at: now }, warnings))
    }
}

/// Whether a certificate is for this host, a name or an address.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let (Ok(certificate), Ok(host)) =
        (ParsedCertificate::try_from(certificate), ServerName::try_from(host))
    else {
        return false;
    };
    verify_server_name(&certificate, &host).is_ok()
}

/// A warning about a certificate that expires at `expires`.
fn age(chain: &Path, expires: u64, now: Seconds) -> Option<String> {
    let (chain, date, now) = (chain.display(), date(expires), u64::from(now));
    match expires.checked_sub(now) {
        None | Some(0) => Some(format!(
            "the certificate in {chain} expired on {date}: clients and other nodes reject it; put \
             a new one in its place and send SIGHUP to this process"
        )),
        Some(left) if left <= SOON => Some(format!(
            "the certificate in {chain} expires on {date}, in {} days: put a new one in its place \
             and run `ringbinder refresh-certs`, or send SIGHUP",
            left / (24 * 3600)
        )),
        Some(_) => None,
    }
}

/// The data from which configurations are built.
struct Build<'a> {
    settings: &'a TlsSettings,
    provider: Arc<CryptoProvider>,
    identity: Option<OwnCertificate>,
    authorities: Option<Arc<RootCertStore>>,
}

impl Build<'_> {
    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.settings.min_version.is_latest() { LATEST } else { ALL }
    }

    fn server(&self, verify: Verify) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions())
            .map_err(TlsError::build)?;
        let builder = match (verify, &self.authorities) {
            (Verify::Nobody, _) => builder.with_no_client_auth(),
            (_, None) => return Err(TlsError::NoAuthorities),
            (verify, Some(authorities)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::clone(authorities),
                    Arc::clone(&self.provider),
                );
                let verifier = match verify {
                    Verify::WhoShows => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(TlsError::build)?)
            }
        };
        let identity = self.identity.as_ref().ok_or(TlsError::NoChain)?;
        let resolver = SingleCertAndKey::from(identity.certified.clone());
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // A resumed session does not present its certificate again, which may have expired or lost
        // its authority. So there are no sessions if certificates are requested.
        if self.settings.session_cache && verify == Verify::Nobody {
            config.ticketer = ringbinder_tls::ticketer().map_err(TlsError::build)?;
            config.send_tls13_tickets = 1;
        }
        Ok(Arc::new(config))
    }

    fn client(&self, warnings: &mut Vec<String>) -> Result<Arc<ClientConfig>, TlsError> {
        let authorities = match &self.authorities {
            Some(authorities) => Arc::clone(authorities),
            None => Arc::new(material::system_authorities(warnings)),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions())
            .map_err(TlsError::build)?
            .with_root_certificates(authorities);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                identity.certified.clone(),
            ))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_about_from_two_weeks_before_its_end() {
        let chain = Path::new("cert.pem");
        let now: Seconds = 1_700_000_000;
        let at = |offset: i64| age(chain, u64::from(now).saturating_add_signed(offset), now);
        assert!(at(0).unwrap().contains("expired on 2023-11-14"));
        assert!(at(-1).unwrap().contains("expired on"));
        assert!(at(3 * 24 * 3600).unwrap().contains("in 3 days"));
        assert_eq!(at(15 * 24 * 3600), None);
    }
}
