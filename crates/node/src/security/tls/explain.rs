//! The causes of TLS failures, in words for the person who can act. "It" is the other side.

use std::io;

use ringbinder_tls::calendar::date;
use ringbinder_tls::words::{self, name};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// The TLS error inside an error of a socket.
pub(crate) fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether the other side speaks another protocol.
pub(crate) fn is_no_tls(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload
        )
    )
}

/// The cause of a failure, as a sentence about the other side.
pub(crate) fn cause(error: &io::Error) -> String {
    match inner(error) {
        Some(error) => tls_cause(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection".to_owned()
        }
        None => error.to_string(),
    }
}

fn tls_cause(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::NoCertificatesPresented => "it sent no certificate, but one is required".to_owned(),
        Error::AlertReceived(alert) => refusal(*alert),
        Error::PeerIncompatible(what) => {
            let what = name(what);
            format!("it supports no TLS version or cipher suite that is accepted here ({what})")
        }
        error if is_no_tls(error) => "it does not use TLS".to_owned(),
        error => format!("it {}", words::other(error)),
    }
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::ExpiredContext { not_after, .. } => {
            format!("its certificate, or one above it, expired on {}", date(not_after.as_secs()))
        }
        E::Expired => "its certificate, or one above it, has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "its certificate is not valid yet: compare the clocks".to_owned()
        }
        E::UnknownIssuer => {
            "its certificate is from an authority that is not trusted here (ssl_ca_cert)".to_owned()
        }
        E::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for {} but for {}",
            words::plain(&expected.to_str()),
            for_whom(presented)
        ),
        E::NotValidForName => "its certificate is for another name".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "its certificate is not valid for this use (extended key usage: serverAuth for nodes, \
             clientAuth for clients; nodes of a ring are both)"
                .to_owned()
        }
        error => format!("its certificate, or one above it, {}", words::certificate(error)),
    }
}

/// The names in a certificate, shortened for display: the other side chose them.
fn for_whom(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name (it has no subjectAltName)".to_owned();
    }
    words::names(presented).join(", ")
}

/// The reason that the other side sent before it closed the connection.
fn refusal(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let why = match alert {
        A::CertificateExpired => "has expired by its clock",
        A::UnknownCA => "is from an authority that it does not trust",
        A::CertificateRevoked => "was revoked",
        A::UnsupportedCertificate => "is not valid for this use (extended key usage)",
        A::BadCertificate | A::CertificateUnknown => {
            "is invalid, or not for the name that it dialled"
        }
        A::CertificateRequired => {
            return "it requires a certificate, but this node sent none (ssl_chain_cert)"
                .to_owned();
        }
        A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => {
            return format!(
                "it accepts no TLS version, cipher suite or kind of certificate that this node \
                 supports ({})",
                name(alert)
            );
        }
        alert => return format!("it ended the handshake: {}", name(alert)),
    };
    format!("it rejects this node's certificate, which {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_sockets_are_looked_into() {
        let error = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let expired = error(Error::InvalidCertificate(CertificateError::Expired));
        assert!(cause(&expired).contains("has expired"));
        let alert = error(Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(cause(&alert).contains("requires a certificate"));
        let alert = error(Error::AlertReceived(AlertDescription::UnknownCA));
        assert!(cause(&alert).contains("does not trust"));
        assert_eq!(cause(&io::ErrorKind::UnexpectedEof.into()), "it closed the connection");
    }
}
