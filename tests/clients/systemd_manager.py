"""A systemd of one's own: a user manager that sees no control group but its own.

It starts, reloads and stops units as the one that is process 1 does, so that a unit's life can be run
where the machine was not booted with systemd. What it cannot do is change users and journal.

A manager moves every process of the control group that it finds itself in. So it gets a group of its own,
in a namespace and a mount that show no other; it is not started unless that can be seen to be so.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy_files import PATH
from ring_fleet import wait_until

SYSTEMD = Path("/lib/systemd/systemd")

# Makes the group, enters it, and makes it all that can be seen. The root of all groups has no
# `cgroup.events`.
ENTER = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/$GROUP
echo $$ >/sys/fs/cgroup/$GROUP/cgroup.procs
grep -qx "0::.*/$GROUP" /proc/self/cgroup
exec unshare --cgroup sh -euc "$START"
"""
START = """
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
grep -qx 0::/ /proc/self/cgroup
test -f /sys/fs/cgroup/cgroup.events
# That this directory is there says that the machine was booted with systemd.
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
exec env -i PATH="$PATH" HOME="$HOME" XDG_RUNTIME_DIR=/run/user/0 XDG_CONFIG_HOME="$HOME" \\
    /lib/systemd/systemd --user --unit=basic.target
"""
# What systemd left of it, from the inside out.
REMOVE = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
find /sys/fs/cgroup/$GROUP -depth -type d -exec rmdir {} +
"""


def skip(why):
    """Nothing that a test machine lacks by mistake: a skip with CI=true as well."""
    print(f"\nSKIPPED: a systemd of one's own: {why}", flush=True)
    pytest.skip(why)


class Manager:
    """A running manager, with units in `directory`/systemd/user. A context."""

    def __init__(self, directory):
        self.units = directory / "systemd/user"
        self.units.mkdir(parents=True)
        self.process = None
        group = f"ringbinder-test-{os.getpid()}"
        self.variables = {"PATH": PATH, "HOME": str(directory), "GROUP": group, "START": START}

    def _apart(self, script):
        """Starts a script in a mount namespace."""
        return subprocess.Popen(
            [shutil.which("unshare", path=PATH), "--mount", "sh", "-euc", script],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        if os.geteuid() != 0 or not SYSTEMD.exists():
            skip("needs root, and systemd to be installed")
        self.process = self._apart(ENTER)

        def answers():
            if self.process.poll() is not None:
                return "ended"
            return self.systemctl("is-system-running").stdout.strip() in ("running", "degraded")

        if wait_until(answers, "systemd to answer") == "ended":
            output = self.process.communicate()[0]
            self.__exit__()
            skip(f"it does not run here: {output[-300:]}")
        return self

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            # Stops all units, and ends.
            self.process.terminate()
            self.process.communicate(timeout=120)
        # It fails if there is none.
        self._apart(REMOVE).communicate(timeout=120)

    def systemctl(self, *arguments):
        """Runs systemctl against this manager; what came of it."""
        enter = [shutil.which("nsenter", path=PATH), "--target", str(self.process.pid), "--mount"]
        return subprocess.run(
            [*enter, "--wd=/", "systemctl", "--user", *arguments],
            env={"PATH": PATH, "XDG_RUNTIME_DIR": "/run/user/0"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def show(self, unit, name):
        """One property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).stdout.strip()
