"""The operator's tools of Debian: memccapable, memcached-tool, memcstat and friends."""

import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from conftest import missing
from pymemcache.client.base import Client

TOOL = Path("/usr/share/memcached/scripts/memcached-tool")


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


# They send `delete key 0 noreply`-like lines with a word that memcached 1.6.18 refused. 1.6.45 deletes, and
# fails the same two (docs/decisions/0001-which-memcached.md).
DELETES_WITH_MORE_WORDS = {"ascii delete", "ascii delete noreply"}


def test_memccapable_passes_every_ascii_check_that_memcached_passes(node):
    if shutil.which("memccapable") is None:
        missing("memccapable (Debian: libmemcached-tools) is not installed")
    _, stdout, stderr = run("memccapable", "-a", "-h", "127.0.0.1", "-p", str(node.port))
    # A check that fails says so elsewhere: its name stands without an outcome.
    checks = re.findall(r"(ascii(?: [a-z]+)+) {2,}(\[pass\])?", stdout)
    assert len(checks) == 27, stdout + stderr
    assert {name for name, outcome in checks if not outcome} == DELETES_WITH_MORE_WORDS
    with closing(Client(node.address, timeout=10)) as client:
        client.set("a", b"1", noreply=False)
        assert client.raw_command(b"delete a 5") == b"DELETED"
        client.set("a", b"1", noreply=False)
        client.raw_command(b"delete a 5 noreply\r\nmn", end_tokens=b"MN\r\n")
        assert client.get("a") is None


def tool(node, *mode):
    if not TOOL.exists() or shutil.which("perl") is None:
        missing(f"{TOOL} (Debian: memcached) or perl is not installed")
    code, stdout, stderr = run("perl", str(TOOL), node.spelled, *mode)
    assert code == 0, stderr
    return stdout


@pytest.fixture
def filled(node):
    with closing(Client(node.address, timeout=10)) as client:
        for number in range(100):
            client.set(f"key-{number}", b"v" * 100, noreply=False)
        client.get("key-1")
    return node


def test_memcached_tool_display(filled):
    lines = tool(filled, "display").splitlines()
    assert "Item_Size" in lines[0], lines
    counts = [int(line.split()[4]) for line in lines[1:]]
    assert sum(counts) == 100, lines


def test_memcached_tool_stats(filled):
    text = tool(filled, "stats")
    assert re.search(r"^\s*curr_items\s+100\s*$", text, re.MULTILINE), text
    assert re.search(r"^\s*get_hits\s+1\s*$", text, re.MULTILINE), text


def test_memcached_tool_settings(filled):
    text = tool(filled, "settings")
    assert re.search(r"^\s*maxconns\s+1024\s*$", text, re.MULTILINE), text
    assert re.search(r"^\s*item_size_max\s+1048576\s*$", text, re.MULTILINE), text


def test_memcached_tool_dump_and_keys(filled):
    keys = tool(filled, "keys")
    assert len(re.findall(r"key=key-\d+ ", keys)) == 100, keys[:500]


def test_libmemcacheds_tools(filled):
    if shutil.which("memcstat") is None:
        missing("memcstat (Debian: libmemcached-tools) is not installed")
    servers = f"--servers={filled.spelled}"
    code, stdout, stderr = run("memcstat", servers)
    assert code == 0 and "curr_items: 100" in stdout, stdout + stderr
    code, stdout, stderr = run("memcping", servers)
    assert code == 0, stdout + stderr
    code, stdout, stderr = run("memccat", servers, "key-7")
    assert code == 0 and stdout.strip() == "v" * 100, stdout + stderr
