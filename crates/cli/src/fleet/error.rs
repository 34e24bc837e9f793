//! Errors of commands that ask nodes, and advice for the user of this command.

use ringbinder_client::{Absence, Error, TlsFault};

use crate::exit::Exit;
use crate::shell;

/// Most failures or names in one message.
const LISTED: usize = 8;

/// The reason why some or all nodes did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    #[error("{}", sum(failures, *asked, *nodes, origin))]
    Nodes { failures: Vec<Error>, asked: usize, nodes: usize, origin: String },
    #[error("{origin} has no node {name:?}; it has {}", listed(names))]
    NoSuchNode { name: String, origin: String, names: Vec<String> },
    #[error("{0}")]
    Value(String),
    #[error("cannot use the ring: {0}")]
    NoClient(String),
}

impl FleetError {
    /// The exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Nodes { failures, .. } => {
                // The worst failure decides.
                let exits = failures.iter().map(of_answer);
                exits.max_by_key(|exit| exit.number()).unwrap_or(Exit::Unavailable)
            }
            Self::NoSuchNode { .. } => Exit::Usage,
            Self::Value(_) | Self::NoClient(_) => Exit::Data,
        }
    }
}

fn of_answer(error: &Error) -> Exit {
    match error {
        Error::Nonsense { .. } => Exit::Protocol,
        Error::Unauthenticated { .. } => Exit::NoPermission,
        Error::Away { why: Absence::Tls(fault), .. } => of_fault(fault),
        // The node answered, and the answer is negative.
        Error::Refused { .. } | Error::Failed { .. } => Exit::No,
        Error::Key(_) | Error::ValueTooLong { .. } => Exit::Data,
        Error::Line(_) => Exit::Usage,
        _ => Exit::Unavailable,
    }
}

fn of_fault(fault: &TlsFault) -> Exit {
    match fault {
        TlsFault::CertificateRequired | TlsFault::ClientCertificate(_) => Exit::NoPermission,
        TlsFault::Closed | TlsFault::Late(_) => Exit::Unavailable,
        _ => Exit::Protocol,
    }
}

