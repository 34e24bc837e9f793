"""Nodes that the ring lists by host names, while those names change and while DNS is away.

Every host is a network namespace with its own hosts file and resolver configuration, which `ip netns
exec` puts in the place of the machine's.
"""

import contextlib
import functools
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from ring_fleet import FleetNode, wait_until
from test_ring_growth import discover
from test_ring_hosts import IP, PORT, Host, Network, Site, hosts_needed, ip

OPTIONS = ("--peer-timeout", "1000", "--peer-give-up", "60000")
KEYS = [f"key:{number}" for number in range(100)]

# Resolvers that give no answer: one refuses the question, one never answers.
NOBODY = "127.0.0.1"
SILENT = "10.77.0.200"


class NamedHost(Host):
    """A host that the ring lists by its name, and what it takes names for."""

    def __init__(self, name, space, number, directory):
        super().__init__(name, space, number, directory)
        self.named = f"cache-{name}"
        self.spelled = f"{self.named}:{PORT}"
        self.etc = Path("/etc/netns") / space
        self.etc.mkdir(parents=True)
        self.resolves({})
        (self.etc / "resolv.conf").write_text(f"nameserver {NOBODY}\n")
        ip("-n", space, "neighbor", "add", SILENT, "lladdr", "02:00:00:00:00:01", "dev", "eth0")

    def resolves(self, names):
        """Gives it this hosts file, in place: it is mounted in the namespace of the node."""
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        (self.etc / "hosts").write_text("\n".join(lines) + "\n")

    def start(self):
        prefix = (IP, "netns", "exec", self.space)
        self.node = FleetNode(self.name, self.directory, self.file, self.address, OPTIONS, prefix)
        wait_until(functools.partial(self.run, self.node.is_up), f"{self.name} answers")

    def stop(self):
        super().stop()
        shutil.rmtree(self.etc, ignore_errors=True)

    def list(self):
        """The version and the addresses by name, as a discovery client reads them."""
        _, version, nodes = self.run(discover, self.node)
        return version, {name: address for name, address, _ in nodes}

    def stats(self):
        return self.run(self.node.stats)


