//! Errors of rustls and webpki as clauses for people.
//!
//! Their own texts often contain names from the code, and sometimes bytes chosen by the other side. The texts
//! here are all our own: such a name is converted to words ([`name`]), and values are left out.

use std::fmt;

use rustls::{CertificateError, Error};

/// Describes a certificate of an old version, and what to do: a clause that follows "certificate".
pub const OF_AN_OLD_VERSION: &str = "is X.509 version 1, which cannot hold names, and TLS \
    requires version 3: create it again with \
     `printf subjectAltName=DNS:HOST | openssl x509 -req -in HOST.csr -CA ca.pem -CAkey ca.key \
     -CAcreateserial -days 365 -extfile /dev/stdin -out HOST.pem`";

/// Describes a certificate that may sign others, and what to do: a clause that follows "certificate".
pub const FOR_AN_AUTHORITY: &str = "is that of an authority (CA:TRUE), which is only for signing \
    others: have the authority sign another one, or create one with CA:FALSE (`openssl req -x509 -addext \
     basicConstraints=critical,CA:FALSE`)";

/// Most names of a certificate that are shown.
const SHOWN_NAMES: usize = 4;

/// Longest text from the other side that is shown, in characters.
const SHOWN_LEN: usize = 80;

/// Longest name from the code that is shown, in characters.
const MAX_NAME: usize = 60;

/// Describes the fault of a certificate, or of one above it: a clause that follows "its certificate".
///
/// Callers should handle expiry, names, purposes and unknown issuers themselves, because the remedy depends
/// on the side. For these, this function returns a general text.
pub fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "is not valid yet".to_owned(),
        E::Revoked => "is revoked".to_owned(),
        E::BadEncoding => "is damaged".to_owned(),
        E::BadSignature => {
            "is not signed by the trusted authority of that name: was the authority's certificate \
             replaced?"
                .to_owned()
        }
        E::UnknownIssuer => "is from an authority that is not trusted here".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => "is for another name".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "is not valid for this use (extended key usage)".to_owned()
        }
        E::UnhandledCriticalExtension => "has an unknown critical extension".to_owned(),
        E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => format!(
            "is signed with {}, which is not accepted: have the authority sign with SHA-256",
            signature(signature_algorithm_id)
        ),
        E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed by a key of a kind that is not accepted: RSA of 2048 to 8192 bits, EC of P-256, \
             P-384 and P-521, and Ed25519 are"
                .to_owned()
        }
        error => match objection(error) {
            Some(objection) => of_webpki(objection),
            None => format!("fails verification ({})", name(error)),
        },
    }
}

/// The error of webpki, if rustls has no error of its own for it.
pub(crate) fn objection(error: &CertificateError) -> Option<&webpki::Error> {
    match error {
        CertificateError::Other(inner) => inner.0.downcast_ref(),
        _ => None,
    }
}

fn of_webpki(error: &webpki::Error) -> String {
    use webpki::Error as E;
    match error {
        E::UnsupportedCertVersion => OF_AN_OLD_VERSION.to_owned(),
        E::CaUsedAsEndEntity => FOR_AN_AUTHORITY.to_owned(),
        E::EndEntityUsedAsCa => {
            "is signed by a certificate that is not an authority's (it lacks CA:TRUE)".to_owned()
        }
        E::PathLenConstraintViolated => {
            "has more authorities above it than one of them allows (pathlen)".to_owned()
        }
        E::NameConstraintViolation => {
            "has a name that an authority above it may not give (name constraints)".to_owned()
        }
        E::EmptyEkuExtension => "is not valid for any use (extended key usage)".to_owned(),
        E::MaximumPathDepthExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            "has a chain that is too long or too complex to check".to_owned()
        }
        error => format!("fails verification ({})", name(error)),
    }
}

/// The name of a signature algorithm by its identifier (RFC 3279, 4055, 5758): the content of an
/// `AlgorithmIdentifier`, which begins with the object identifier.
fn signature(id: &[u8]) -> &'static str {
    const RSA: [u8; 10] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: [u8; 8] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    const ECDSA_SHA2: [u8; 9] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let after = |prefix: &[u8]| id.strip_prefix(prefix).and_then(|rest| rest.first().copied());
    match (after(&RSA), after(&ECDSA), after(&ECDSA_SHA2)) {
        (Some(0x02 | 0x03), ..) => "RSA and MD2 or MD4",
        (Some(0x04), ..) => "RSA and MD5",
        (Some(0x05), ..) => "RSA and SHA-1",
        (Some(0x0a), ..) => "RSA-PSS with rare parameters",
        (Some(_), ..) => "RSA and a rare digest",
        (None, Some(0x01), _) => "ECDSA and SHA-1",
        (None, None, Some(0x01)) => "ECDSA and SHA-224",
        (None, None, Some(0x04)) => "ECDSA and SHA-512",
        (None, Some(_), _) | (None, None, Some(_)) => "ECDSA and a rare digest",
        (None, None, None) if id.starts_with(&[0x06, 0x03, 0x2b, 0x65, 0x71]) => "Ed448",
        (None, None, None) => "a rare algorithm",
    }
}

