"""Servers for the client tests: one process per node, on a free port, gone when the test is.

The program is RINGBINDERD (tests/run sets it), or memcached with RINGBINDER_WIRE_TARGET=memcached,
which proves that the expectations are memcached's.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PATIENCE = 30.0

# What takes minutes to build; tests/run --all-clients sets the variable.
ALL_CLIENTS = os.environ.get("RINGBINDER_ALL_CLIENTS") == "yes"
collect_ignore = [] if ALL_CLIENTS else ["test_upstream_built.py"]


class Node:
    """A running server."""

    def __init__(self, *arguments):
        self.directory = Path(tempfile.mkdtemp(prefix="ringbinder-clients-"))
        # A server that gave up root writes its port file here as well.
        self.directory.chmod(0o777)
        ports = self.directory / "ports"
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command(), "-p", "-1", "-l", "127.0.0.1", *arguments],
                env={**environment(), "MEMCACHED_PORT_FILENAME": str(ports)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port = int(self._wait_for(ports).split(":")[1])
        self.address = ("127.0.0.1", self.port)
        self.spelled = f"127.0.0.1:{self.port}"

    def _wait_for(self, ports):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if ports.exists():
                text = ports.read_text()
                if text.startswith("TCP INET: ") and text.endswith("\n"):
                    return text
            time.sleep(0.005)
        self.stop()
        raise RuntimeError(f"no server:\n{self.text}")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.text = self.log.read_text(errors="replace")
        shutil.rmtree(self.directory, ignore_errors=True)


def environment():
    """This one's, without what steers the tests: it is no setting of the server."""
    return {name: text for name, text in os.environ.items() if not name.startswith("RINGBINDER_")}


def command():
    """The server's command line, without addresses."""
    if os.environ.get("RINGBINDER_WIRE_TARGET") == "memcached":
        program = os.environ.get("RINGBINDER_TEST_MEMCACHED", "memcached")
        return [program, "-u", "nobody"] if os.geteuid() == 0 else [program]
    return [os.environ["RINGBINDERD"]]


@pytest.fixture
def start():
    """Starts nodes; all of them are stopped after the test."""
    nodes = []

    def start_one(*arguments):
        nodes.append(Node(*arguments))
        return nodes[-1]

    yield start_one
    for node in nodes:
        node.stop()
    for node in nodes:
        assert "panicked at" not in node.text, node.text


@pytest.fixture
def node(start):
    """One node with a cache of its own."""
    return start()


def missing(what):
    """Skips loudly, or fails where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} (CI=true, so this is a failure and not a skip)")
    print(f"\nSKIPPED: {what}", flush=True)
    pytest.skip(what)


@pytest.fixture(params=["node", "ring"])
def address(request, start):
    """A node, and a node of a ring."""
    if request.param == "node":
        yield start().spelled
        return
    # Not above: that module is made of what is here.
    from ring_fleet import Fleet, needed

    needed()
    with Fleet() as fleet:
        yield fleet.begin("abc")[0].spelled
