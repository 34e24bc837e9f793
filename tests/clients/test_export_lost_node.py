"""What `ringbinder ring export` prints, run while a node of the ring is frozen or gone.

A frozen node (SIGSTOP) still takes connections and requests, and answers nothing: only a client's own
time-outs end the wait. Every request has to come back; the settings themselves are compared with what
is printed. How long requests took is printed and not asserted.

The program is RINGBINDER; tests/run sets it.
"""

import contextlib
import json
import shutil
import subprocess

import pytest

import export_applications as applications
from conftest import missing
from export_applications import Application
from ring_fleet import Fleet, FleetNode, needed, wait_until
from test_export import (
    exported,
    json_with_comments,
    on_port,
    php,
    program,
    running,
    unused_ports,
)

# What is printed, in seconds.
TIMEOUT = 0.5

# A request that takes longer than this hangs: many time-outs, for a machine under load.
DEADLINE = 10 * TIMEOUT

NODES = ["cache-a", "cache-b", "cache-c"]
LOST = "cache-b"
KEYS = [f"key:{number}" for number in range(90)]

# How many requests for keys of the lost node are sent in a row.
ROW = 20

# Lines that every printed text has to have: the exact values.
SETTINGS = {
    "pylibmc": [
        '"tcp_nodelay": True,',
        '"connect_timeout": 500,',
        '"_poll_timeout": 500,',
        '"retry_timeout": 2,',
        '"auto_eject": False,',
    ],
    "pymemcache": [
        "connect_timeout=0.5,",
        "timeout=0.5,",
        "no_delay=True,",
        "retry_attempts=0,",
        "dead_timeout=5,",
        "default_noreply=False,",
    ],
    "php": [
        "Memcached::OPT_TCP_NODELAY => true,",
        "Memcached::OPT_CONNECT_TIMEOUT => 500,",
        "Memcached::OPT_POLL_TIMEOUT => 500,",
        "Memcached::OPT_RETRY_TIMEOUT => 2,",
    ],
    "ruby": ["socket_timeout: 0.5,", "socket_max_failures: 1,", "down_retry_delay: 5,"],
    "twemproxy": [
        "auto_eject_hosts: true",
        "server_failure_limit: 1",
        "server_retry_timeout: 5000",
        "timeout: 500",
    ],
    "haproxy": [
        "timeout connect 500ms",
        "retries 3",
        "option redispatch 1",
        "timeout check 250ms",
        "default-server check inter 300ms fastinter 50ms fall 2 rise 1 on-marked-down"
        " shutdown-sessions",
    ],
}
SETTINGS["django"] = SETTINGS["pylibmc"]

# Those that give a lost node's keys to other nodes: most of its keys are misses then, not errors.
FAIL_OVER = {"pymemcache", "ruby", "twemproxy", "haproxy"}

# Those that send a key to any node: whichever key is asked for may meet the lost node once.
ANY_NODE = {"haproxy", "ruby"}


@pytest.fixture(autouse=True)
def everything_needed():
    needed()


def has_lines(text, expected):
    lines = [line.strip() for line in text.splitlines()]
    for line in expected:
        assert line in lines, f"{line!r} is not in\n{text}"


@contextlib.contextmanager
def started(target, fleet, directory):
    """The application of a target, and the process whose connections to nodes are the target's."""
    text = exported(target, fleet.file.path)
    has_lines(text, SETTINGS[target])
    if target in ("twemproxy", "haproxy"):
        port, figures = unused_ports(fleet)
        (directory / "pasted").write_text(on_port(text, port))
        proxy = {
            "twemproxy": ["nutcracker", "-c", "pasted", "-a", "127.0.0.1"]
            + ["-s", str(figures), "-p", "pid", "-o", "log"],
            "haproxy": ["haproxy", "-db", "-f", "pasted"],
        }[target]
        proxy[0] = program(proxy[0], proxy[0])
        with running(*proxy, directory=directory, port=port) as process:
            command = applications.command(target, directory, port)
            with Application(command, directory, DEADLINE) as application:
                yield application, process
        return
    suffix = {"php": "php", "ruby": "rb"}.get(target, "py")
    (directory / f"pasted.{suffix}").write_text(text)
    with Application(applications.command(target, directory), directory, DEADLINE) as application:
        yield application, application.process


def present(target):
    """Skips if the client of a target is not installed; False if it cannot talk to nodes."""
    if target == "php":
        php()
    if target == "ruby":
        interpreter = program("ruby", "ruby")
        look = "require 'dalli'; puts defined?(Dalli::Protocol::Meta) ? 'meta' : 'binary'"
        found = subprocess.run([interpreter, "-e", look], capture_output=True, text=True, check=False)
        if found.returncode:
            missing("dalli (Debian: ruby-dalli) is not installed")
        return found.stdout == "meta\n"
    return True


