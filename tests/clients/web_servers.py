"""Five web servers as processes, and a way to talk to them."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conftest import environment, missing
from ring_fleet import CLIENT_TIMEOUT, wait_until

HERE = Path(__file__).parent


def needed():
    """Skips where the web servers cannot run."""
    try:
        import flask  # noqa: F401
        import waitress  # noqa: F401
    except ImportError as error:
        missing(f"Flask or waitress: {error}")


class WebServer:
    """One process of `five_servers`."""

    def __init__(self, number, directory, options):
        self.name = f"server {number}"
        self.log = directory / f"server-{number}.log"
        port_file = directory / f"server-{number}.port"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-B", "-m", "five_servers", "--port", "0"]
                + ["--port-file", str(port_file), *options],
                cwd=HERE,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port_file = port_file

    def wait(self):
        """Waits until it listens."""
        wait_until(lambda: self.port_file.exists() or self.ended(), f"{self.name} listens")
        self.port = int(self.port_file.read_text())

    def ended(self):
        """False; an error where its process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log.read_text(errors='replace')}")
        return False

    def connection(self):
        """A connection of one's own, which is kept open."""
        return Connection(self)

    def counts(self):
        """What it has counted."""
        with self.connection() as connection:
            return connection.ask("GET", "/counts")[1]


class Connection:
    """A connection to a web server, for one thread. What is sent and what comes are apart, so that
    several servers can be at work on requests of one thread."""

    def __init__(self, server):
        self.http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2 * CLIENT_TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def send(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.http.request(method, path, body and json.dumps(body), headers)

    def receive(self):
        """Status and JSON of the answer."""
        answer = self.http.getresponse()
        return answer.status, json.loads(answer.read())

    def ask(self, method, path, body=None):
        self.send(method, path, body)
        return self.receive()


class WebServers:
    """Servers that share a database. A context: nothing of them stays.

    `options` has the options of each server's cache; `database` an address, or a file of their own.
    """

    def __init__(self, options, database=None, more=()):
        self.directory = Path(tempfile.mkdtemp(prefix="ringbinder-web-"))
        database = database or f"sqlite:{self.directory / 'database'}"
        self.servers = []
        try:
            for number, own in enumerate(options, 1):
                everything = [*own, "--database", database, *more]
                self.servers.append(WebServer(number, self.directory, everything))
            for server in self.servers:
                server.wait()
        except BaseException:
            self.__exit__(None)
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for server in self.servers:
            server.process.terminate()
        for server in self.servers:
            try:
                server.process.wait(CLIENT_TIMEOUT)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
        if kind is not None:
            for server in self.servers:
                print(f"\nlog of {server.name}:\n{server.log.read_text(errors='replace')[-6000:]}")
        shutil.rmtree(self.directory, ignore_errors=True)

    def counts(self):
        """What all of them have counted, added up."""
        total = {}
        for server in self.servers:
            for name, number in server.counts().items():
                total[name] = total.get(name, 0) + number
        return total


def updates_wanted():
    """How many updates the acceptance test makes in each set-up."""
    return int(os.environ.get("RINGBINDER_FIVE_UPDATES", "2000"))
