"""Suites of other projects that have to be compiled first: two crates and Go's client. `tests/run
--all-clients` runs them; without RINGBINDER_ALL_CLIENTS=yes conftest.py leaves them out."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import command, environment, missing
from upstream import HERE, Done, Host, Results, is_memcached

SHAPES = ["node", "ring"]
BUILD_PATIENCE = 3600
SUITE_PATIENCE = 300
GO_PACKAGE = "github.com/bradfitz/gomemcache/memcache"
GO_PATH = Path("/usr/share/gocode")

# What memcached learned after Debian's 1.6.18.
NEW_IN_MEMCACHED = {
    "test_async_memcache::verbs_roundtrip",
    "test_exp_meta_client::exp_cas_flow",
    "test_memcache::byte_streams",
}

# The tests of async-memcached that need a server; those about links that break need toxiproxy too.
NEED_A_SERVER = (
    "ascii_proto_integration_tests",
    "client_integration_tests",
    "meta_proto_integration_tests",
    "pipeline_integration_tests",
)


@pytest.fixture
def host():
    """A host with a folder of its own."""
    directory = Path(tempfile.mkdtemp(prefix="ringbinder-suite-"))
    directory.chmod(0o755)
    try:
        with Host(directory) as made:
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def cargo(*arguments):
    """What cargo printed on its standard output."""
    if shutil.which("cargo") is None:
        missing("cargo is not installed")
    command_line = ["cargo", *map(str, arguments)]
    done = subprocess.run(
        command_line, capture_output=True, text=True, timeout=BUILD_PATIENCE
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def built(crate, version, *options):
    """The test programs of a crate by their names, and the folder of its source."""
    program = os.environ.get("RINGBINDERD")
    target = Path(program).parent.parent if program else HERE.parents[1] / "target"
    place = target / "suites"
    folder = place / f"{crate}-{version}"
    with tempfile.TemporaryDirectory() as project:
        manifest = Path(project) / "Cargo.toml"
        manifest.write_text(
            '[package]\nname = "suites"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n'
            f'[dependencies]\n{crate} = {{ version = "={version}", default-features = false }}\n'
        )
        manifest.with_name("lib.rs").touch()
        text = cargo("metadata", "--format-version", 1, "--manifest-path", manifest)
    found = [it for it in json.loads(text)["packages"] if it["name"] == crate]
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(found[0]["manifest_path"]).parent, folder)
    # The workspace around the target directory has no part in it.
    with (folder / "Cargo.toml").open("a") as manifest:
        manifest.write("\n[workspace]\n")
    told = cargo(
        *("test", "--no-run", "--tests", "--locked", "--message-format=json", *options),
        *("--manifest-path", folder / "Cargo.toml", "--target-dir", place / "target"),
    )
    messages = [json.loads(line) for line in told.splitlines()]
    programs = {it["target"]["name"]: it["executable"] for it in messages if it.get("executable")}
    return folder, programs


def tests_of(name, text):
    """How the tests of a program went, by what it printed."""
    words = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
    return {
        f"{name}::{test}": words[word]
        for test, word in re.findall(r"^test (\S+) \.\.\. (ok|FAILED|ignored)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_the_crate_memcache(host, shape):
    """Its oldest tests, those in tests.rs, set nothing and so speak the binary protocol."""
    if is_memcached() and shape == "ring":
        pytest.skip("memcached has no ring")
    options = ("--no-default-features", "--features", "tokio,serde_json")
    folder, programs = built("memcache", "0.21.0", *options)
    host.start(shape, (12345, 12346))
    outcomes, texts = {}, []
    for name in sorted(programs.keys() - {"tests", "memcache"}):
        done = host.run(programs[name], "--test-threads=1", cwd=folder)
        outcomes.update(tests_of(name, done.text))
        texts.append(done.text)
    fails = dict.fromkeys(NEW_IN_MEMCACHED, "1.6.18 does not know it") if is_memcached() else {}
    results = Results(outcomes, Done("the crate memcache", 0, "\n".join(texts)))
    results.check(f"crate memcache, {shape}", 69 - len(fails), fails, {})


def test_the_crate_async_memcached():
    """It starts servers by itself, by memcached's options: a node takes memcached's place."""
    if is_memcached():
        pytest.skip("it wants memcached 1.6.40 or later")
    folder, programs = built("async-memcached", "0.9.0")
    outcomes, texts = {}, []
    for name in NEED_A_SERVER:
        done = subprocess.run(
            [programs[name], "--ignored", "--test-threads=2"],
            cwd=folder,
            env={**environment(), "MEMCACHED_BIN": command()[0]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SUITE_PATIENCE,
        )
        outcomes.update(tests_of(name, done.stdout))
        texts.append(done.stdout + done.stderr)
    results = Results(outcomes, Done("the crate async-memcached", 0, "\n".join(texts)))
    results.check("crate async-memcached, node", 144, {}, {})


@pytest.mark.parametrize("shape", SHAPES)
def test_gomemcache(host, shape):
    """One of its tests asks a server on the port, one starts a server itself. Both want steps of a second
    to be on time, and the first does not wait until the cache is empty: any of five runs counts."""
    if is_memcached() and shape == "ring":
        pytest.skip("memcached has no ring")
    if shutil.which("go") is None or not (GO_PATH / "src" / GO_PACKAGE).is_dir():
        missing("Go or its client (Debian: golang-go, golang-github-bradfitz-gomemcache-dev)")
    host.start(shape)
    programs = host.directory / "programs"
    programs.mkdir()
    user = " -u root" if os.geteuid() == 0 else ""
    stand_in = programs / "memcached"
    stand_in.write_text(f'#!/bin/sh\nexec {shutil.which(command()[0])}{user} "$@"\n')
    stand_in.chmod(0o755)
    before = set(Path("/tmp").glob("test-gomemcache-*.sock"))
    outcomes = {}
    for _ in range(5):
        done = host.run(
            *("go", "test", "-v", "-count=1", GO_PACKAGE),
            GO111MODULE="off",
            GOPATH=str(GO_PATH),
            GOCACHE=str(host.directory / "go"),
            PATH=f"{programs}:{os.environ['PATH']}",
        )
        for word, name in re.findall(r"^--- (PASS|FAIL): (\w+)", done.text, re.MULTILINE):
            if outcomes.get(name) != "passed":
                outcomes[name] = "passed" if word == "PASS" else "failed"
        if "failed" not in outcomes.values():
            break
    # It kills its servers, which leave their sockets.
    for left in set(Path("/tmp").glob("test-gomemcache-*.sock")) - before:
        left.unlink()
    Results(outcomes, done).check(f"gomemcache, {shape}", 2, {}, {})
