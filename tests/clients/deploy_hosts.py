"""Machines for the rings of deploy/: names that resolve, and addresses of their own, in namespaces of
the kernel that nothing outside sees. Nodes run in them with the variables and the ring file that
containers or pods get."""

import os
import shlex
import shutil
import subprocess

import pytest

from conftest import environment, missing
from deploy_files import PATH, ringbinder, ringbinderd, tool


class Machines:
    """Names, each with an address of its own in one network namespace. A context."""

    def __init__(self, names, directory):
        self.addresses = {name: f"10.77.1.{number}" for number, name in enumerate(names, start=1)}
        self.directory = directory
        self.nodes = {}
        self.holder = None

    def __enter__(self):
        if os.geteuid() != 0:
            missing("namespaces for machines need root")
        unshare, ip = tool("unshare", "util-linux"), tool("ip", "iproute2")
        hosts = self.directory / "hosts"
        hosts.write_text("".join(f"{at} {name}\n" for name, at in self.addresses.items()))
        # The shell holds the namespaces until its standard input ends.
        script = f"mount --bind {shlex.quote(str(hosts))} /etc/hosts && {ip} link set lo up"
        for at in self.addresses.values():
            # Not of the loopback network, which the node trusts more.
            script += f" && {ip} address add {at}/32 dev lo"
        self.holder = subprocess.Popen(
            [unshare, "--net", "--mount", "sh", "-c", f"{script} && echo ready && read end"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": PATH},
            text=True,
        )
        if self.holder.stdout.readline() != "ready\n":
            why = self.holder.stderr.read().strip()
            self.__exit__()
            # Nothing that a test machine lacks by mistake: a skip with CI=true as well.
            print(f"\nSKIPPED: machines in namespaces: {why}", flush=True)
            pytest.skip(why)
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            node.kill()
            node.wait()
        if self.holder is not None:
            self.holder.kill()
            self.holder.communicate()

    def inside(self, *command):
        """The command line that runs a command in there."""
        nsenter = shutil.which("nsenter", path=PATH)
        space = ["--target", str(self.holder.pid), "--net", "--mount"]
        # A mount namespace brings its own working directory.
        return [nsenter, *space, f"--wd={self.directory}", *map(str, command)]

    def start(self, name, variables):
        """Starts the node of a machine. What would listen on every address listens on its own."""
        at = self.addresses[name]
        variables = {key: text.replace("0.0.0.0", at) for key, text in variables.items()}
        log = (self.directory / f"{name}.log").open("ab")
        with log:
            self.nodes[name] = subprocess.Popen(
                self.inside(ringbinderd()),
                env={**environment(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def logs(self):
        return "\n".join(f"{name}:\n{self.log(name)}" for name in self.nodes)

    def run(self, *command, **more):
        """Runs a program in there; its exit code and what it printed."""
        done = subprocess.run(
            self.inside(*command),
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            **more,
        )
        return done.returncode, done.stdout + done.stderr

    def tool(self, *arguments):
        """Runs `ringbinder` in there."""
        return self.run(ringbinder(), *arguments)
