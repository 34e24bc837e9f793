"""Two machines under one name of the ring: a host name is repointed while both processes run.

Some peers keep their connections to the old process, others dial the new one. At most one of the two
may serve, and nobody may read an older value than one that was acknowledged.
"""

import contextlib
import os
import time

import pytest

from conftest import PATIENCE, missing
from ring_fleet import needed, wait_until
from ring_load import Ledger
from test_ring_hosts import IP
from test_ring_names import NamedHost, NamedSite

try:
    from pymemcache.exceptions import MemcacheServerError
except ImportError:
    MemcacheServerError = None

KEYS = [f"key:{number}" for number in range(60)]


class ClonedSite(NamedSite):
    """Three named hosts, and a clone of the third one: the same name and settings elsewhere."""

    def __init__(self):
        super().__init__(spare="d")

    def __enter__(self):
        super().__enter__()
        try:
            self.twin = self.clone()
        except BaseException:
            self.__exit__(RuntimeError)
            raise
        return self

    def clone(self):
        original = self.hosts["c"]
        space = self.network.spaces["d"]
        twin = NamedHost("d", space, 4, original.directory.parent)
        self.stack.callback(twin.stop)
        twin.name = original.name
        twin.file.write(self.version, self.hosts.values())
        return twin

    def repoint(self):
        """Every host takes the name of the third one for the clone's address."""
        self.names[self.hosts["c"].named] = self.twin.address[0]
        self.tell()
        self.twin.resolves(self.names)


@pytest.fixture
def site():
    needed()
    if IP is None:
        missing("hosts in network namespaces: no ip, which the package iproute2 has")
    if os.geteuid() != 0:
        missing("hosts in network namespaces: this is not root")
    with ClonedSite() as site:
        yield site


def standing(host):
    return host.stats()["ring_standing"]


def write(ledger, client, key):
    """Writes until the write is acknowledged: while the name changes hands it may fail."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ledger.write(client, key)
        except MemcacheServerError:
            assert time.monotonic() < deadline, f"{key} is not written"


def test_a_name_that_is_repointed_changes_hands_without_an_old_value(site):
    old, twin = site.hosts["c"], site.twin
    ledger = Ledger(KEYS)
    owned = [key for key in KEYS if old.run(old.node.ask, f"ring owner {key}").split()[1] == "c"]
    assert len(owned) > 5
    with site.client("a") as client, site.client("b") as other:
        for key in owned:
            write(ledger, client, key)
            ledger.read(other, key)
        twin.resolves(site.names)
        twin.start()
        # The clone finds the original at its address.
        wait_until(lambda: standing(twin) == "replaced", "the clone makes way")
        assert standing(old) == "confirmed"
        wait_until(lambda: old.stats()["ring_rival"] != "-", "the original hears of the clone")

        site.repoint()
        with contextlib.closing(Through(old)) as at_old, contextlib.closing(Through(twin)) as at_twin:
            changed = 0
            deadline = time.monotonic() + PATIENCE
            while changed < 3:
                assert time.monotonic() < deadline, (old.stats(), twin.stats())
                for key in owned:
                    write(ledger, client, key)
                    for reader in (at_old, at_twin, other):
                        ledger.read(reader, key)
                changed += standing(old) == "replaced" and standing(twin) == "confirmed"
            # All agree, and through each of them.
            for key in owned:
                for writer in (at_old, at_twin, other, client):
                    write(ledger, writer, key)
                for reader in (at_old, at_twin, other, client):
                    assert ledger.read(reader, key)
    assert old.stats()["ring_rival"] == twin.stats()["ring_instance"]
    assert "this process serves nothing" in old.node.log.read_text()
    for name in "ab":
        stats = site.hosts[name].stats()
        assert stats["peer:c:instance"] == twin.stats()["ring_instance"]
        assert stats["ring_given_up"] == "0"


class Through:
    """A client of a host's node, each of whose requests is made there."""

    def __init__(self, host):
        self.host = host
        self.client = host.run(host.node.client)

    def get(self, key):
        return self.host.run(self.client.get, key)

    def set(self, key, value):
        return self.host.run(self.client.set, key, value)

    def close(self):
        self.host.run(self.client.close)