class NamedSite(Site):
    """Three such hosts with a node each, and spare ones without. A context."""

    def __init__(self, spare=()):
        super().__init__()
        self.spare = spare

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.network = stack.enter_context(Network([*"abc", *self.spare]))
            directory = Path(tempfile.mkdtemp(prefix="ringbinder-names-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            self.hosts = {}
            for number, name in enumerate("abc", start=1):
                space = self.network.spaces[name]
                self.hosts[name] = host = NamedHost(name, space, number, directory)
                stack.callback(host.stop)
            self.names = {it.named: it.address[0] for it in self.hosts.values()}
            self.tell()
            self.change(at="abc")
            for host in self.hosts.values():
                host.start()
            self.wait_for_ring()
            self.stack = stack.pop_all()
        return self

    def tell(self):
        for host in self.hosts.values():
            host.resolves(self.names)

    def silence(self, resolver):
        """Takes every name away, and DNS with them."""
        for host in self.hosts.values():
            host.resolves({})
            (host.etc / "resolv.conf").write_text(f"nameserver {resolver}\n")

    def change(self, at):
        super().change("abc", at)

    def wait_for_ring(self):
        super().wait_for_ring("abc")

    def agreed(self):
        """The version and list that all nodes give, once they give the same and it is true."""

        def same():
            lists = [host.list() for host in self.hosts.values()]
            return lists[0] if lists == [(lists[0][0], self.names)] * len(lists) else None

        return wait_until(same, f"every node gives {self.names} under one version")

    def hear(self, name):
        self.hosts[name].node.process.send_signal(signal.SIGHUP)

    def serves_all(self):
        """Whether every key is written and read through every node."""
        for name in self.hosts:
            with self.client(name) as client:
                try:
                    for key in KEYS:
                        if not client.set(key, name.encode()):
                            return False
                    if client.get_many(KEYS) != dict.fromkeys(KEYS, name.encode()):
                        return False
                except Exception:
                    return False
        return True


class Discovering:
    """A client that takes a list as AWS's do: only with a version above the one it holds."""

    def __init__(self):
        self.version = 0
        self.names = None

    def poll(self, host):
        version, names = host.list()
        if version > self.version:
            self.version, self.names = version, names


@pytest.fixture
def site():
    hosts_needed()
    with NamedSite() as site:
        yield site


def test_discovery_clients_hear_of_a_node_that_moved(site):
    first, _ = site.agreed()
    # Clients number 31 bits.
    assert site.version < first < 2**31
    clients = {name: Discovering() for name in site.hosts}
    for name, client in clients.items():
        client.poll(site.hosts[name])
        assert client.names == site.names

    # Its host goes, and another address gets its name.
    moved = site.hosts["c"]
    ip("-n", moved.space, "address", "add", "10.77.0.13/24", "dev", "eth0")
    moved.node.kill()
    moved.address = ("10.77.0.13", PORT)
    site.names[moved.named] = "10.77.0.13"
    site.tell()
    moved.start()
    # One node is asked to look; the others hear of it from each other.
    site.hear("a")
    second, _ = site.agreed()
    assert first < second < 2**31
    for client, host in zip(clients.values(), reversed(site.hosts.values())):
        client.poll(host)
        assert client.names == site.names, "whichever node it asked before"
    wait_until(site.serves_all, "every node reaches the one that moved")

    # The names stay; a new ring has a higher version all the same.
    site.change(at="b")
    site.wait_for_ring()
    third, _ = site.agreed()
    assert third > second
    assert site.hosts["a"].stats()["ring_list_version"] == str(third)
    logs = site.hosts["a"].node.log.read_text()
    assert logs.count("cache-c now resolves to 10.77.0.13, before to 10.77.0.3") == 1, logs


@pytest.mark.parametrize("resolver", [NOBODY, SILENT])
def test_nodes_reach_each_other_while_dns_is_away(site, resolver):
    before = site.agreed()
    wait_until(site.serves_all, "every node reaches every other")
    site.silence(resolver)
    for name in site.hosts:
        site.hear(name)
    for name, host in site.hosts.items():
        others = [other for other in site.hosts if other != name]
        # Nothing is old yet: it counts from the last good answer.
        known = {other: f"10.77.0.{'abc'.index(other) + 1}" for other in others}
        wait_until(
            lambda: all(int(host.stats()[f"peer:{it}:unresolved"]) > 0 for it in others),
            f"{name} reports that no name resolves",
        )
        stats = host.stats()
        assert {it: stats[f"peer:{it}:resolved"] for it in others} == known

    # All connections of c break and must be dialled anew.
    site.network.cut("c")
    for name in "ab":
        host = site.hosts[name]
        with site.client(name) as client:

            def is_away():
                with contextlib.suppress(Exception):
                    client.get_many(KEYS)
                return host.stats()["peer:c:state"] == "away"

            wait_until(is_away, f"{name} misses c")
    site.network.mend("c")
    wait_until(site.serves_all, "every node reaches every other again")

    # A change of the ring that one node hears of reaches all, and nobody is given up.
    site.change(at="a")
    site.wait_for_ring()
    assert site.serves_all()
    for host in site.hosts.values():
        assert host.stats()["ring_given_up"] == "0"
    version, names = site.agreed()
    assert version > before[0] and names == before[1]

    site.tell()
    for name in site.hosts:
        site.hear(name)
    for host in site.hosts.values():
        wait_until(
            lambda: {host.stats().get(f"peer:{it}:unresolved") for it in site.hosts} <= {None, "0"},
            f"{host.name} resolves all names again",
        )
    assert site.agreed() == (version, names), "no address changed"
