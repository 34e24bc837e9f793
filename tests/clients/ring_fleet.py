"""A fleet: nodes that share one ring file, or have a copy each, and what a test does to them.

Ports are chosen before the nodes start, because the ring names them. They are taken from below the
range of outgoing connections, so that none of those can take the port of a node that is down.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import PATIENCE, command, environment, missing

try:
    import pylibmc
    import uhashring
    from pymemcache.client.base import Client
    from pymemcache.client.hash import HashClient
except ImportError as error:
    pylibmc = None
    WHY = str(error)

# Longer than anything may take that does not hang, in seconds.
CLIENT_TIMEOUT = 10.0


def needed():
    """Skips where a client is missing, and where the server is one without a ring."""
    if pylibmc is None:
        missing(f"pylibmc, uhashring or pymemcache: {WHY}")
    if os.environ.get("RINGBINDER_WIRE_TARGET") == "memcached":
        pytest.skip("memcached has no ring")


def wait_until(condition, what, patience=PATIENCE):
    """Waits until `condition()` is true and returns that; fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(0.002)


def free_port(taken):
    """A port of this machine that nobody uses, and that is not among `taken`."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(11_300, max(first_outgoing, 12_300))
        if port in taken:
            continue
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port found in 1,000 tries")


class RingFile:
    """A ring file; a new version takes the place of the old one in one step."""

    def __init__(self, path):
        self.path = path

    def write(self, version, nodes, weights=None):
        """Puts a ring in place; returns the moment at which it was there."""
        text = f"version = {version}\n"
        for node in nodes:
            weight = (weights or {}).get(node.name, 1)
            text += f'[[node]]\nname = "{node.name}"\n'
            text += f'address = "{node.spelled}"\nweight = {weight}\n'
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        beside.rename(self.path)
        return time.monotonic()


class FleetNode:
    """One node of a fleet."""

    def __init__(self, name, directory, ring_file, address, options=(), prefix=()):
        self.name = name
        self.host, self.port = self.address = address
        self.spelled = f"{self.host}:{self.port}"
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *command(), "-p", str(self.port), "-l", self.host]
                + ["--ring", str(ring_file.path), "--node", name, *options],
                env=environment(),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_up(self):
        """Whether it answers; an error where its process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log.read_text(errors='replace')}")
        try:
            return self.ring_version() > 0
        except OSError:
            return False

    def client(self):
        """A client that knows this node only, and waits for the answer to each of its writes."""
        return Client(
            self.address,
            timeout=CLIENT_TIMEOUT,
            connect_timeout=CLIENT_TIMEOUT,
            no_delay=True,
            default_noreply=False,
        )

    def ask(self, line):
        """The first line of the answer to a request, on a connection of its own."""
        with socket.create_connection(self.address, timeout=CLIENT_TIMEOUT) as connection:
            connection.sendall(line.encode() + b"\r\n")
            with connection.makefile("rb") as answer:
                return answer.readline().decode().rstrip("\r\n")

    def ring_version(self):
        """The version of the ring in force, by the command `ring version`."""
        word, version, _ = self.ask("ring version").split()
        assert word == "RING"
        return int(version)

    def stats(self):
        """`stats ring`, as text."""
        with contextlib.closing(self.client()) as client:
            return {
                name.decode(): value.decode() if isinstance(value, bytes) else str(value)
                for name, value in client.stats("ring").items()
            }

    def foreign(self):
        """What it has counted of requests for the keys of others, and of others' for its own."""
        counters = self.stats()
        # The policy, which is no counter.
        del counters["foreign_keys"]
        counted = {name: int(it) for name, it in counters.items() if name.startswith("foreign_")}
        assert {"foreign_gets", "foreign_requests", "foreign_moved"} <= counted.keys(), counted
        return counted

    def holds(self, version):
        """Whether it serves by this version and waits for nobody."""
        stats = self.stats()
        return stats["ring_version"] == str(version) and stats["ring_settled"] == "yes"

    def reaches_all(self):
        """Whether every other node of its ring answers it: one that started later did not at first."""
        states = [value for name, value in self.stats().items() if name.endswith(":state")]
        return all(state == "up" for state in states)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        """Stops its process; returns once no thread of it runs."""
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")

        def stopped():
            states = [(it / "stat").read_text().rsplit(")", 1)[1] for it in threads.iterdir()]
            return all(state.split()[0] == "T" for state in states)

        wait_until(stopped, f"{self.name} stands still")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class Fleet:
    """Nodes on this machine that share one ring file. A context: nothing of it stays."""

    def __init__(self, *options):
        self.options = options
        self.directory = Path(tempfile.mkdtemp(prefix="ringbinder-fleet-"))
        self.file = RingFile(self.directory / "ring.toml")
        self.nodes = {}
        self.version = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for node in self.nodes.values():
            node.kill()
        logs = {name: node.log.read_text(errors="replace") for name, node in self.nodes.items()}
        shutil.rmtree(self.directory, ignore_errors=True)
        if kind is not None:
            for name, text in logs.items():
                print(f"\nlog of {name}:\n{text[-6000:]}")
            return
        for name, text in logs.items():
            assert "panicked at" not in text, f"{name}:\n{text}"

    def begin(self, names, weights=None):
        """Starts nodes by a ring of them all, and waits until each serves."""
        planned = []
        for name in names:
            planned.append(Planned(name, free_port({plan.port for plan in planned})))
        self.version += 1
        self.file.write(self.version, planned, weights)
        for plan in planned:
            self._start(plan.name, plan.port)
        self.wait_for_ring()
        for node in self.nodes.values():
            wait_until(node.reaches_all, f"{node.name} reaches the others")
        return list(self.nodes.values())

    def add(self, name):
        """Starts one more node, which the ring does not name yet."""
        return self._start(name, free_port({node.port for node in self.nodes.values()}))

    def _start(self, name, port):
        node = FleetNode(name, self.directory, self.file, ("127.0.0.1", port), self.options)
        self.nodes[name] = node
        wait_until(node.is_up, f"{name} answers")
        return node

    def change(self, names, weights=None):
        """The next version of the ring; returns the moment at which its file was there."""
        self.version += 1
        return self.file.write(self.version, [self.nodes[name] for name in names], weights)

    def wait_for_ring(self, names=None):
        """Waits until these nodes, or all, serve by the newest ring and wait for nobody."""
        for name in names or self.nodes:
            node = self.nodes[name]
            wait_until(
                lambda: node.holds(self.version), f"{name} is settled in ring {self.version}"
            )


class Planned:
    """A node before it runs."""

    def __init__(self, name, port):
        self.name = name
        self.spelled = f"127.0.0.1:{port}"
        self.port = port


def pylibmc_client(nodes, weights=None):
    """A stock pylibmc client of a ring: nothing is set but its hashing."""
    return pylibmc.Client(
        [f"{node.spelled}:{(weights or {}).get(node.name, 1)}" for node in nodes],
        behaviors={"ketama_weighted": True},
    )


def hash_client(nodes):
    """A pymemcache client that finds owners by uhashring."""
    return HashClient(
        [node.address for node in nodes],
        hasher=lambda: uhashring.HashRing(hash_fn="ketama"),
        timeout=CLIENT_TIMEOUT,
        connect_timeout=CLIENT_TIMEOUT,
        # A set that nobody waits for may come after the get.
        default_noreply=False,
    )
