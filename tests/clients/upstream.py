"""What the suites of other projects need: hosts on which the ports that they have written down are free.

A host is a network namespace that reaches nobody. The suites run in it as they came, against one node,
or against one node of a ring of three.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from conftest import PATIENCE, command, environment, missing
from ring_fleet import RingFile, wait_until

HERE = Path(__file__).parent
# Where tests/run unpacks the source packages of PyPI, and installs the packages of npm.
SOURCES = HERE.parent / ".venv" / "sources"
MODULES = HERE.parent / ".node" / "node_modules"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
# How long one suite may take, in seconds.
SUITE_PATIENCE = 300

# Loopback, and a cable that ends nowhere: what is sent to one address gets no answer, and no error.
# Other addresses, that of a name server too, cannot be reached, which shows at once.
NETWORK = (
    "ip link set lo up && ip link add out type veth peer name nowhere && ip link set nowhere up"
    " && ip link set out arp off up && ip address add 10.77.2.1/24 dev out"
    " && ip route add 10.255.255.255 dev out"
)

# What `unshare` says where the kernel, or the container around it, does not let even root do this.
REFUSALS = ("Operation not permitted", "Permission denied")


def is_memcached():
    """Whether memcached is in the node's place, to prove the expectations."""
    return os.environ.get("RINGBINDER_WIRE_TARGET") == "memcached"


def source(name):
    """The folder with what a source package of PyPI holds."""
    found = sorted(SOURCES.glob(f"{name}-[0-9]*"))
    if not found:
        missing(f"the source package of {name} is not in {SOURCES}: tests/run puts it there")
    return found[0].resolve()


def modules(name):
    """The folder of a package of npm."""
    if shutil.which("node") is None or not (MODULES / name).is_dir():
        missing(f"node, or the package {name} in {MODULES}: tests/run installs it")
    return (MODULES / name).resolve()


