"""deploy/systemd: the units are sound and tight, and not so tight that the node cannot do its work."""

import configparser
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import environment, missing
from deploy_files import (
    DEPLOY,
    PATH,
    linked_ringbinderd,
    ringbinderd,
    run,
    settings_of,
    tool,
    without_comments,
)
from ring_fleet import free_port, wait_until

SYSTEMD = DEPLOY / "systemd"
UNITS = ["ringbinderd.service", "ringbinderd.socket"]
# Tenths of systemd's own measure, from 0 (tight) to 100.
MOST_EXPOSED = 15


def service():
    """The [Service] section; of keys that stand twice, all values."""
    found = {}
    for line in without_comments(SYSTEMD / "ringbinderd.service"):
        key, is_pair, value = line.partition("=")
        if is_pair:
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def units(tmp_path):
    """The units, with the programs that are here in place of those of an installed package."""
    program = linked_ringbinderd(tmp_path)
    for name in UNITS:
        text = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/ringbinderd", program))
    return tmp_path


def test_systemd_finds_nothing_wrong(units):
    verify = tool("systemd-analyze", "systemd")
    done = subprocess.run(
        [verify, "verify", "--man=no", *(units / name for name in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_little_of_the_system_is_exposed(units):
    run(
        tool("systemd-analyze", "systemd"),
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSED}",
        "--no-pager",
        units / "ringbinderd.service",
    )


def allowed_calls():
    """The system calls that the unit lets through."""
    analyze = tool("systemd-analyze", "systemd")
    sets, name = {}, None
    for line in run(analyze, "syscall-filter", "--no-pager").splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            sets[name] = set()
        elif word and not word.startswith("#") and name:
            sets[name].add(word)

    def expand(word):
        if not word.startswith("@"):
            return {word}
        return set().union(*(expand(inner) for inner in sets[word]))

    calls = set()
    for value in service()["SystemCallFilter"]:
        words = set().union(*map(expand, value.lstrip("~").split()))
        calls = calls - words if value.startswith("~") else calls | words
    return calls


class Traced:
    """A program whose system calls strace writes to a file."""

    def __init__(self, command, log, variables):
        strace = shutil.which("strace", path=PATH)
        if strace is None:
            missing("strace is not installed")
        self.process = subprocess.Popen(
            # -D: the tracer is a child of the node, which signals reach as they would without it.
            [strace, "-f", "-D", "-qq", "-e", "signal=none", "-o", log, *command],
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def is_up(self, port):
        """Whether clients can connect; skips where nothing can be traced."""
        if self.process.poll() is not None:
            missing(f"strace cannot trace here: {self.process.stdout.read().decode()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()


def traced(command, log, variables=None):
    """Starts a program under strace."""
    return Traced(command, log, variables or {})


def calls_of(log):
    """The system calls in a file of strace's, whose program has ended, and the families of sockets;
    and all of the text."""
    # strace goes on writing for a moment after the program is gone.
    wait_until(lambda: "exit_group(0" in log.read_text(), "the end of the log")
    text = log.read_text()
    calls = set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    assert {"accept4", "execve", "epoll_wait"} <= calls, calls
    return calls, set(re.findall(r"\bsocket\((AF_\w+)", text)), text


def test_every_system_call_of_a_node_is_let_through(tmp_path):
    log, port = tmp_path / "calls", free_port(set())
    ring = tmp_path / "ring.toml"
    ring.write_text(f'version = 1\n[[node]]\nname = "a"\naddress = "127.0.0.1:{port}"\n')
    # On every address, so that it asks the system for the machine's own.
    arguments = ["-l", "0.0.0.0", "-p", str(port), "--ring", str(ring), "-t", "2"]
    node = traced([ringbinderd(), *arguments], log)
    try:

        def answer():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                value = b"v" * 100_000
                client.sendall(b"set key 0 60 %d\r\n%b\r\nget key\r\n" % (len(value), value))
                client.sendall(b"stats\r\nstats ring\r\nlru_crawler metadump all\r\nquit\r\n")
                return client.makefile("rb").read()

        wait_until(lambda: node.is_up(port), "the traced node answers")
        got = answer()
        assert got.startswith(b"STORED") and b"ring_member yes" in got, got[-2000:]
        node.process.send_signal(signal.SIGHUP)
        assert answer()
        node.process.send_signal(signal.SIGTERM)
        output, _ = node.process.communicate(timeout=60)
        assert node.process.returncode == 0, output
    finally:
        node.kill()

    calls, families, text = calls_of(log)
    assert calls - allowed_calls() == set()
    assert "AF_NETLINK" in families, families
    assert families <= set(service()["RestrictAddressFamilies"][0].split())
    # MemoryDenyWriteExecute
    assert not re.search(r"PROT_WRITE\|PROT_EXEC", text)


def test_the_settings_of_the_package_are_settings():
    settings = settings_of({}, SYSTEMD / "ringbinderd.toml")
    assert settings["listen"] in ("127.0.0.1", ["127.0.0.1"])
    assert settings["admin"].startswith("127.0.0.1:")
    assert not settings["enable_shutdown"]
    files = int(service()["LimitNOFILE"][0])
    assert files >= settings["conn_limit"] + 64


def test_the_socket_is_the_one_of_the_settings():
    parser = configparser.ConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string("\n".join(without_comments(SYSTEMD / "ringbinderd.socket")))
    settings = settings_of({}, SYSTEMD / "ringbinderd.toml")
    assert parser["Socket"]["ListenStream"] == f"127.0.0.1:{settings['port']}"


def test_a_node_writes_where_the_unit_lets_it():
    settings = settings_of({}, SYSTEMD / "ringbinderd.toml")
    for key in ("snapshot", "ring_cache"):
        assert settings[key].startswith(f"/var/lib/{service()['StateDirectory'][0]}/"), key


def test_the_user_is_made(tmp_path):
    sysusers = tool("systemd-sysusers", "systemd")
    (tmp_path / "etc").mkdir()
    run(sysusers, f"--root={tmp_path}", SYSTEMD / "ringbinder.sysusers")
    users = (tmp_path / "etc/passwd").read_text()
    assert re.search(r"^ringbinder:x:\d+:\d+:[^:]*:/var/lib/ringbinder:\S*nologin$", users, re.M)
    assert service()["User"] == ["ringbinder"]
