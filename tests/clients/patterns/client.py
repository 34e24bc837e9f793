"""One small face for three stock memcached clients, which only classic commands pass through.

`pylibmc` and `uhashring` (pymemcache's HashClient) know the ring and ask the owner of a key.
`plain` is pymemcache's Client with one node, any one: the node asks the owner.

Two things are the same behind this face that differ before it. Whatever a library does when a node
cannot be asked (an exception of its own, or a default value) is `CacheAway`. And every thread has a
client of its own, since none of the libraries lets two threads use one.
"""

import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path

KINDS = ("pylibmc", "uhashring", "plain")

# How long to wait for a node before it counts as away, in seconds.
TIMEOUT = 2.0
# How long a client leaves a node alone that was away, in seconds.
REST = 1


class CacheAway(Exception):
    """The cache did not answer, or refused: what was asked for may have been done, or not."""


@dataclass(frozen=True)
class Node:
    """One node as the ring file names it; the order of nodes matters, too."""

    address: str
    weight: int = 1

    @property
    def endpoint(self):
        """Host and port apart, as pymemcache wants them."""
        host, port = self.address.rsplit(":", 1)
        return host.strip("[]"), int(port)


def read_ring(path):
    """The nodes of a ring file."""
    ring = tomllib.loads(Path(path).read_text())
    return [Node(node["address"], node.get("weight", 1)) for node in ring["node"]]


class Cache:
    """A cache that any thread may use. Keys are text, values are bytes, times are seconds."""

    def __init__(self, kind, nodes, timeout=TIMEOUT):
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of client: take one of {', '.join(KINDS)}")
        if not nodes:
            raise ValueError("a client needs at least one node")
        self._open = {"pylibmc": _Pylibmc, "uhashring": _HashClient, "plain": _Plain}[kind]
        self._nodes, self._timeout = list(nodes), timeout
        self._own = threading.local()

    def _client(self):
        try:
            return self._own.client
        except AttributeError:
            self._own.client = self._open(self._nodes, self._timeout)
            return self._own.client

    def gets(self, key):
        """The value and its CAS unique, or None and None."""
        return self._client().call("gets", key)

    def add(self, key, value, seconds):
        """Stores where there is nothing; whether it did."""
        return bool(self._client().call("add", key, value, seconds))

    def set(self, key, value, seconds):
        """Stores, whatever is there."""
        if not self._client().call("set", key, value, seconds):
            raise CacheAway(f"set {key} was not carried out")

    def cas(self, key, value, unique, seconds):
        """Stores where nothing has changed since `gets`; whether it did."""
        return bool(self._client().call("cas", key, value, unique, seconds))

    def delete(self, key):
        """Deletes; whether there was something."""
        return bool(self._client().call("delete", key))


class _Pylibmc:
    """pylibmc, with the hashing of the ring.

    Its `gets` that has waited in vain may say that there is nothing. So a miss alone is no proof
    that a node answers; the patterns never take it for one.
    """

    def __init__(self, nodes, timeout):
        import pylibmc

        self._errors, self._not_found = pylibmc.Error, pylibmc.NotFound
        self._client = pylibmc.Client(
            [f"{node.address}:{node.weight}" for node in nodes],
            behaviors={
                "ketama_weighted": True,
                "cas": True,
                "tcp_nodelay": True,
                "connect_timeout": int(timeout * 1e3),
                "_poll_timeout": int(timeout * 1e3),
                "send_timeout": int(timeout * 1e6),
                "receive_timeout": int(timeout * 1e6),
                "retry_timeout": REST,
            },
        )

    def call(self, command, key, *arguments):
        # As bytes, which live until the call returns. Of text pylibmc 1.6.3 makes bytes of its own,
        # and `gets` gives these up before it asks: with other threads about it then asks for
        # another key, and its answer is another key's.
        encoded = key.encode()
        try:
            return getattr(self._client, command)(encoded, *arguments)
        except self._not_found:
            # How pylibmc says that there is nothing to compare with.
            return False
        except self._errors as error:
            raise CacheAway(f"{command} {key}: {error}") from error


class _Pymemcache:
    """What the two clients of pymemcache have in common."""

    def _begin(self, client):
        from pymemcache.exceptions import MemcacheError

        self._client, self._errors = client, (MemcacheError, OSError)

    def call(self, command, key, *arguments):
        # Without an answer nobody knows whether a write was carried out.
        noreply = {} if command == "gets" else {"noreply": False}
        try:
            return getattr(self._client, command)(key, *arguments, **noreply)
        except self._errors as error:
            raise CacheAway(f"{command} {key}: {error}") from error


class _HashClient(_Pymemcache):
    """pymemcache's HashClient.

    With `retry_attempts=0` it never gives a default in place of an error. It turns to another node
    while one is away; in a ring that is as good, since that node knows the owner.
    """

    def __init__(self, nodes, timeout):
        from pymemcache.client.hash import HashClient

        from .ketama import Ketama

        weights = {node.address: node.weight for node in nodes}
        self._begin(
            HashClient(
                [node.endpoint for node in nodes],
                hasher=lambda: Ketama(weights),
                connect_timeout=timeout,
                timeout=timeout,
                no_delay=True,
                retry_attempts=0,
                dead_timeout=REST,
            )
        )


class _Plain(_Pymemcache):
    """pymemcache's Client, with the first node only."""

    def __init__(self, nodes, timeout):
        from pymemcache.client.base import Client

        self._begin(
            Client(nodes[0].endpoint, connect_timeout=timeout, timeout=timeout, no_delay=True)
        )
