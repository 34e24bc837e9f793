"""Clients that speak the binary protocol, if nobody sets them otherwise: each fails at once, and the
node's log says why. docs/protocol.md names the setting of each; test_languages.py runs them with it."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import closing

import pytest

from conftest import PATIENCE, missing
from pymemcache.client.base import Client
from test_languages import SCRIPTS, interpreter, php
from upstream import is_memcached, modules

BMEMCACHED = """
import sys
import bmemcached
print(bmemcached.Client((sys.argv[1],)).set("a", "1"))
"""

PYLIBMC = """
import sys
import pylibmc
try:
    print(pylibmc.Client([sys.argv[1]], binary=True).set("a", "1"))
except pylibmc.Error as error:
    print(error)
"""


def ended(*command):
    """What a program printed before it ended by itself."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def php_sessions(address):
    said = ended(php(), SCRIPTS / "sessions.php", address, "shared", "1")
    return not said.startswith("session_start(): Failed to write session lock")


def symfony(address):
    marker = "/usr/share/php/Symfony/Component/Cache/autoload.php"
    interpreter("php", "Symfony's cache (Debian: php-symfony-cache)", marker)
    said = ended(php(), SCRIPTS / "symfony.php", f"memcached://{address}")
    # Nothing is found again, and nothing says so.
    return json.loads(said)["second"] != {"answer": 2}


def memjs(address):
    said = ended("node", SCRIPTS / "memjs.js", address, modules("memjs"))
    return said.startswith("stored")


def dalli(address):
    ruby = interpreter("ruby", "dalli (Debian: ruby-dalli)", "/usr/share/doc/ruby-dalli")
    said = ended(ruby, "-e", "require 'dalli'; puts defined?(Dalli::Protocol::Meta) ? 1 : 0")
    if said.strip() == "1":
        pytest.skip("this dalli speaks meta commands")
    return not ended(ruby, SCRIPTS / "dalli.rb", address).startswith("error")


def bmemcached(address):
    pytest.importorskip("bmemcached")
    return "True" in ended(sys.executable, "-c", BMEMCACHED, address)


def pylibmc(address):
    return "True" in ended(sys.executable, "-c", PYLIBMC, address)


def libmemcacheds_tools(address):
    if shutil.which("memcrm") is None:
        missing("memcrm (Debian: libmemcached-tools) is not installed")
    return "UNKNOWN READ FAILURE" not in ended("memcrm", f"--servers={address}", "--binary", "a")


CLIENTS = [php_sessions, symfony, memjs, dalli, bmemcached, pylibmc, libmemcacheds_tools]


@pytest.mark.parametrize("succeeds", CLIENTS)
def test_a_binary_client_fails_and_the_log_says_why(node, succeeds):
    if is_memcached():
        pytest.skip("memcached 1.6 speaks it")
    assert not succeeds(node.spelled)
    deadline = time.monotonic() + PATIENCE
    while "set the client to text" not in node.log.read_text(errors="replace"):
        assert time.monotonic() < deadline, node.log.read_text(errors="replace")
        time.sleep(0.01)
    with closing(Client(node.address, timeout=10, default_noreply=False)) as client:
        assert client.set("a", b"1") is True
