"""pymemcache with TLS and with a password, as docs/tls.md shows them.

Certificates are made with openssl. A password is memcached's business too:
RINGBINDER_WIRE_TARGET=memcached proves that part.
"""

import os
import shutil
import ssl
import subprocess

import pytest
from conftest import missing
from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError

OURS = os.environ.get("RINGBINDER_WIRE_TARGET") != "memcached"


class Authenticated(Client):
    """Says who it is on each connection, before anything else."""

    words = b"web a-secret"

    def _connect(self):
        super()._connect()
        self.sock.sendall(b"set auth 0 0 %d\r\n%s\r\n" % (len(self.words), self.words))
        answer = self.sock.makefile("rb", buffering=0).readline()
        if answer != b"STORED\r\n":
            self.close()
            raise PermissionError(answer)


class Certificates:
    """An authority, and what it signs, as docs/tls.md makes them."""

    def __init__(self, directory):
        self.directory = directory
        self.authority = directory / "ca.pem"
        self._openssl(
            "req", "-x509", *self._new_key("ca"), "-days", "2", "-subj", "/CN=authority",
            "-out", self.authority,
        )

    def issue(self, name):
        """The files of a certificate for 127.0.0.1 and localhost: chain and key."""
        request, chain = self.directory / f"{name}.csr", self.directory / f"{name}.pem"
        uses = self.directory / "uses"
        uses.write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        self._openssl("req", *self._new_key(name), "-subj", f"/CN={name}", "-out", request)
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.authority,
            "-CAkey", self.directory / "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", uses, "-out", chain,
        )
        return chain, self.directory / f"{name}.key"

    def context(self, shown=None):
        """How a client dials, showing a certificate where it has one."""
        context = ssl.create_default_context(cafile=self.authority)
        if shown:
            context.load_cert_chain(*shown)
        return context

    def _new_key(self, name):
        return (
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", self.directory / f"{name}.key",
        )

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path):
    if not OURS:
        pytest.skip("lines about certificates are ringbinderd's own")
    if not shutil.which("openssl"):
        missing("TLS: openssl is not installed")
    return Certificates(tmp_path)


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"
    path.write_text("web:a-secret\n")
    path.chmod(0o600 if OURS else 0o644)
    for directory in [tmp_path, *tmp_path.parents][:3]:
        directory.chmod(directory.stat().st_mode | 0o011)
    return path


def secure(certificates, *more):
    chain, key = certificates.issue("server")
    options = f"ssl_chain_cert={chain},ssl_key={key},ssl_ca_cert={certificates.authority}"
    return ["-Z", "-o", options, *more]


def test_pymemcache_with_tls(start, certificates):
    node = start(*secure(certificates))
    client = Client(("localhost", node.port), tls_context=certificates.context())
    large = b"v" * 900_000
    for number in range(200):
        assert client.set(f"key-{number}", b"%d" % number, noreply=False)
    found = client.get_many([f"key-{number}" for number in range(200)])
    assert found == {f"key-{number}": b"%d" % number for number in range(200)}
    assert client.set("large", large, noreply=False)
    assert client.get("large") == large
    assert client.stats()[b"ssl_handshake_errors"] == 0


def test_pymemcache_shows_a_certificate(start, certificates):
    node = start(*secure(certificates, "-o", "ssl_verify_mode=2"))
    shown = certificates.context(certificates.issue("client"))
    client = Client(("localhost", node.port), tls_context=shown)
    assert client.set("a", b"x", noreply=False)
    anonymous = Client(("localhost", node.port), tls_context=certificates.context())
    with pytest.raises(OSError):
        anonymous.get("a")


def test_pymemcache_sees_a_new_certificate(start, certificates):
    node = start(*secure(certificates))
    old = Client(("localhost", node.port), tls_context=certificates.context())
    old.set("a", b"x", noreply=False)
    before = old.sock.getpeercert()["serialNumber"]
    certificates.issue("server")
    assert old.raw_command("refresh_certs", "\r\n") == b"OK"
    new = Client(("localhost", node.port), tls_context=certificates.context())
    assert new.get("a") == b"x"
    assert new.sock.getpeercert()["serialNumber"] != before
    assert old.get("a") == b"x"


def test_pymemcache_without_tls_on_a_port_with_it(start, certificates):
    node = start(*secure(certificates))
    with pytest.raises(MemcacheClientError, match="TLS only"):
        Client(node.address).set("a", b"x", noreply=False)


def test_pymemcache_authenticates(start, users):
    node = start("-Y", str(users))
    client = Authenticated(node.address)
    assert client.set("a", b"x", noreply=False)
    assert client.get("a") == b"x"
    assert client.get("auth") is None
    stranger = Client(node.address)
    with pytest.raises(MemcacheClientError, match="unauthenticated"):
        stranger.get("a")
    with pytest.raises(MemcacheClientError, match="bad authentication token format"):
        stranger.set("a", b"y", noreply=False)
    assert client.get("a") == b"x"

    class Wrong(Authenticated):
        words = b"web another"

    with pytest.raises(PermissionError, match="authentication failure"):
        Wrong(node.address).get("a")


def test_a_hash_client_with_tls_and_a_password(start, certificates, users):
    class Both(HashClient):
        client_class = Authenticated

    nodes = [start(*secure(certificates, "-Y", str(users))) for _ in range(2)]
    client = Both([node.address for node in nodes], tls_context=certificates.context())
    for number in range(50):
        assert client.set(f"key-{number}", b"x", noreply=False)
    assert len(client.get_many([f"key-{number}" for number in range(50)])) == 50
