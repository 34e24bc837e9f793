//! A server under callgrind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use super::profile::Profile;
use crate::stop::Stop;

/// Longest time for a server to answer, and to exit.
const PATIENCE: Duration = Duration::from_secs(60);

/// Descriptors that valgrind reserves. memcached sets its limit to exactly its `-c`, and valgrind lets a
/// program set it to exactly the remainder.
const KEPT_BY_VALGRIND: u64 = 12;

/// Fails if valgrind is not installed.
pub(super) fn valgrind_is_there() -> anyhow::Result<()> {
    let said = Command::new("valgrind").arg("--version").output();
    match said {
        Ok(said) if said.status.success() => Ok(()),
        _ => bail!("cannot count instructions: valgrind is not on the PATH; install it"),
    }
}

/// A running server under callgrind. It is killed when this is dropped.
pub(super) struct Counted {
    pub(super) address: SocketAddr,
    child: Child,
    file: PathBuf,
}

impl Counted {
    /// Starts the server, which writes its counts into `file`, and waits until it answers.
    pub(super) fn start(program: &Path, file: &Path, stop: &Stop) -> anyhow::Result<Counted> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .context("cannot find a free port on 127.0.0.1")?;
        let (_, files) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let connections = files.saturating_sub(KEPT_BY_VALGRIND).max(1);
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(program)
            .args(["-l", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-t", "1", "-m", "512", "-c", &connections.to_string()])
            // Otherwise ringbinderd sets the variable and executes itself again, and valgrind loses it.
            .env("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0,narenas:1,thp:never")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if Uid::effective().is_root() {
            // Another user might not be permitted to write the file.
            command.args(["-u", "root"]);
        }
        let child = command.spawn().context("cannot start valgrind")?;
        let mut server = Counted { address, child, file: file.to_owned() };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} exits at once under valgrind ({status})", program.display());
            }
            if Instant::now() >= until {
                bail!("{} does not answer under valgrind", program.display());
            }
            stop.pause(Duration::from_millis(50))?;
        }
        Ok(server)
    }

    /// Stops the server and reads its counts.
    pub(super) fn profile(mut self) -> anyhow::Result<Profile> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGTERM).context("cannot stop the server")?;
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= until {
                bail!("the server does not exit");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("callgrind wrote no {}", self.file.display()))?;
        Profile::parse(&text)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // The server may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