class Watch:
    """An application, the fleet that it uses, and what each of its answers may be."""

    def __init__(self, target, fleet, application):
        self.target = target
        self.application = application
        first = next(iter(fleet.nodes.values()))
        prefix = ":1:" if target == "django" else ""
        owners = {key: first.ask(f"ring owner {prefix}{key}").split()[1] for key in KEYS}
        # The first key of the lost node is written to while the node is lost: its value is open.
        self.written, *self.lost = [key for key in KEYS if owners[key] == LOST]
        self.kept = [key for key in KEYS if owners[key] != LOST]
        assert len(self.lost) > ROW // 2 and len(self.kept) > ROW

    def fill(self):
        for key in KEYS:
            assert self.application.ask(f"set {key} {key}") == "stored"
        for key in KEYS:
            assert self.application.ask(f"get {key}") == f"hit {key}"

    def served(self, key):
        """A key of the nodes that are left has its value, whatever is asked beside it."""
        answer = self.application.ask(f"get {key}")
        if self.target in ANY_NODE and answer != f"hit {key}":
            assert answer.startswith("error "), answer
            wait_until(
                lambda: self.application.ask(f"get {key}") == f"hit {key}", f"{key} is served"
            )
            return
        assert answer == f"hit {key}", answer

    def while_lost(self, phase):
        """Every request comes back while a node is lost, and the others' keys are served."""
        self.application.phase = f"{phase}, its keys"
        answers = []
        for number in range(ROW):
            key = self.lost[number % len(self.lost)]
            self.application.phase = f"{phase}, its keys"
            answers.append(self.application.ask(f"get {key}"))
            self.application.phase = f"{phase}, the others' keys"
            self.served(self.kept[number])
        assert all(answer == "miss" or answer.startswith("error ") for answer in answers), answers
        if self.target in FAIL_OVER:
            assert answers.count("miss") > ROW // 2, answers
        self.application.phase = f"{phase}, writes"
        for number in range(ROW // 2):
            # Nothing says that a write was done if no node did it.
            answer = self.application.ask(f"set {self.written} {phase}")
            assert answer.startswith("error "), answer
            self.served(self.kept[number])
        self.application.phase = f"{phase}, of several nodes"
        for _ in range(3):
            answer = self.application.ask(" ".join(["many", *self.lost[:3], *self.kept[:3]]))
            assert answer.split()[0] in ("found", "error"), answer
        for key in self.kept:
            self.served(key)

    def report(self):
        print()
        for phase, took in self.application.took.items():
            longest, slow = max(took), sum(it > 0.1 for it in took)
            print(
                f"{self.target}: {phase}: {len(took)} requests, the first took {took[0]:.3f} s,"
                f" the longest {longest:.3f} s, {slow} more than 0.1 s"
            )


@pytest.mark.parametrize("target", SETTINGS)
def test_a_lost_node(target, tmp_path):
    if not present(target):
        has_lines(exported(target, ring_of_three(tmp_path)), SETTINGS[target])
        print("\nthe installed dalli speaks only the binary protocol: printed, and not run")
        return
    with Fleet() as fleet:
        fleet.begin(NODES)
        ports = {node.port for node in fleet.nodes.values()}
        with started(target, fleet, tmp_path) as (application, process):
            watch = Watch(target, fleet, application)
            watch.fill()
            # A proxy has connections to some nodes only.
            found = applications.connections(process, ports)
            assert set(found.values()) == {True}, found
            if target not in ANY_NODE:
                assert found.keys() == ports
            node = fleet.nodes[LOST]

            node.pause()
            watch.while_lost("frozen")
            node.resume()
            application.phase = "resumed"
            for key in watch.lost:
                # It is tried again soon, and no answer belongs to another request.
                wait_until(lambda: hit_or_lost(application, key), f"{key} is served again")
                watch.served(watch.kept[0])

            node.kill()
            watch.while_lost("gone")
            again = FleetNode(LOST, fleet.directory, fleet.file, node.address)
            fleet.nodes[LOST] = again
            wait_until(again.is_up, f"{LOST} answers")
            application.phase = "back"
            for key in watch.lost:
                wait_until(
                    lambda: application.ask(f"set {key} {key}") == "stored", f"{key} is stored again"
                )
                wait_until(lambda: hit_or_lost(application, key), f"{key} is served again")
            watch.report()


def hit_or_lost(application, key):
    """Whether a key has its value; if not, the answer has to be one that a lost node may cause."""
    answer = application.ask(f"get {key}")
    assert answer in (f"hit {key}", "miss") or answer.startswith("error "), answer
    return answer == f"hit {key}"


def ring_of_three(directory):
    path = directory / "three.toml"
    path.write_text(
        "version = 1\n"
        + "".join(
            f'[[node]]\nname = "{name}"\naddress = "10.0.0.{number}:11211"\n'
            for number, name in enumerate(NODES, 1)
        )
    )
    return path


def test_settings_of_targets_that_are_not_run(tmp_path):
    ring = ring_of_three(tmp_path)
    pool = json_with_comments(exported("mcrouter", ring))["pools"]["ringbinder"]
    assert (pool["connect_timeout"], pool["server_timeout"]) == (500, 500)
    assert json.loads(exported("json", ring))["client"] == {
        "connect_timeout_ms": 500,
        "timeout_ms": 500,
        "retry_ms": 5000,
        "no_delay": True,
    }


def test_one_node_is_not_ejected(tmp_path):
    """Nobody else could serve: twemproxy asks the one node again with the next request."""
    ring = tmp_path / "one.toml"
    ring.write_text('version = 1\n[[node]]\nname = "a"\naddress = "127.0.0.1:1"\n')
    text = exported("twemproxy", ring)
    has_lines(text, ["auto_eject_hosts: false", "timeout: 500"])
    assert "server_retry_timeout" not in text
    nutcracker = shutil.which("nutcracker", path="/usr/sbin:/usr/bin")
    if nutcracker is None:
        missing("nutcracker (Debian: nutcracker) is not installed")
    (tmp_path / "one.yml").write_text(text)
    subprocess.run([nutcracker, "-t", "-c", "one.yml"], cwd=tmp_path, check=True, timeout=60)
