//! Starts a server on a free port of 127.0.0.1 and monitors it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::unistd::Uid;
use tempfile::NamedTempFile;

use super::ask::Client;
use super::child::Guarded;
use super::find::{Contender, Origin};
use super::listener::listener;
use super::proc_fs::{self, Resident};
use crate::stop::Stop;

/// Flags that all servers get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// `-t`
    pub(crate) threads: usize,
    /// `-m`, in megabytes.
    pub(crate) megabytes: u64,
    /// `-c`
    pub(crate) connections: usize,
}

/// A server that answers. If this program started it, it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// The name in tables.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: SocketAddr,
    process: Process,
}

#[derive(Debug)]
enum Process {
    Started {
        child: Guarded,
        log: NamedTempFile,
    },
    /// The process id of a server that another program started, if it is on this machine and readable.
    Found(Option<u32>),
}

/// Longest time for a server to answer after its start.
const START: Duration = Duration::from_secs(20);

impl Server {
    /// Starts the server on the cores of this thread, and waits until it answers. A running server stays as
    /// it is.
    pub(crate) fn start(contender: &Contender, setup: Setup, stop: &Stop) -> anyhow::Result<Self> {
        if let Origin::Running(address) = contender.origin {
            let process = Process::Found(listener(address));
            return Ok(Self { name: contender.name.clone(), address, process });
        }
        let [address] = free_addresses()?;
        Self::start_at(contender, address, setup, &[], stop)
    }

    /// Like `start`, at a given address and with more flags.
    pub(crate) fn start_at(
        contender: &Contender,
        address: SocketAddr,
        setup: Setup,
        flags: &[String],
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let Origin::Program { path, extra } = &contender.origin else {
            bail!("{} is already running", contender.name);
        };
        let mut command = Command::new(path);
        command
            .args(["-l", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-t", &setup.threads.to_string()])
            .args(["-m", &setup.megabytes.to_string()])
            .args(["-c", &setup.connections.to_string()])
            .args(extra)
            .args(flags);
        if Uid::effective().is_root() {
            command.args(["-u", "nobody"]);
        }
        Self::run(contender, address, command, stop)
    }

    /// Runs a command that starts a server at `address`, and waits until it answers.
    pub(super) fn run(
        contender: &Contender,
        address: SocketAddr,
        mut command: Command,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let log = NamedTempFile::new().context("cannot make a temporary file")?;
        command.stdout(Stdio::null()).stderr(log.reopen().context("cannot open a temporary file")?);
        let child = Guarded::spawn(&mut command)
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let process = Process::Started { child, log };
        let mut server = Self { name: contender.name.clone(), address, process };
        server.await_answer(stop)?;
        Ok(server)
    }

    fn await_answer(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let until = Instant::now() + START;
        loop {
            self.must_run()?;
            let answer = Client::connect(self.address).and_then(|mut client| client.version());
            match answer {
                // Checked again, since another process may have taken the port meanwhile.
                Ok(_) => return self.must_run(),
                Err(error) if Instant::now() >= until => {
                    return Err(error.context(format!("{} does not answer", self.name)));
                }
                Err(_) => stop.pause(Duration::from_millis(10))?,
            }
        }
    }

    /// Fails with the server's last log lines if it has exited.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        let Process::Started { child, log } = &mut self.process else { return Ok(()) };
        let Some(status) = child.ended()? else { return Ok(()) };
        let log = std::fs::read(log.path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join(" / ");
        let last = if last.is_empty() { "(nothing)" } else { &last };
        bail!("{} exited with {status}; the last line of its log: {last}", self.name)
    }

    /// The process id; `None` if the process is not readable.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::Started { child, .. } => Some(child.pid()),
            Process::Found(pid) => *pid,
        }
    }

    /// User and system time so far; `None` if the process is not readable.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Option<Duration>> {
        self.pid().map(proc_fs::cpu_time).transpose()
    }

    /// Resident memory and its peak; `None` if the process is not readable.
    pub(crate) fn memory(&self) -> anyhow::Result<Option<Resident>> {
        self.pid().map(proc_fs::memory).transpose()
    }

    /// Resident memory after it has stopped changing.
    pub(crate) fn settled_memory(&self, stop: &Stop) -> anyhow::Result<u64> {
        const STEP: Duration = Duration::from_millis(500);
        const STEPS: usize = 40;
        let pid = self
            .pid()
            .with_context(|| format!("cannot read /proc for {}: it runs elsewhere", self.name))?;
        let mut last = proc_fs::memory(pid)?.now;
        let mut calm = 0;
        for _ in 0..STEPS {
            stop.pause(STEP)?;
            let now = proc_fs::memory(pid)?.now;
            // Two successive steps with a change of at most a thousandth.
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
    // All listeners stay open until the last port is found, so that the ports differ.
    let mut listeners = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener =
            TcpListener::bind(*address).context("cannot find a free port on 127.0.0.1")?;
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

    fn unlucky(path: &str) -> Contender {
        let origin = Origin::Program { path: PathBuf::from(path), extra: Vec::new() };
        Contender { name: "unlucky".to_owned(), version: String::new(), origin }
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        // A shell takes the address for a script's name and complains that there is none.
        let contender = unlucky("/bin/sh");
        let error = Server::start(&contender, SETUP, &Stop::default()).unwrap_err().to_string();
        assert!(error.contains("unlucky exited with exit status: "), "{error}");
        assert!(error.contains("last line of its log: /bin/sh: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn a_server_that_runs_is_looked_at_and_left_alone() {
        let fake = crate::load::fake::Fake::start();
        let origin = Origin::Running(fake.address);
        let contender = Contender { origin, ..unlucky("") };
        let mut server = Server::start(&contender, SETUP, &Stop::default()).unwrap();
        server.must_run().unwrap();
        assert_eq!((server.address, server.pid()), (fake.address, Some(std::process::id())));
        assert!(server.memory().unwrap().is_some() && server.cpu_time().unwrap().is_some());
    }

    #[test]
    fn free_addresses_differ() {
        let [one, two, three] = free_addresses().unwrap();
        assert!(one != two && two != three && one != three);
    }

    #[test]
    fn a_missing_program_is_named() {
        let contender = unlucky("/no/such/program");
        let error = Server::start(&contender, SETUP, &Stop::default()).unwrap_err().to_string();
        assert_eq!(error, "cannot start /no/such/program");
    }
}
