"""What the documentation says of an installed node is what the package and deploy/ bring: units, paths,
and the flags of every command line.
"""

import glob
import re
import shlex
import tomllib
from pathlib import PurePosixPath

import pytest

from conftest import environment
from deploy_files import DEPLOY, ROOT, ringbinder, ringbinderd, run, without_comments

PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
    + [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".json"]
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
# Directories of other programs.
OTHERS = ["/etc/prometheus", "/etc/grafana", "/etc/bash_completion.d", "/var/lib/dashboards"]
UNITS = {path.name for path in (DEPLOY / "systemd").glob("*.s[eo]*")}


def packaged():
    """The paths that the package installs, as its metadata lists them."""
    crate = ROOT / "crates/node"
    manifest = tomllib.loads((crate / "Cargo.toml").read_text())
    found = set()
    for source, target, _ in manifest["package"]["metadata"]["deb"]["assets"]:
        path = PurePosixPath("/") / target
        if not target.endswith("/"):
            found.add(path)
            continue
        names = glob.glob(str(crate / source)) or [source]
        found |= {path / PurePosixPath(name).name for name in names}
    return found


PACKAGED = packaged()
SETTINGS = tomllib.loads((DEPLOY / "systemd/ringbinderd.toml").read_text())


def directives(key):
    lines = without_comments(DEPLOY / "systemd/ringbinderd.service")
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def is_there(path):
    """Whether a path is one that the package or its unit makes, or that an operator is told to make."""
    if path in PACKAGED or any(path in known.parents for known in PACKAGED):
        return True
    (state,), (runtime,) = directives("StateDirectory"), directives("RuntimeDirectory")
    state, runtime = PurePosixPath("/var/lib") / state, PurePosixPath("/run") / runtime
    written = {PurePosixPath(SETTINGS[key]) for key in ("snapshot", "ring_cache")}
    if path in (state, runtime, *written) or path.parent == runtime:
        return True
    # A drop-in, a ring, secrets: the operator's own files, in the package's directories.
    units = PurePosixPath("/etc/systemd/system")
    own = PurePosixPath("/etc/ringbinder")
    return (
        path.parent == units and path.name.removesuffix(".d") in UNITS
        or path.parent.parent == units and path.parent.name.removesuffix(".d") in UNITS
        or own / "ringbinderd.toml.d" in (path, path.parent)
        or path.parent == own
    )


def wrong_names(text):
    """What a text names wrongly."""
    found = []
    for name in re.findall(r"(?<![\w./-])ringbinder[\w@-]*\.(?:service|socket|timer)\b", text):
        if name not in UNITS:
            found.append(name)
    asked = r"(?:systemctl +(?:[a-z-]+ +)(?:--?[\w=]+ +(?:HUP +)?)*|journalctl +-u +)(ringbinder[\w.@-]*)"
    for name in re.findall(asked, text):
        if not {name, f"{name}.service"} & UNITS:
            found.append(f"unit {name}")
    # Variables and patterns stand for more than one path; those of other programs are theirs.
    places = r"(?<![\w./}])/(?:etc|usr|var|run)/[\w./@-]*ringbinder[\w./@-]*(?![\w*{$])"
    for place in re.findall(places, text):
        path = PurePosixPath(place.rstrip("./"))
        if not is_there(path) and not {PurePosixPath(other) for other in OTHERS} & {*path.parents}:
            found.append(place)
    for place in re.findall(r"(?<![\w./-])(?:deploy|docs|tests|crates)/[\w./-]+\w\b(?![*{])", text):
        if place.startswith("tests/.venv") or "..." in place:
            continue
        if not (ROOT / place).exists() and not (ROOT / "tests" / place).exists():
            found.append(place)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_units_and_paths_are_those_of_the_package(name):
    assert wrong_names((ROOT / name).read_text()) == []


def test_units_and_paths_of_the_help_are_those_of_the_package():
    for program in (ringbinderd(), ringbinder()):
        assert wrong_names(run(program, "--help", env=environment())) == []


@pytest.mark.parametrize(
    "text",
    [
        "systemctl restart ringbinder",
        "`systemctl enable --now ringbinder.socket`",
        "systemctl kill -s HUP ringbinder",
        "# ringbinder.service",
        "journalctl -u ringbinder",
        "kill -HUP $(cat /run/ringbinderd/pid)",
        "--config /etc/ringbinderd.toml",
        "ringbinderd -e /var/lib/ringbinder/snapshot",
        "/etc/systemd/system/ringbinder.service.d/x.conf",
        "see deploy/systemd/none.conf",
    ],
)
def test_a_wrong_name_is_found(text):
    assert wrong_names(text) != [], text


def test_a_right_name_is_none():
    text = """
        systemctl reload ringbinderd; systemctl kill -s HUP ringbinderd
        systemctl enable --now ringbinderd.socket; journalctl -u ringbinderd
        /etc/ringbinder/ringbinderd.toml.d/local.toml /etc/ringbinder/ring.toml
        /usr/share/doc/ringbinder/examples/hand-over.conf /run/ringbinder/hand-over.sock
    """
    assert wrong_names(text) == []


def command_lines(text):
    """The lines of code that start one of the programs, as words."""
    for line in text.replace("\\\n", " ").splitlines():
        indented = re.match(r"(?: {4}|\t)(?:\S*/)?(ringbinderd?) (.*)", line)
        if indented is None:
            continue
        rest = re.split(r" # | \.\.\.|[|;&]", indented[2])[0]
        try:
            yield indented[1], shlex.split(rest)
        except ValueError:
            # A quotation that goes on in another line.
            continue


HELP = {}


def flags_of(program, words):
    """The long flags that a command takes."""
    commands = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*", word) or program == "ringbinderd":
            break
        commands.append(word)
    while (program, *commands) not in HELP:
        path = ringbinderd() if program == "ringbinderd" else ringbinder()
        try:
            text = run(path, *commands, "--help", env=environment())
        except AssertionError:
            # A word that is an argument and no command.
            assert commands, (program, words)
            commands.pop()
            continue
        HELP[(program, *commands)] = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    return HELP[(program, *commands)]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".md")])
def test_flags_in_command_lines_are_flags(name):
    for program, words in command_lines((ROOT / name).read_text()):
        used = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert used <= flags_of(program, words), (program, words)
