//! The side of the process that starts: it requests the take-over.

use std::io::{self, ErrorKind::ConnectionRefused, ErrorKind::NotFound};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{User, geteuid};
use ringbinder_store::snapshot::{Decoded, Header};
use tracing::{info, warn};

use super::{PROTOCOL, TakeoverError, wire};
use crate::net::inherit::Inherited;
use crate::settings::Settings;
use crate::snapshot::{self, Pending, ReadError, Stream};
use crate::worker::shared::Shared;

/// The timeout for the other process, which may have to finish a restore first.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Another process that is ready to hand over, and serves until then.
#[derive(Debug)]
pub(crate) struct Offer {
    path: PathBuf,
    stream: UnixStream,
}

/// Asks the process behind the socket for its listening sockets. `None` if there is no such
/// process.
///
/// # Errors
/// An error if there is a process that does not hand over: it continues to serve.
pub(crate) fn request_takeover(
    path: &Path,
    settings: &Settings,
    inherited: &mut Inherited,
) -> Result<Option<Offer>, TakeoverError> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => return Ok(None),
        Err(source) => return Err(TakeoverError::Io { path: path.to_owned(), source }),
    };
    let offer = Offer { path: path.to_owned(), stream };
    let failed = |source| TakeoverError::Io { path: path.to_owned(), source };
    offer.stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    offer.stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
    let peer = getsockopt(&offer.stream, PeerCredentials).map_err(|error| failed(error.into()))?;
    let uid = peer.uid();
    if !is_trusted(uid, settings) {
        return Err(TakeoverError::Untrusted { path: path.to_owned(), uid });
    }
    offer.say(&format!("hand-over {PROTOCOL}"))?;
    let (line, descriptors) = offer.hear()?;
    let named = line.strip_prefix(&format!("offer {PROTOCOL} "));
    if named.and_then(|number| number.parse().ok()) != Some(descriptors.len()) {
        return Err(TakeoverError::Protocol { path: path.to_owned() });
    }
    inherited.add(descriptors).map_err(failed)?;
    Ok(Some(offer))
}

/// Whether this process may trust data from a process of this user.
fn is_trusted(uid: u32, settings: &Settings) -> bool {
    let later = settings.user.as_deref().and_then(|name| User::from_name(name).ok().flatten());
    uid == 0 || uid == geteuid().as_raw() || later.is_some_and(|user| user.uid.as_raw() == uid)
}

impl Offer {
    /// Takes over. When this returns, the other process has stopped serving, and its items can be
    /// restored; `None` if it has none for this node.
    ///
    /// # Errors
    /// An error if the take-over failed: the other process may still serve, so this process must
    /// not.
    pub(crate) fn take(self, shared: &Shared) -> Result<Option<Pending>, TakeoverError> {
        self.say("take")?;
        self.expect("yours")?;
        self.say("mine")?;
        let has_items = match self.hear()?.0.as_str() {
            "go" => true,
            "go bare" => false,
            _ => return Err(TakeoverError::Protocol { path: self.path }),
        };
        info!("took over from the process at {}", self.path.display());
        if !has_items {
            return Ok(None);
        }
        let longest = snapshot::longest(shared);
        let stream = Stream::new(Box::new(self.stream) as Box<dyn io::Read + Send>, longest);
        Ok(pending(shared, stream).unwrap_or_else(|reason| {
            warn!("cannot adopt the items of the previous process: {reason}");
            None
        }))
    }

    fn say(&self, line: &str) -> Result<(), TakeoverError> {
        wire::send(&self.stream, &format!("{line}\n"), &[]).map_err(|source| self.failed(source))
    }

    fn hear(&self) -> Result<(String, Vec<std::os::fd::OwnedFd>), TakeoverError> {
        let heard = wire::receive(&self.stream).map_err(|source| self.failed(source))?;
        match heard.0.strip_prefix("refused ") {
            None => Ok(heard),
            Some(reason) => {
                let reason = reason.escape_debug().to_string();
                Err(TakeoverError::Refused { path: self.path.clone(), reason })
            }
        }
    }

    fn expect(&self, word: &str) -> Result<(), TakeoverError> {
        match self.hear()?.0 == word {
            true => Ok(()),
            false => Err(TakeoverError::Protocol { path: self.path.clone() }),
        }
    }

    fn failed(&self, source: io::Error) -> TakeoverError {
        TakeoverError::Io { path: self.path.clone(), source }
    }
}

/// Prepares the restore of the items, or returns the reason why nothing is restored.
fn pending(
    shared: &Shared,
    mut stream: Stream<Box<dyn io::Read + Send>>,
) -> Result<Option<Pending>, String> {
    let (_, header) = stream
        .next(|decoded| match decoded {
            Decoded::Header(header) => header,
            _ => Header::default(),
        })
        .map_err(|error: ReadError| error.to_string())?;
    snapshot::header_fits(shared, &header)?;
    let from = "the previous process".to_owned();
    Ok(Pending::new(shared, stream, &header, from, None))
}
