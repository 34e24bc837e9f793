"""What the tests of deploy/ share: where things lie, how tools are run, and what a node is told."""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

from conftest import environment, missing

try:
    import yaml
except ImportError:
    yaml = None

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
# Debian keeps some tools where only root looks.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def tool(name, package):
    """Where a program is; skips where it is not."""
    found = shutil.which(name, path=PATH)
    if found is None:
        missing(f"{name} (Debian: {package}) is not installed")
    return found


def run(*arguments, **more):
    """Runs a program to its end; what it printed, or an error with all that it said."""
    done = subprocess.run(
        [str(word) for word in arguments], capture_output=True, text=True, timeout=300, **more
    )
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def load_yaml(path):
    """One document of YAML, with its merge keys merged."""
    if yaml is None:
        missing("PyYAML is not installed")
    return yaml.safe_load(path.read_text())


def ringbinderd():
    """The server."""
    return os.environ["RINGBINDERD"]


def linked_ringbinderd(directory):
    """The server, by a path without blanks, at which a unit's lines are split."""
    link = directory / "ringbinderd"
    link.symlink_to(ringbinderd())
    return str(link)


def ringbinder():
    """The operator's tool."""
    return os.environ["RINGBINDER"]


def flags():
    """What `ringbinderd --help` says."""
    return run(ringbinderd(), "--help", env=environment())


# Where packages, containers and pods keep what a node writes, and the ring. Both are looked at when
# settings are checked.
STATE = "/var/lib/ringbinder"
RING = "/etc/ringbinder/ring.toml"


def settings_of(variables, config=None, ring=None):
    """What these variables and a settings file come to, with the files in its directory FILE.d, and that
    the node has nothing to say against them. A directory stands for the one where a node writes, and
    the file `ring` for the ring, neither of which is on this machine."""
    with tempfile.TemporaryDirectory(prefix="ringbinder-state-") as state:
        stands_for = {STATE: state} if ring is None else {STATE: state, RING: str(ring)}

        def placed(text):
            for name, place in stands_for.items():
                text = text.replace(name, place)
            return text

        arguments = []
        if config is not None:
            copy = Path(state) / config.name
            beside = config.with_name(f"{config.name}.d")
            for path in [config, *(sorted(beside.iterdir()) if beside.exists() else [])]:
                target = copy.parent / path.relative_to(config.parent)
                target.parent.mkdir(exist_ok=True)
                target.write_text(placed(path.read_text()))
            arguments = ["--config", copy]
        variables = {name: placed(text) for name, text in variables.items()}
        done = subprocess.run(
            [ringbinderd(), "--check-config", *arguments],
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        printed = done.stdout
        for name, place in stands_for.items():
            printed = printed.replace(place, name)
        return tomllib.loads(printed)


def without_comments(path, mark="#"):
    """A file's lines that say something."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith(mark)]


def metrics_of(expression):
    """The names of the metrics that an expression of PromQL asks for."""
    words = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    words = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", words)
    words = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", words)
    words = re.sub(r"\b(and|or|unless|offset|bool)\b", " ", words)
    words = re.sub(r"(?<![\w:])\d[\w.]*", " ", words)
    return set(re.findall(r"[a-zA-Z_:][\w:]*(?![\w:]*\s*\()", words))
