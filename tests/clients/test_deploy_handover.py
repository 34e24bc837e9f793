"""deploy/systemd/hand-over.conf: a reload replaces the process, and the service never lacks one.

First with a test in systemd's place, which hears all that the processes tell it; then under a systemd of
its own, where one can be had.
"""

import ctypes
import os
import shlex
import signal
import socket
import stat
import struct
import subprocess
import threading

import pytest

from conftest import environment
from deploy_files import DEPLOY, linked_ringbinderd, run, tool, without_comments
from ring_fleet import free_port, wait_until
from systemd_manager import Manager
from test_deploy_systemd import MOST_EXPOSED, allowed_calls, calls_of, service, traced

SYSTEMD = DEPLOY / "systemd"
DROP_IN = SYSTEMD / "hand-over.conf"
TIMES = 3


def directives():
    """What the drop-in sets, over the unit: all values of each key, without those that it resets."""
    found = service()
    for line in without_comments(DROP_IN):
        key, is_pair, value = line.partition("=")
        if is_pair and value:
            found.setdefault(key, []).append(value)
        elif is_pair:
            found[key] = []
    return found


class Places:
    """Directories in place of those of the package, and the settings file in them."""

    def __init__(self, directory):
        self.port = free_port(set())
        self.names = {
            "/usr/bin/ringbinderd": linked_ringbinderd(directory),
            "/etc/ringbinder": str(directory / "etc"),
            "/var/lib/ringbinder": str(directory / "state"),
            "/run/ringbinder": str(directory / "run"),
        }
        for name in ("etc", "state", "run"):
            (directory / name).mkdir()
        text = self.here((SYSTEMD / "ringbinderd.toml").read_text())
        (directory / "etc/ringbinderd.toml").write_text(text)
        local = directory / "etc/ringbinderd.toml.d/local.toml"
        local.parent.mkdir()
        lines = [f"port = {self.port}", f'admin = "{free_port({self.port})}"']
        local.write_text("".join(f"{line}\n" for line in lines))

    def here(self, text):
        """A text of the package, with the places of this test."""
        for name, place in self.names.items():
            text = text.replace(name, place)
        return text

    def command(self, line):
        # Split first: a place may have blanks in it.
        return [self.here(word) for word in shlex.split(line)]

    def ask(self, request):
        """Sends requests over a connection of their own; all that was answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(request.encode() + b"quit\r\n")
            return client.makefile("rb").read().decode()


class Ear:
    """The socket of a service manager: who told it what."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.setblocking(False)
        self.heard = []

    def listen(self):
        """All that was told so far, as pairs of a process and a line."""
        while True:
            try:
                text, more, _, _ = self.socket.recvmsg(4096, 1024)
            except BlockingIOError:
                return self.heard
            (pid,) = [
                struct.unpack("3i", data)[0]
                for level, kind, data in more
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
            ]
            self.heard += [(pid, line) for line in text.decode().splitlines() if line]

    def wait_for(self, pid, line):
        wait_until(lambda: (pid, line) in self.listen(), f"{line} from {pid}")


@pytest.fixture
def adopted():
    """Processes whose parents end become this one's children, as they become process 1's; those that
    are left are killed."""
    subreaper = 36
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(subreaper, 1, 0, 0, 0) == 0
    left = set()
    yield left
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    libc.prctl(subreaper, 0, 0, 0, 0)


