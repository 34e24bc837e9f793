//! Advice for the user of this command if a node cannot be used.

use ringbinder_client::{Absence, Error, TlsFault};

/// The remedy at this end if a node rejects the connection. `None` if nothing here would help.
pub(crate) fn advice(error: &Error) -> Option<&'static str> {
    let fault = match error {
        Error::Unauthenticated { user: None, .. } => {
            return Some("name a file with user:password with --auth-file FILE");
        }
        Error::Unauthenticated { .. } => return Some("see to the file that --auth-file names"),
        Error::Away { why: Absence::Tls(fault), .. } => fault,
        _ => return None,
    };
    match fault {
        TlsFault::UnknownIssuer => Some("name the CA that signed it with --tls-ca FILE"),
        TlsFault::WrongName { .. } | TlsFault::Name { .. } => {
            Some("say which name it is for with --tls-name HOST, or have the ring use that")
        }
        TlsFault::CertificateRequired | TlsFault::ClientCertificate(_) => {
            Some("name one that it takes with --tls-cert FILE and --tls-key FILE")
        }
        TlsFault::NotTls | TlsFault::Late(_) => {
            Some("leave out --tls (RINGBINDER_TLS...) where the nodes are plain")
        }
        TlsFault::OnlyTls => Some("say --tls, or --tls-ca FILE with the CA of the nodes"),
        _ => None,
    }
}
