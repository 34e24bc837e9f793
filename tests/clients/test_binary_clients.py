"""Clients that speak the binary protocol, if nobody sets them otherwise: each fails at once, and the
node's log says why. docs/protocol.md names the setting of each; test_languages.py runs them with it."""

import contextlib
import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from conftest import PATIENCE, missing
from pymemcache.client.base import Client
from test_languages import SCRIPTS, interpreter, php
from upstream import is_memcached, modules

OPAQUE = 0xDEADBEEF

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
    # What is no frame to it, it waits for without end, and calls nobody back.
    return not said.startswith("error")


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


def frame(opcode, body, extras=0, key=0):
    """A request of the binary protocol."""
    head = struct.pack(">BBHBBHIIQ", 0x80, opcode, key, extras, 0, 0, len(body), OPAQUE, 0)
    return head + body


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(frame(0x0B, b""), id="version"),
        pytest.param(frame(0x00, b"a", key=1), id="get"),
        pytest.param(frame(0x01, bytes(8) + b"a" + b"1" * 500_000, extras=8, key=1), id="set"),
        pytest.param(frame(0x21, b"PLAIN\0web\0a secret", key=5), id="SASL"),
        pytest.param(frame(0x0D, b"a", key=1) * 50, id="many at once"),
    ],
)
def test_a_binary_request_is_answered_by_an_error_frame(node, request_bytes):
    """One frame, with the request's opcode and opaque, says what to do; then the connection closes."""
    if is_memcached():
        pytest.skip("memcached 1.6 speaks it")
    with socket.create_connection(node.address, timeout=PATIENCE) as connection:
        sender = threading.Thread(target=send, args=(connection, request_bytes))
        sender.start()
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while received := connection.recv(65536):
                answer += received
        sender.join()
    magic, opcode, key, extras, kind, status, length, opaque, cas = struct.unpack(
        ">BBHBBHIIQ", answer[:24]
    )
    assert (magic, opcode, status) == (0x81, request_bytes[1], 0x0081)
    assert (key, extras, kind, opaque, cas) == (0, 0, 0, OPAQUE, 0)
    assert len(answer) == 24 + length
    assert b"set the client to text" in answer[24:]


def send(connection, request):
    """Sends as much of a request as the other end takes."""
    with contextlib.suppress(OSError):
        connection.sendall(request)
