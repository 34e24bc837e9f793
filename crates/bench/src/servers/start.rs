//! Starting a server on a free port of 127.0.0.1 and watching over it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::unistd::Uid;
use tempfile::NamedTempFile;

use super::ask::Client;
use super::child::Guarded;
use super::find::Contender;
use super::proc_fs;
use crate::stop::Stop;

/// The flags that both servers get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// `-t`
    pub(crate) threads: usize,
    /// `-m`, in megabytes.
    pub(crate) megabytes: u64,
    /// `-c`
    pub(crate) connections: usize,
}

/// A server that answers. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Guarded,
    log: NamedTempFile,
}

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(20);

impl Server {
    /// Starts it on the cores that this thread is on, and waits until it answers.
    pub(crate) fn start(contender: &Contender, setup: Setup, stop: &Stop) -> anyhow::Result<Self> {
        let [address] = free_addresses()?;
        Self::start_at(contender, address, setup, &[], stop)
    }

    /// The same, where it is told and with more flags.
    pub(crate) fn start_at(
        contender: &Contender,
        address: SocketAddr,
        setup: Setup,
        flags: &[String],
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(&contender.program);
        command
            .args(["-l", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-t", &setup.threads.to_string()])
            .args(["-m", &setup.megabytes.to_string()])
            .args(["-c", &setup.connections.to_string()])
            .args(&contender.extra)
            .args(flags);
        if Uid::effective().is_root() {
            command.args(["-u", "nobody"]);
        }
        Self::run(contender, address, command, stop)
    }

    /// Runs a command that makes it listen at `address`, and waits until it answers there.
    pub(super) fn run(
        contender: &Contender,
        address: SocketAddr,
        mut command: Command,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let log = NamedTempFile::new().context("cannot make a temporary file")?;
        command.stdout(Stdio::null()).stderr(log.reopen().context("cannot open a temporary file")?);
        let child = Guarded::spawn(&mut command)
            .with_context(|| format!("cannot start {}", contender.program.display()))?;
        let mut server = Self { name: contender.name, address, child, log };
        server.await_answer(stop)?;
        Ok(server)
    }

    fn await_answer(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let until = Instant::now() + START;
        loop {
            self.must_run()?;
            let answer = Client::connect(self.address).and_then(|mut client| client.version());
            match answer {
                // Asked again, since another process may have taken the port meanwhile.
                Ok(_) => return self.must_run(),
                Err(error) if Instant::now() >= until => {
                    return Err(error.context(format!("{} does not answer", self.name)));
                }
                Err(_) => stop.pause(Duration::from_millis(10))?,
            }
        }
    }

    /// An error with the server's last words if it is no longer there.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.ended()? else { return Ok(()) };
        let log = std::fs::read(self.log.path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
        let last = if last.is_empty() { "(nothing)" } else { &last };
        bail!("{} ended with {status}; its last words:\n  {last}", self.name)
    }

    /// User and system time it has used so far.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        proc_fs::cpu_time(self.child.pid())
    }

    /// Its resident memory, once that has stopped moving.
    pub(crate) fn settled_memory(&self, stop: &Stop) -> anyhow::Result<u64> {
        const STEP: Duration = Duration::from_millis(500);
        const STEPS: usize = 40;
        let mut last = proc_fs::resident(self.child.pid())?;
        let mut calm = 0;
        for _ in 0..STEPS {
            stop.pause(STEP)?;
            let now = proc_fs::resident(self.child.pid())?;
            // Two steps without more than a thousandth of change.
            calm = if now.abs_diff(last) <= last / 1000 { calm + 1 } else { 0 };
            last = now;
            if calm == 2 {
                break;
            }
        }
        Ok(last)
    }
}

/// Different ports that were free a moment ago.
pub(crate) fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    // All are held until the last is found, so that none comes twice.
    let mut listeners = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("there is no free port on 127.0.0.1")?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const SETUP: Setup = Setup { threads: 1, megabytes: 64, connections: 100 };

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        // A shell takes the address for a script, and complains that there is none.
        let program = PathBuf::from("/bin/sh");
        let contender =
            Contender { name: "unlucky", program, version: String::new(), extra: Vec::new() };
        let error = Server::start(&contender, SETUP, &Stop::default()).unwrap_err().to_string();
        assert!(error.contains("unlucky ended with exit status: "), "{error}");
        assert!(
            error.contains("last words:\n  ") && error.ends_with("127.0.0.1")
                || error.contains("127.0.0.1:"),
            "{error}"
        );
    }

    #[test]
    fn free_addresses_differ() {
        let [one, two, three] = free_addresses().unwrap();
        assert!(one != two && two != three && one != three);
    }

    #[test]
    fn a_missing_program_is_named() {
        let program = PathBuf::from("/no/such/program");
        let contender = Contender { name: "x", program, version: String::new(), extra: Vec::new() };
        let error = Server::start(&contender, SETUP, &Stop::default()).unwrap_err().to_string();
        assert_eq!(error, "cannot start /no/such/program");
    }
}
