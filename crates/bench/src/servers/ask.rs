//! A connection for occasional questions, one at a time.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// A blocking connection. It returns an error if the server does not answer for long.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Self::PATIENCE)?;
        stream.set_read_timeout(Some(Self::PATIENCE))?;
        stream.set_write_timeout(Some(Self::PATIENCE))?;
        stream.set_nodelay(true)?;
        // `memory` holds thousands of these idle, so the buffer is as small as the answers.
        Ok(Self(BufReader::with_capacity(512, stream)))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        // All expected answers are short.
        (&mut self.0).take(4096).read_line(&mut line).context("no answer")?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => bail!("the connection was closed instead of an answer"),
        }
    }

    fn send(&mut self, request: &str) -> anyhow::Result<()> {
        self.0.get_mut().write_all(request.as_bytes()).context("cannot send")
    }

    /// Asks for the version, which shows that the server answers.
    pub(crate) fn version(&mut self) -> anyhow::Result<String> {
        self.send("version\r\n")?;
        let line = self.line()?;
        line.strip_prefix("VERSION ")
            .map(str::to_owned)
            .with_context(|| format!("{line:?} is not a version"))
    }

    /// Reads the server's counters: `stats`, or `stats SECTION`.
    pub(crate) fn stats(
        &mut self,
        section: Option<&str>,
    ) -> anyhow::Result<HashMap<String, String>> {
        let section = section.map(|section| format!(" {section}")).unwrap_or_default();
        self.send(&format!("stats{section}\r\n"))?;
        let mut stats = HashMap::new();
        loop {
            let line = self.line()?;
            if line == "END" {
                return Ok(stats);
            }
            let words = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' '));
            let (name, value) = words.with_context(|| format!("{line:?} is not a counter"))?;
            stats.insert(name.to_owned(), value.to_owned());
        }
    }

    /// A number from a section, if the section has one with this name.
    pub(crate) fn setting(&mut self, section: &str, name: &str) -> anyhow::Result<Option<u64>> {
        Ok(self.stats(Some(section))?.get(name).and_then(|value| value.parse().ok()))
    }

    /// One counter.
    pub(crate) fn counter(&mut self, name: &str) -> anyhow::Result<u64> {
        let stats = self.stats(None)?;
        let value = stats.get(name).with_context(|| format!("stats has no {name}"))?;
        value.parse().with_context(|| format!("{name} is {value:?}, which is not a number"))
    }

    /// Stores one small item and reads it back.
    pub(crate) fn set_and_get(&mut self, key: &str) -> anyhow::Result<()> {
        self.send(&format!("set {key} 0 0 5\r\nhello\r\n"))?;
        let stored = self.line()?;
        if stored != "STORED" {
            bail!("unexpected answer to a set: {stored:?}");
        }
        self.send(&format!("get {key}\r\n"))?;
        let answer = [self.line()?, self.line()?, self.line()?];
        if answer != [format!("VALUE {key} 0 5"), "hello".to_owned(), "END".to_owned()] {
            bail!("unexpected answer to a get: {answer:?}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fake::Fake;

    #[test]
    fn questions_and_answers() {
        let fake = Fake::start();
        let mut client = Client::connect(fake.address).unwrap();
        assert_eq!(client.version().unwrap(), "1.6.45");
        client.set_and_get("one").unwrap();
        client.set_and_get("two").unwrap();
        assert_eq!(client.counter("curr_items").unwrap(), 2);
        assert!(client.counter("no_such_counter").is_err());
        assert_eq!(client.stats(Some("ring")).unwrap()["ring_settled"], "yes");
    }

    #[test]
    fn a_refusal_is_named() {
        let fake = Fake::refusing();
        let mut client = Client::connect(fake.address).unwrap();
        let error = client.set_and_get("one").unwrap_err().to_string();
        assert!(error.contains("SERVER_ERROR out of memory"), "{error}");
    }
}
