"""Two machines under one name of the ring: a host name is repointed while both processes run.

Some peers keep their connections to the old process, others dial the new one. At most one of the two
may serve, and nobody may read an older value than one that was acknowledged.
"""

import contextlib

import pytest

from ring_fleet import wait_until
from ring_load import Ledger
from test_ring_hosts import hosts_needed
from test_ring_names import NamedHost, NamedSite

try:
    from pymemcache.exceptions import MemcacheServerError
except ImportError:
    MemcacheServerError = None

KEYS = [f"key:{number}" for number in range(240)]


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
    hosts_needed()
    with ClonedSite() as site:
        yield site


@contextlib.contextmanager
def shown(hosts):
    """Shows what the nodes of these hosts logged, and how they stand, if what follows fails."""
    try:
        yield
    except BaseException:
        for host in hosts:
            print(f"\n{host.spelled} at {host.address[0]}: {host.stats()}")
            print(host.node.log.read_text(errors="replace")[-6000:])
        raise


def standing(host):
    return host.stats()["ring_standing"]


class Writing:
    """Writes to keys of one node, each of which is left alone once a write to it failed.

    A write that is answered with an error may happen later, after a newer one: the second exception in
    docs/reliability.md.
    """

    def __init__(self, ledger, keys):
        self.ledger = ledger
        self.keys = list(keys)

    def write(self, client, key):
        """Whether the write was acknowledged."""
        try:
            self.ledger.write(client, key)
        except MemcacheServerError:
            self.keys.remove(key)
            return False
        return True


def test_a_name_that_is_repointed_changes_hands_without_an_old_value(site):
    old, twin = site.hosts["c"], site.twin
    ledger = Ledger(KEYS)
    owned = [key for key in KEYS if old.run(old.node.ask, f"ring owner {key}").split()[1] == "c"]
    assert len(owned) > 5
    hosts = [*site.hosts.values(), twin]
    writing = Writing(ledger, owned)
    with shown(hosts), site.client("a") as client, site.client("b") as other:
        for key in owned:
            assert writing.write(client, key)
            assert ledger.read(other, key)
        twin.resolves(site.names)
        twin.start()
        # The clone finds the original at its address.
        wait_until(lambda: standing(twin) == "replaced", "the clone makes way")
        assert standing(old) == "confirmed"
        wait_until(lambda: old.stats()["ring_rival"] != "-", "the original hears of the clone")

        site.repoint()
        with contextlib.closing(Through(old)) as at_old, contextlib.closing(Through(twin)) as at_twin:

            def has_changed():
                key = writing.keys[0]
                writing.write(client, key)
                for reader in (at_old, at_twin, other):
                    ledger.read(reader, key)
                if standing(old) != "replaced" or standing(twin) != "confirmed":
                    return False
                nodes = [site.hosts[name].stats() for name in "ab"]
                return {node["peer:c:instance"] for node in nodes} == {twin.stats()["ring_instance"]}

            wait_until(has_changed, "the name changes hands")
            wait_until(lambda: twin.stats()["ring_settled"] == "yes", "the new process serves")
            for host in (site.hosts["a"], site.hosts["b"], old):
                wait_until(lambda: host.stats()["peer:c:state"] == "up", "the new process is reached")
            # All agree, and through each of them.
            assert len(writing.keys) > 10
            for key in list(writing.keys):
                for writer in (at_old, at_twin, other, client):
                    assert writing.write(writer, key)
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
