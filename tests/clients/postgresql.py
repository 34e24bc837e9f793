"""A PostgreSQL cluster of Debian's, made for the tests and gone after them.

It listens on a socket in its own folder and nowhere else, and is started as a child of this process
that gets a signal when this one dies: however the tests end, it does not outlive them.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import environment, missing
from ring_fleet import CLIENT_TIMEOUT, wait_until

# Debian keeps each major version apart.
PROGRAMS = Path("/usr/lib/postgresql")
# Nothing is to be kept: a commit need not be on the disk.
OPTIONS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "listen_addresses=")


def newest_programs():
    """The directory with `initdb` and `postgres`, or None."""
    found = [path for path in PROGRAMS.glob("*/bin") if (path / "initdb").exists()]
    return max(found, key=lambda path: float(path.parent.name), default=None)


class Cluster:
    """A running server, as somebody who is not root: it refuses to run as root."""

    def __init__(self, programs):
        self.directory = Path(tempfile.mkdtemp(prefix="ringbinder-pg-"))
        self.log = self.directory / "log"
        self.prefix = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            shutil.chown(self.directory, "nobody", "nogroup")
            self.prefix += ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        data = str(self.directory / "data")
        self._run(
            str(programs / "initdb"), "-D", data, "-U", "tests", "-A", "trust",
            "--no-sync", "-E", "UTF8", "--no-locale",
        )  # fmt: skip
        settings = [word for option in OPTIONS for word in ("-c", option)]
        command = [str(programs / "postgres"), "-D", data, "-k", str(self.directory), *settings]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.prefix + command,
                cwd=self.directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.address = f"host={self.directory} user=tests dbname=postgres"
        try:
            wait_until(self._answers, "PostgreSQL answers")
        except BaseException:
            self.stop()
            raise

    def _run(self, *command):
        done = subprocess.run(
            self.prefix + list(command), cwd=self.directory, env=environment(), capture_output=True
        )
        if done.returncode != 0:
            text = done.stderr.decode(errors="replace")
            shutil.rmtree(self.directory, ignore_errors=True)
            raise RuntimeError(f"{command[0]} failed:\n{text}")

    def _answers(self):
        import psycopg

        if self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended:\n{self.log.read_text(errors='replace')}")
        try:
            psycopg.connect(self.address, connect_timeout=int(CLIENT_TIMEOUT)).close()
        except psycopg.OperationalError:
            return False
        return True

    def fresh(self, number):
        """The address of a new, empty database."""
        import psycopg

        name = f"tests_{number}"
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address.replace("dbname=postgres", f"dbname={name}")

    def stop(self):
        # At once: nothing is to be kept. It ends its children before itself.
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster():
    """One server for all tests; skips where it is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        missing(f"psycopg: {error}")
    programs = newest_programs()
    if programs is None:
        missing("PostgreSQL: Debian's package postgresql is not installed")
    server = Cluster(programs)
    server.databases = 0
    yield server
    server.stop()


@pytest.fixture
def postgresql(cluster):
    """The address of an empty database."""
    cluster.databases += 1
    return cluster.fresh(cluster.databases)