class Server:
    """A server on a host."""

    def __init__(self, host, port, arguments, log):
        self.host = host
        self.port = port
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                host.inside(*command(), *arguments),
                env=environment(),
                cwd=host.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def text(self):
        return self.log.read_text(errors="replace")

    def answers(self):
        """Whether it listens; an error where its process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"a server ended:\n{self.text()}")
        return self.host.listens(self.port)


class Host:
    """A host. A context: nothing of it stays, and no server of it may have panicked."""

    def __init__(self, directory):
        self.directory = directory
        self.holder = None
        self.servers = []

    def __enter__(self):
        if os.geteuid() != 0:
            missing("a network namespace needs root")
        # The shell holds the namespace until its standard input ends.
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", f"{NETWORK} && echo ready && read end"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": PATH},
            text=True,
        )
        if self.holder.stdout.readline() != "ready\n":
            self.holder.kill()
            _, why = self.holder.communicate()
            if any(refusal in why for refusal in REFUSALS):
                # Nothing that a test machine lacks by mistake: a skip with CI=true as well.
                print(f"\nSKIPPED: network namespaces: {why.strip()}", flush=True)
                pytest.skip(why)
            raise RuntimeError(why)
        return self

    def __exit__(self, kind, *_):
        for server in self.servers:
            server.process.kill()
            server.process.wait()
        self.holder.kill()
        self.holder.communicate()
        for server in self.servers:
            text = server.text()
            if kind is not None:
                print(f"\nlog of port {server.port}:\n{text[-3000:]}")
            else:
                assert "panicked at" not in text, text

    def inside(self, *arguments):
        """The command line that runs a command there."""
        nsenter = shutil.which("nsenter", path=PATH)
        return [nsenter, "--target", str(self.holder.pid), "--net", *map(str, arguments)]

    def listens(self, port):
        """Whether something listens on a TCP port there."""
        table = Path(f"/proc/{self.holder.pid}/net/tcp").read_text()
        # Addresses are in hexadecimal, and 0A is the state LISTEN.
        return re.search(rf":{port:04X} \S+ 0A ", table) is not None

    def start(self, shape, ports=(11211,), arguments=()):
        """Starts servers on ports: each on its own, or one ring of at least three nodes, of which
        others than those of `ports` listen elsewhere."""
        if shape == "ring":
            self._start_ring(ports, arguments)
            return
        for port in ports:
            self._start(port, ["-p", str(port), "-l", "127.0.0.1", *arguments])
        self._wait()

    def start_tls(self, port):
        """Starts a server for TLS; returns the file with the certificate that it shows."""
        if shutil.which("openssl") is None:
            missing("openssl is not installed")
        certificate, key = self.directory / "tls.crt", self.directory / "tls.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate],
            check=True,
            capture_output=True,
        )
        # A server that gives up root may read it later.
        key.chmod(0o644)
        files = f"ssl_chain_cert={certificate},ssl_key={key}"
        self.start("node", (port,), ("-Z", "-o", files))
        return certificate

    def _start_ring(self, ports, arguments):
        ports = [*ports, *(port for port in (11911, 11912, 11913)[: max(3 - len(ports), 0)])]
        ring = RingFile(self.directory / "ring.toml")
        members = [Member(f"node{number}", port) for number, port in enumerate(ports)]
        ring.write(1, members)
        for member in members:
            own = ["--ring", str(ring.path), "--node", member.name]
            at = ["-p", str(member.port), "-l", "127.0.0.1"]
            self._start(member.port, [*at, *own, *arguments])
        self._wait()
        for member in members:
            wait_until(lambda: self._reaches(member.port), f"{member.name} reaches the others")

    def _start(self, port, arguments):
        log = self.directory / f"{port}.log"
        self.servers.append(Server(self, port, arguments, log))

    def _wait(self):
        for server in self.servers:
            wait_until(server.answers, f"port {server.port} listens")

    def _reaches(self, port):
        """Whether a node serves by its ring and hears every other one."""
        text = self.exchange(port, b"stats ring\r\nquit\r\n")
        states = re.findall(r"^STAT \S+:state (\w+)", text, re.MULTILINE)
        return "ring_settled yes" in text and set(states) <= {"up"}

    def exchange(self, port, request):
        """What a server answers until it closes the connection, as text. `request` ends it."""
        code = (
            "import socket,sys\n"
            f"with socket.create_connection(('127.0.0.1', {port}), {PATIENCE}) as it:\n"
            " it.sendall(sys.stdin.buffer.read())\n"
            " sys.stdout.buffer.write(it.makefile('rb').read())\n"
        )
        done = subprocess.run(
            self.inside(sys.executable, "-c", code), input=request, capture_output=True, timeout=60
        )
        return done.stdout.decode(errors="replace")

    def run(self, *arguments, cwd=None, **variables):
        """Runs a program there until it ends; what it printed, and its exit code."""
        done = subprocess.run(
            self.inside(*arguments),
            cwd=cwd or self.directory,
            env={**environment(), "PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SUITE_PATIENCE,
        )
        return Done(shlex.join(map(str, arguments)), done.returncode, done.stdout + done.stderr)


@dataclasses.dataclass(frozen=True)
class Member:
    """A node that a ring names."""

    name: str
    port: int

    @property
    def spelled(self):
        return f"127.0.0.1:{self.port}"


@dataclasses.dataclass(frozen=True)
class Done:
    """A program that has ended."""

    command: str
    code: int
    text: str


class Results:
    """How each test of a suite went, by its name: `passed`, `failed` or `skipped`."""

    def __init__(self, outcomes, done):
        self.outcomes = outcomes
        self.done = done

    def named(self, outcome):
        return {name for name, it in self.outcomes.items() if it == outcome}

    def check(self, suite, passes, fails, varies):
        """Fails unless exactly the tests in `fails` fail, and `passes` others pass, of which those in
        `varies` may fail. Both give the reason for each."""
        passed, failed = self.named("passed"), self.named("failed")
        skipped = len(self.named("skipped"))
        print(
            f"\n{suite}: {len(passed)} passed, {len(failed)} failed, {skipped} skipped", flush=True
        )
        story = f"failed: {sorted(failed)}\n{self.done.command}\n{self.done.text[-8000:]}"
        assert failed - fails.keys() - varies.keys() == set(), story
        assert fails.keys() - failed == set(), f"these pass now:\n{story}"
        assert len(passed) + len(failed & varies.keys()) == passes, story


def pytest_results(host, folder, *arguments, **variables):
    """Runs tests by pytest, without the settings of their project; they may name plugins that are
    not here."""
    report = host.directory / "report.xml"
    settings = host.directory / "pytest.ini"
    settings.write_text("[pytest]\naddopts =\n")
    done = host.run(
        *(sys.executable, "-B", "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider"),
        *("-c", settings, "--rootdir", folder, f"--junitxml={report}", *arguments),
        cwd=folder,
        **variables,
    )
    outcomes = {}
    assert report.exists(), f"{done.command}\n{done.text}"
    for case in xml.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "passed"
        outcome = "skipped" if "skipped" in kinds else outcome
        outcomes[f"{case.get('classname')}.{case.get('name')}"] = outcome
    return Results(outcomes, done)


def django_results(host, folder, *labels, settings):
    """Runs tests by Django's own runner, under settings with this text."""
    report = host.directory / "report.json"
    runner = HERE / "upstream_django.py"
    (host.directory / "upstream_settings.py").write_text(
        f"{settings}\nTEST_RUNNER = 'upstream_django.Runner'\n"
    )
    done = host.run(
        *(sys.executable, "-B", "runtests.py", "--settings=upstream_settings", "--parallel=1"),
        *labels,
        cwd=folder / "tests",
        PYTHONPATH=f"{host.directory}:{runner.parent}",
        UPSTREAM_REPORT=str(report),
    )
    assert report.exists(), f"{done.command}\n{done.text}"
    return Results(json.loads(report.read_text()), done)


def mocha_results(host, folder, *arguments, **variables):
    """Runs tests by mocha."""
    report = host.directory / "report.json"
    # A machine with much to do takes longer than the 2 seconds that mocha waits by itself.
    options = ["--timeout", "30000", "--exit"]
    options += ["--reporter", "json", "--reporter-option", f"output={report}"]
    done = host.run(
        "node", MODULES / "mocha/bin/mocha.js", *options, *arguments, cwd=folder, **variables
    )
    assert report.exists(), f"{done.command}\n{done.text}"
    told = json.loads(report.read_text())
    kinds = {"passed": "passes", "failed": "failures", "skipped": "pending"}
    outcomes = {
        test["fullTitle"]: outcome for outcome, kind in kinds.items() for test in told[kind]
    }
    return Results(outcomes, done)