/// The failures, and advice on the first of them that can be remedied here.
fn sum(failures: &[Error], asked: usize, nodes: usize, origin: &str) -> String {
    let text = summary(failures, asked, nodes, origin);
    match failures.iter().find_map(advice) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

fn summary(failures: &[Error], asked: usize, nodes: usize, origin: &str) -> String {
    let is_away = |failure: &Error| failure.is_away() && advice(failure).is_none();
    let all_away = failures.iter().all(is_away) && failures.len() == nodes;
    let mut text = match failures {
        _ if all_away => format!("no node of {origin} answers"),
        [only] if asked > 1 => return format!("{only}; the other nodes answered"),
        [only] if is_away(only) => {
            let check = shell::command("check", origin, "");
            return format!("{only}; `{check}` shows the state of the others");
        }
        [only] => return only.to_string(),
        _ => format!("{} of {asked} nodes failed", failures.len()),
    };
    let first: Vec<String> = failures.iter().take(LISTED).map(ToString::to_string).collect();
    text.push_str(&format!(": {}", first.join("; ")));
    if failures.len() > LISTED {
        text.push_str(&format!("; and {} more", failures.len() - LISTED));
    }
    if all_away {
        // Only a ring in a file can be started.
        let file = if origin.contains("://") { "ring.toml" } else { origin };
        let up = shell::command("up", file, "");
        text.push_str(&format!(
            "; start them (`{up}` starts those of this machine) or name another ring with --ring"
        ));
    }
    text
}

/// Names for a message, the first ones if there are many.
pub(crate) fn listed(names: &[String]) -> String {
    let more = if names.len() > LISTED { ", ..." } else { "" };
    format!("{}{more}", names[..LISTED.min(names.len())].join(", "))
}

/// The remedy at this end if a node rejects the connection. `None` if nothing here would help.
pub(crate) fn advice(error: &Error) -> Option<&'static str> {
    let fault = match error {
        Error::Unauthenticated { user: None, .. } => {
            return Some("name a file with user:password with --auth-file FILE");
        }
        Error::Unauthenticated { .. } => return Some("correct the file given with --auth-file"),
        Error::Away { why: Absence::Tls(fault), .. } => fault,
        _ => return None,
    };
    match fault {
        TlsFault::UnknownIssuer => Some("name the CA that signed it with --tls-ca FILE"),
        TlsFault::WrongName { .. } | TlsFault::Name { .. } => {
            Some("give the certificate's name with --tls-name HOST, or use that name in the ring")
        }
        TlsFault::CertificateRequired | TlsFault::ClientCertificate(_) => {
            Some("give an accepted certificate with --tls-cert FILE and --tls-key FILE")
        }
        TlsFault::NotTls | TlsFault::Late(_) => {
            Some("leave out --tls (RINGBINDER_TLS...) if the nodes do not use TLS")
        }
        TlsFault::OnlyTls => Some("use --tls, or --tls-ca FILE with the nodes' CA"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ringbinder_client::Absence;

    use super::*;

    fn away(node: &str) -> Error {
        Error::Away { node: node.into(), why: Absence::Closed }
    }

    fn nonsense() -> Error {
        Error::Nonsense { node: "b".into(), got: "220 mail".into() }
    }

    /// An error for a ring of two nodes, or of as many as were asked.
    fn error(failures: Vec<Error>, asked: usize) -> FleetError {
        FleetError::Nodes { failures, asked, nodes: asked.max(2), origin: "ring.toml".into() }
    }

    #[test]
    fn nonsense_counts_more_than_absence() {
        assert_eq!(error(vec![away("a")], 2).exit(), Exit::Unavailable);
        assert_eq!(error(vec![away("a"), nonsense()], 2).exit(), Exit::Protocol);
        let refused = Error::Refused { node: "a".into(), says: "CLIENT_ERROR no".into() };
        assert_eq!(error(vec![refused.clone()], 2).exit(), Exit::No);
        assert_eq!(error(vec![refused, away("a")], 2).exit(), Exit::Unavailable);
    }

    #[test]
    fn messages_tell_some_from_all() {
        let text = error(vec![away("a")], 2).to_string();
        assert!(text.ends_with("; the other nodes answered"), "{text}");
        let text = error(vec![away("a")], 1).to_string();
        assert!(text.contains(" check` shows the state of the others"), "{text}");
        let text = error(vec![away("a"), away("b")], 2).to_string();
        assert!(text.starts_with("no node of ring.toml answers: a is unreachable"), "{text}");
        let text = error((0..10).map(|_| away("a")).collect(), 20).to_string();
        assert!(text.starts_with("10 of 20 nodes failed: "), "{text}");
        assert!(text.ends_with("; and 2 more"), "{text}");
        assert_eq!(error(vec![nonsense()], 1).to_string(), nonsense().to_string());
    }

    #[test]
    fn what_can_be_done_here_is_said_once() {
        let tls = |fault| Error::Away { node: "a".into(), why: Absence::Tls(fault) };
        let all = error(vec![tls(TlsFault::UnknownIssuer), tls(TlsFault::UnknownIssuer)], 2);
        let text = all.to_string();
        assert!(text.starts_with("2 of 2 nodes failed: "), "{text}");
        assert!(text.ends_with("; name the CA that signed it with --tls-ca FILE"), "{text}");
        assert_eq!(text.matches("--tls-ca").count(), 1);
        assert_eq!(all.exit(), Exit::Protocol);
        let asked = error(vec![tls(TlsFault::CertificateRequired)], 1);
        assert_eq!(asked.exit(), Exit::NoPermission);
        assert!(!asked.to_string().contains(" check`"), "{asked}");
        let login = Error::Unauthenticated { node: "a".into(), user: None };
        let login = error(vec![login], 1);
        assert_eq!(login.exit(), Exit::NoPermission);
        assert!(login.to_string().ends_with(" --auth-file FILE"), "{login}");
        assert_eq!(error(vec![tls(TlsFault::Closed)], 1).exit(), Exit::Unavailable);
    }
}