/// Describes any other TLS error: a clause about the other side, which follows "it".
pub fn other(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => {
            format!("presents a certificate that {}", certificate(error))
        }
        Error::InvalidMessage(what) => format!("sent an invalid TLS message ({})", name(what)),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "sent a TLS message out of turn".to_owned()
        }
        Error::PeerIncompatible(what) => {
            format!("has no TLS version or cipher in common with this side ({})", name(what))
        }
        Error::PeerMisbehaved(what) => format!("violates the TLS protocol ({})", name(what)),
        Error::AlertReceived(alert) => format!("aborted the handshake ({})", name(alert)),
        Error::NoCertificatesPresented => "presents no certificate".to_owned(),
        Error::DecryptError => "sent data that cannot be decrypted".to_owned(),
        Error::PeerSentOversizedRecord => "sent a TLS record that is too long".to_owned(),
        error => format!("failed to establish a TLS session with this side ({})", name(error)),
    }
}

/// The names of a certificate, for people: the first few of them, each of bounded length and escaped except
/// for plain ASCII. webpki writes them in its own form: `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
pub fn names(presented: &[String]) -> Vec<String> {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        plain(inner.unwrap_or(name).trim_matches('"'))
    };
    presented.iter().take(SHOWN_NAMES).map(bare).collect()
}

/// A text from the other side, of bounded length and escaped except for plain ASCII.
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for char in text.chars().take(SHOWN_LEN) {
        match char {
            ' '..='~' => shown.push(char),
            char => shown.extend(char.escape_unicode()),
        }
    }
    shown
}

/// Converts a name from rustls's code to words: `NoCipherSuitesInCommon` becomes "no cipher suites in
/// common". Shows nothing of the value except its name.
pub fn name(value: impl fmt::Debug) -> String {
    let debug = format!("{value:?}");
    let mut words = String::new();
    let mut after_lower = false;
    for char in debug.chars().take(MAX_NAME).take_while(char::is_ascii_alphanumeric) {
        if char.is_ascii_uppercase() && after_lower {
            words.push(' ');
        }
        after_lower = !char.is_ascii_uppercase();
        words.push(char.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{AlertDescription, OtherError, PeerIncompatible};

    use super::*;

    #[test]
    fn names_become_words() {
        assert_eq!(name(PeerIncompatible::NoCipherSuitesInCommon), "no cipher suites in common");
        assert_eq!(name(AlertDescription::UnknownCA), "unknown ca");
        assert_eq!(name(AlertDescription::HandshakeFailure), "handshake failure");
        assert_eq!(name("\x1b[2J"), "");
    }

    #[test]
    fn no_name_out_of_the_code_is_left() {
        let other_error =
            |error: webpki::Error| CertificateError::Other(OtherError(Arc::new(error)));
        for error in [
            webpki::Error::UnsupportedCertVersion,
            webpki::Error::CaUsedAsEndEntity,
            webpki::Error::EndEntityUsedAsCa,
            webpki::Error::MalformedExtensions,
            webpki::Error::MaximumPathDepthExceeded,
            webpki::Error::UnsupportedCriticalExtension,
        ] {
            let code = format!("{error:?}");
            let text = certificate(&other_error(error));
            assert!(!text.contains(&code) && !text.contains("Other("), "{text}");
        }
        let unknown = CertificateError::Other(OtherError(Arc::new(std::fmt::Error)));
        assert_eq!(certificate(&unknown), "fails verification (other)");
        let text = other(&Error::InvalidCertificate(other_error(webpki::Error::BadDer)));
        assert_eq!(text, "presents a certificate that fails verification (bad der)");
    }

    #[test]
    fn names_of_certificates_are_bounded_and_plain() {
        let of = |name: &str| names(&[name.to_owned()]).remove(0);
        assert_eq!(of("DnsName(\"a.example\")"), "a.example");
        assert_eq!(of("IpAddress(10.0.0.1)"), "10.0.0.1");
        assert_eq!(of("a\x1b[31m\u{9b}\u{202e}"), "a\\u{1b}[31m\\u{9b}\\u{202e}");
        assert_eq!(of(&"x".repeat(1000)).len(), SHOWN_LEN);
        assert_eq!(names(&vec!["x".to_owned(); 100]).len(), SHOWN_NAMES);
    }

    #[test]
    fn signatures_are_named() {
        assert_eq!(
            signature(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"),
            "RSA and SHA-1"
        );
        assert_eq!(signature(b"\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"), "ECDSA and SHA-1");
        assert_eq!(signature(b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"), "ECDSA and SHA-512");
        assert_eq!(signature(b"\x06\x03\x2b\x65\x71"), "Ed448");
        assert_eq!(signature(b""), "a rare algorithm");
    }
}