def test_the_old_process_names_the_new_one_before_it_ends(tmp_path, adopted):
    places, ear = Places(tmp_path), Ear(tmp_path / "notify")
    given = directives()
    assert (given["Type"], given["NotifyAccess"]) == (["notify"], ["all"])
    variables = {**environment(), "NOTIFY_SOCKET": str(tmp_path / "notify")}
    variables |= dict(places.here(pair).split("=", 1) for pair in given["Environment"])
    silent = {"env": variables, "stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    (start,), (reload,) = given["ExecStart"], given["ExecReload"]
    main = subprocess.Popen(places.command(start), **silent).pid
    adopted.add(main)
    ear.wait_for(main, "READY=1")
    assert places.ask("set key 0 0 5\r\nvalue\r\n") == "STORED\r\n"
    for _ in range(TIMES):
        ear.heard.clear()
        # systemd waits for this one, and then for nothing: what it left behind is the service.
        control = subprocess.Popen(places.command(reload), **silent)
        assert control.wait(timeout=120) == 0
        _, status = os.waitpid(main, 0)
        adopted.remove(main)
        assert status == 0
        told = ear.listen()
        # What the old process told before it ended is here by now.
        old = [line for pid, line in told if pid == main]
        assert [line.split("=")[0] for line in old] == ["MAINPID"], told
        new = int(old[0].split("=")[1])
        assert new not in (main, control.pid)
        adopted.add(new)
        ear.wait_for(new, "READY=1")
        assert {line for _, line in told if line.startswith("MAINPID=")} == {f"MAINPID={new}"}
        assert {pid for pid, _ in told} <= {main, new}
        main = new

        def restored():
            stats = places.ask("get key\r\nstats\r\n")
            assert "restore_state failed" not in stats and f"STAT pid {new}\r\n" in stats
            return stats.startswith("VALUE key 0 5\r\nvalue\r\n")

        wait_until(restored, "the item in the new process")
    os.kill(main, signal.SIGTERM)
    assert os.waitpid(main, 0)[1] == 0
    adopted.remove(main)
    assert (main, "STOPPING=1") in ear.listen()


def test_in_the_background_the_log_still_reaches_the_journal(tmp_path, adopted):
    places = Places(tmp_path)
    journal, stderr = socket.socketpair()
    other = os.stat(tmp_path)
    here = os.fstat(stderr.fileno())
    assert stat.S_ISSOCK(here.st_mode)
    for stream, is_journal in [(here, True), (other, False)]:
        variables = {**environment(), "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}
        command = places.command(directives()["ExecReload"][0])
        pidfile = tmp_path / "pid"
        done = subprocess.run(
            [*command, "-P", pidfile],
            env=variables,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            timeout=120,
        )
        assert done.returncode == 0
        pid = int(pidfile.read_text())
        adopted.add(pid)
        os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == 0
        adopted.remove(pid)
        log = journal.recv(1 << 20).decode()
        assert "listens on" in log
        assert ("SIGTERM: stopping" in log) == is_journal, log


def test_systemd_finds_nothing_wrong_with_the_drop_in(tmp_path):
    analyze = tool("systemd-analyze", "systemd")
    unit, beside = tmp_path / "ringbinderd.service", tmp_path / "ringbinderd.service.d"
    beside.mkdir()
    program = linked_ringbinderd(tmp_path)
    for path, source in [(unit, SYSTEMD / unit.name), (beside / DROP_IN.name, DROP_IN)]:
        path.write_text(source.read_text().replace("/usr/bin/ringbinderd", program))

    def verify():
        command = [analyze, "verify", "--man=no", unit]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    assert verify() == (0, "")
    threshold = f"--threshold={MOST_EXPOSED}"
    run(analyze, "security", "--offline=true", threshold, "--no-pager", unit)
    # That it was looked at at all.
    with (beside / DROP_IN.name).open("a") as drop_in:
        drop_in.write("NoSuchSetting=1\n")
    assert "NoSuchSetting" in verify()[1]


def test_every_system_call_of_a_hand_over_is_let_through(tmp_path):
    places, given = Places(tmp_path), directives()
    (start,), (reload,) = given["ExecStart"], given["ExecReload"]
    variables = dict(places.here(pair).split("=", 1) for pair in given["Environment"])
    old = traced(places.command(start), tmp_path / "old", variables)
    try:
        wait_until(lambda: old.is_up(places.port), "the traced node answers")
        places.ask("set key 0 0 5\r\nvalue\r\n")
        new = traced(places.command(reload), tmp_path / "new", variables)
        try:
            assert new.process.wait(timeout=120) == 0
            assert old.process.wait(timeout=120) == 0
            pid = int(places.ask("stats\r\n").split("STAT pid ")[1].split("\r\n")[0])
            os.kill(pid, signal.SIGTERM)
            for name in ("old", "new"):
                calls, families, text = calls_of(tmp_path / name)
                assert {"sendmsg", "recvmsg"} & calls, calls
                assert calls - allowed_calls() == set(), name
                assert families <= set(service()["RestrictAddressFamilies"][0].split())
        finally:
            new.kill()
    finally:
        old.kill()


class Client(threading.Thread):
    """Connects again and again until told to stop, and counts who was refused."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.served, self.refused = port, 0, []
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            except OSError as error:
                self.refused.append(error)
                continue
            with client:
                try:
                    client.sendall(b"mn\r\n")
                    self.served += client.recv(4) == b"MN\r\n"
                except ConnectionError:
                    # It ended between two answers, as with any restart.
                    pass


# Lines of the unit about what a process may, which a manager without a journal and users has no use for.
LIFE = ["Type", "ExecStartPre", "ExecStart", "ExecReload", "Restart", "RestartSec", "TimeoutStopSec"]
LIFE += ["RestartPreventExitStatus", "LimitNOFILE", "RuntimeDirectory", "Environment", "NotifyAccess"]


def test_systemd_itself_reloads_the_service_and_nobody_is_refused(tmp_path):
    directory = tmp_path / "manager"
    places = Places(tmp_path)
    # Made and removed by systemd, as /run/ringbinder is.
    places.names["/run/ringbinder"] = "/run/user/0/ringbinder"
    with Manager(directory) as manager:
        unit = manager.units / "ringbinderd.service"
        lines = [line for line in without_comments(SYSTEMD / unit.name) if line.split("=")[0] in LIFE]
        unit.write_text(places.here("[Service]\n" + "\n".join(lines) + "\n"))
        beside = manager.units / "ringbinderd.service.d"
        beside.mkdir()
        (beside / DROP_IN.name).write_text(places.here(DROP_IN.read_text()))
        assert manager.systemctl("daemon-reload").returncode == 0
        done = manager.systemctl("start", unit.name)
        assert done.returncode == 0, done.stderr
        assert places.ask("set key 0 0 5\r\nvalue\r\n") == "STORED\r\n"

        def is_served():
            answer = places.ask("get key\r\nstats\r\n")
            pid = manager.show(unit.name, "MainPID")
            assert f"STAT pid {pid}\r\n" in answer, (pid, answer)
            return answer.startswith("VALUE key 0 5\r\nvalue\r\n")

        client = Client(places.port)
        try:
            for _ in range(TIMES):
                before, served = manager.show(unit.name, "MainPID"), client.served
                done = manager.systemctl("reload", unit.name)
                assert done.returncode == 0, done.stderr
                wait_until(lambda: not os.path.exists(f"/proc/{before}"), "the end of the old process")
                assert manager.show(unit.name, "ActiveState") == "active"
                assert manager.show(unit.name, "MainPID") not in ("0", before)
                wait_until(is_served, "the item in the new process")
                wait_until(lambda: client.served > served + 10, "clients of the new process")
            # A new process that cannot start changes nothing.
            before = manager.show(unit.name, "MainPID")
            broken = tmp_path / "etc/ringbinderd.toml.d/broken.toml"
            broken.write_text("memory_limt = 1\n")
            assert manager.systemctl("reload", unit.name).returncode != 0
            assert manager.show(unit.name, "MainPID") == before
            assert manager.show(unit.name, "ActiveState") == "active" and is_served()
            broken.unlink()
        finally:
            client.over.set()
            client.join()
        assert client.refused == []
        # What took over is watched like any main process: it is started again when it crashes.
        os.kill(int(before), signal.SIGKILL)
        wait_until(
            lambda: manager.show(unit.name, "MainPID") not in ("0", before)
            and manager.show(unit.name, "ActiveState") == "active",
            "a new start after a crash",
        )
        assert manager.systemctl("stop", unit.name).returncode == 0
        assert manager.show(unit.name, "ActiveState") == "inactive"
        assert manager.show(unit.name, "Result") == "success"
