//! Decides which readings of a source are sent to its user: only news.

use tokio::sync::mpsc::Sender;

use super::{SourceError, Update};
use crate::{Ring, RingId};

/// The last state reported to the user of a source.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The ring that the user has from this source.
    pub(super) ring: Option<RingId>,
    /// The last reported failure; `None` if the last reading was good.
    pub(super) failure: Option<SourceError>,
}

impl Reported {
    /// The message to send after a reading; `asked` is whether a caller waits for an answer.
    fn news(
        &mut self,
        reading: Result<Ring, SourceError>,
        asked: bool,
    ) -> Option<Result<Update, SourceError>> {
        match reading {
            Ok(ring) => {
                let over = self.failure.take().is_some();
                if self.ring.replace(ring.id()) == Some(ring.id()) {
                    (over || asked).then_some(Ok(Update::Unchanged(ring.id())))
                } else {
                    Some(Ok(Update::Ring(ring)))
                }
            }
            Err(failure) => {
                let known = self.failure.as_ref().is_some_and(|known| failure.is_same_as(known));
                self.failure = Some(failure.clone());
                (!known || asked).then_some(Err(failure))
            }
        }
    }
}

/// Sends the news in the readings of a source.
#[derive(Debug)]
pub(super) struct Reporter {
    reported: Reported,
    updates: Sender<Result<Update, SourceError>>,
}

impl Reporter {
    /// A reporter to a user who knows `reported`.
    pub(super) fn new(reported: Reported, updates: Sender<Result<Update, SourceError>>) -> Self {
        Reporter { reported, updates }
    }

    /// Whether a ring differs from the user's.
    #[cfg(feature = "etcd")]
    pub(super) fn is_new(&self, ring: &Ring) -> bool {
        self.reported.ring != Some(ring.id())
    }

    /// Sends a reading, if it is news or a caller waits for an answer.
    pub(super) async fn report(&mut self, reading: Result<Ring, SourceError>, asked: bool) {
        if let Some(news) = self.reported.news(reading, asked) {
            // If the receiver is dropped, the watch ends by itself.
            let _ = self.updates.send(news).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;
    use crate::Format;

    fn ring(version: u64) -> Result<Ring, SourceError> {
        let text = format!("version = {version}\n[[node]]\nname = \"a\"\naddress = \"a:1\"\n");
        Ring::parse(&text, Format::Toml, "test").map_err(SourceError::Invalid)
    }

    fn away(reason: &str) -> SourceError {
        let origin = Origin::Etcd { endpoints: vec!["a:1".into()], key: "k".into() };
        SourceError::Away { origin, reason: reason.into() }
    }

    #[test]
    fn only_news_are_told_unless_somebody_asks() {
        let empty = || SourceError::Empty(Origin::File("ring.toml".into()));
        let mut reported = Reported::default();
        let mut report = |reading, asked| match reported.news(reading, asked) {
            Some(Ok(Update::Ring(ring))) => format!("ring {}", ring.id().version),
            Some(Ok(Update::Unchanged(_))) => "unchanged".to_owned(),
            Some(Err(error)) if error.is_away() => "away".to_owned(),
            Some(Err(_)) => "failure".to_owned(),
            None => "nothing".to_owned(),
        };
        assert_eq!(report(ring(2), false), "ring 2");
        assert_eq!(report(ring(2), false), "nothing");
        assert_eq!(report(ring(2), true), "unchanged");
        assert_eq!(report(ring(1), false), "ring 1");
        assert_eq!(report(Err(empty()), false), "failure");
        assert_eq!(report(Err(empty()), false), "nothing");
        assert_eq!(report(Err(empty()), true), "failure");
        assert_eq!(report(ring(1), false), "unchanged");
        assert_eq!(report(Err(away("refused")), false), "away");
        assert_eq!(report(Err(away("silent")), false), "nothing");
        assert_eq!(report(Err(empty()), false), "failure");
        assert_eq!(report(Err(away("silent")), false), "away");
        assert_eq!(report(ring(3), false), "ring 3");
        assert_eq!(report(ring(3), false), "nothing");
    }
}
