//! Faults between two sides whose own files are valid.

use std::io;
use std::time::Duration;

use ringbinder_tls::words::{self, name};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// The reason why there is no secure connection to a node, or only an insecure one to a node that
/// requires TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// The node's certificate has expired.
    #[error("its certificate has expired{}: renew it there", ago(*.0))]
    Expired(Option<Duration>),
    /// The node's certificate is not valid yet, or this machine's clock is wrong.
    #[error("its certificate is not valid yet: check the clocks of both sides")]
    NotYetValid,
    /// The node's certificate is from an untrusted CA.
    #[error("its certificate is not from a CA that is trusted here")]
    UnknownIssuer,
    /// The node's certificate is for another host.
    #[error("its certificate is not for {expected}{}", but_for(presented))]
    WrongName {
        /// The dialled host, or the requested name.
        expected: String,
        /// The first of the names in the certificate.
        presented: Vec<String>,
    },
    /// The node's certificate has another fault; continues the sentence after "certificate".
    #[error("its certificate, or one above it, {0}")]
    Certificate(String),
    /// The host in the ring cannot be the subject of a certificate.
    #[error("{host:?} is neither a host name nor an IP address, as a certificate needs")]
    Name {
        /// The host.
        host: String,
    },
    /// The node requires a certificate from this client.
    #[error("it requires a client certificate, and got none")]
    CertificateRequired,
    /// The node does not trust this client's certificate.
    #[error("it does not accept this client's certificate: {0}")]
    ClientCertificate(String),
    /// The two sides have no version of TLS, cipher or kind of signature in common.
    #[error(
        "it and this client have no TLS version, cipher or kind of certificate in common ({0}): see \
         which keys are accepted in docs/tls.md"
    )]
    NothingInCommon(String),
    /// The answer is not TLS.
    #[error("it does not speak TLS on this port")]
    NotTls,
    /// The node speaks TLS, and this client does not.
    #[error("it speaks TLS on this port, and this client does not")]
    OnlyTls,
    /// The connection was made, but the handshake did not finish in time.
    #[error(
        "it made no TLS handshake within {0:?}: it is slow, or does not speak TLS on this port"
    )]
    Late(Duration),
    /// The node closed the connection during the handshake.
    #[error("it closed the connection during the TLS handshake")]
    Closed,
    /// Any other fault.
    #[error("TLS: {0}")]
    Other(String),
}

impl TlsFault {
    /// The fault of a failed handshake.
    pub(super) fn of_handshake(error: &io::Error) -> TlsFault {
        super::tls_error(error).map_or(TlsFault::Closed, TlsFault::of)
    }

    /// The fault of a connection that failed after the handshake; `None` if it simply ended.
    pub(crate) fn of_stream(error: &io::Error) -> Option<TlsFault> {
        match super::tls_error(error)? {
            Error::AlertReceived(
                AlertDescription::CloseNotify | AlertDescription::UserCanceled,
            ) => None,
            error => Some(TlsFault::of(error)),
        }
    }

    fn of(error: &Error) -> TlsFault {
        match error {
            Error::InvalidCertificate(why) => TlsFault::of_certificate(why),
            Error::AlertReceived(alert) => TlsFault::of_alert(*alert),
            Error::PeerIncompatible(why) => TlsFault::NothingInCommon(name(why)),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => TlsFault::NotTls,
            error => TlsFault::Other(format!("it {}", words::other(error))),
        }
    }

    fn of_certificate(error: &CertificateError) -> TlsFault {
        match error {
            CertificateError::Expired => TlsFault::Expired(None),
            CertificateError::ExpiredContext { time, not_after } => {
                TlsFault::Expired(Some(between(*not_after, *time)))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            // A bad signature means another CA with the name of a trusted one, such as a CA that
            // was created again.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsFault::UnknownIssuer
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                TlsFault::WrongName {
                    expected: words::plain(&expected.to_str()),
                    presented: words::names(presented),
                }
            }
            error => TlsFault::Certificate(words::certificate(error)),
        }
    }

    fn of_alert(alert: AlertDescription) -> TlsFault {
        let says = |words: &str| TlsFault::ClientCertificate(words.to_owned());
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                TlsFault::CertificateRequired
            }
            AlertDescription::CertificateExpired => says("it has expired"),
            AlertDescription::CertificateRevoked => says("it is revoked"),
            AlertDescription::UnknownCA => says("it is from a CA that is not trusted there"),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => says(&name(alert)),
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity => TlsFault::NothingInCommon(name(alert)),
            alert => TlsFault::Other(format!("it aborted the handshake ({})", name(alert))),
        }
    }
}

fn between(earlier: UnixTime, later: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

fn ago(since: Option<Duration>) -> String {
    let Some(seconds) = since.map(|since| since.as_secs()) else { return String::new() };
    let (number, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86400, "days"),
    };
    format!(" {number} {unit} ago")
}

fn but_for(presented: &[String]) -> String {
    match presented {
        [] => ", nor for any other (it has no subjectAltName)".to_owned(),
        names => format!(" but for {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_for_people() {
        let expired = |seconds| TlsFault::Expired(Some(Duration::from_secs(seconds))).to_string();
        assert_eq!(expired(5), "its certificate has expired 5 seconds ago: renew it there");
        assert_eq!(expired(3 * 86400), "its certificate has expired 3 days ago: renew it there");
        let name = |presented: &[&str]| {
            let presented = presented.iter().map(|&name| name.to_owned()).collect();
            TlsFault::WrongName { expected: "a".to_owned(), presented }.to_string()
        };
        assert_eq!(
            name(&[]),
            "its certificate is not for a, nor for any other (it has no subjectAltName)"
        );
        assert_eq!(name(&["b", "c"]), "its certificate is not for a but for b, c");
    }

    #[test]
    fn an_end_is_no_fault() {
        let of = |alert| {
            let error = Error::AlertReceived(alert);
            TlsFault::of_stream(&io::Error::new(io::ErrorKind::InvalidData, error))
        };
        assert_eq!(of(AlertDescription::CloseNotify), None);
        assert_eq!(of(AlertDescription::CertificateRequired), Some(TlsFault::CertificateRequired));
        assert_eq!(TlsFault::of_stream(&io::ErrorKind::ConnectionReset.into()), None);
    }
}
