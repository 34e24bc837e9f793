"""A fleet as its clients see it: stock clients find every key, and growing it goes unnoticed."""

import contextlib
import itertools
import socket
import threading
import time
import tomllib

import pytest

from ring_fleet import CLIENT_TIMEOUT, PATIENCE, Fleet, hash_client, needed, pylibmc_client
from ring_fleet import wait_until
from ring_load import Follower, Ledger, Load, Plain, write_and_read

KEYS = [f"key:{number}" for number in range(600)]
MANY_KEYS = [f"user:{number}:profile" for number in range(20_000)]


@pytest.fixture(autouse=True)
def clients():
    needed()


def no_foreign_key(nodes):
    for node in nodes:
        assert not any(node.foreign().values()), (node.name, node.foreign())


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)], ids=str)
def test_pylibmc_asks_every_owner_itself(weights):
    with Fleet() as fleet:
        weights = dict(zip("abc", weights))
        nodes = fleet.begin("abc", weights)
        client = pylibmc_client(nodes, weights)
        for key in KEYS:
            assert client.set(key, key.encode())
        assert all(client.get(key) == key.encode() for key in KEYS)
        assert client.get_multi(KEYS) == {key: key.encode() for key in KEYS}
        assert client.delete(KEYS[0]) and client.get(KEYS[0]) is None
        no_foreign_key(nodes)
        # Every node has its share, so the counters had something to count.
        with contextlib.ExitStack() as stack:
            plain = [stack.enter_context(contextlib.closing(node.client())) for node in nodes]
            held = [int(client.stats()[b"curr_items"]) for client in plain]
        assert min(held) > 0 and sum(held) == len(KEYS) - 1, held


def test_pymemcache_over_uhashring_asks_every_owner_itself():
    with Fleet() as fleet:
        nodes = fleet.begin("abc")
        with contextlib.closing(hash_client(nodes)) as client:
            for key in KEYS:
                assert client.set(key, key.encode())
            assert all(client.get(key) == key.encode() for key in KEYS)
            assert client.get_many(KEYS) == {key: key.encode() for key in KEYS}
            no_foreign_key(nodes)
            by_libmemcached = pylibmc_client(nodes)
            assert by_libmemcached.get_multi(KEYS) == {key: key.encode() for key in KEYS}
        no_foreign_key(nodes)


def test_plain_clients_of_different_nodes_see_the_same_values_at_once():
    with Fleet("--peer-timeout", "2000") as fleet, contextlib.ExitStack() as stack:
        nodes = fleet.begin("abc")
        plain = [stack.enter_context(contextlib.closing(node.client())) for node in nodes]
        by_ring = pylibmc_client(nodes)
        for number, (writer, key) in enumerate(zip(itertools.cycle(plain), KEYS)):
            value = str(number).encode()
            assert writer.set(key, value, noreply=False)
            assert [reader.get(key) for reader in plain] == [value] * 3
            assert by_ring.get(key) == value
            deleter = plain[number // 3 % 3]
            if number % 5 == 0:
                assert deleter.delete(key, noreply=False)
                assert [reader.get(key) for reader in plain] == [None] * 3
        left = {key: str(n).encode() for n, key in enumerate(KEYS) if n % 5}
        assert [reader.get_many(KEYS) for reader in plain] == [left] * 3
        for node in nodes:
            foreign = node.foreign()
            # Of three keys two are another's, give or take the ring's unevenness.
            assert foreign["foreign_gets"] > len(KEYS) / 2, foreign
            assert foreign["foreign_requests"] > 0, foreign
            assert node.stats()["foreign_failed"] == "0"


class VersionClock:
    """Asks a node for its ring version without a pause, and notes when it was a certain one."""

    def __init__(self, node, version):
        self.at = None
        self.thread = threading.Thread(target=self._watch, args=(node, version), daemon=True)
        self.thread.start()

    def _watch(self, node, version):
        deadline = time.monotonic() + PATIENCE
        with socket.create_connection(node.address, timeout=CLIENT_TIMEOUT) as connection:
            with connection.makefile("rb") as answers:
                while time.monotonic() < deadline:
                    connection.sendall(b"ring version\r\n")
                    if int(answers.readline().split()[1]) >= version:
                        self.at = time.monotonic()
                        return
                    time.sleep(0.005)


def owners(nodes):
    """The name of each key's owner, as pylibmc finds it."""
    client = pylibmc_client(nodes)
    return [nodes[client.hash(key.encode())].name for key in MANY_KEYS]


def test_growing_under_load():
    with Fleet("--peer-timeout", "2000") as fleet:
        before = fleet.begin("abc")
        ledger = Ledger(KEYS)
        followers = [Follower(fleet.file.path) for _ in range(4)]
        plain = [Plain(node) for node in before]
        with Load() as load:
            for index, client in enumerate([*followers, *plain]):
                own = KEYS[index :: len(followers) + len(plain)]
                name = f"{type(client).__name__} {index}"
                load.run(name, client, write_and_read(ledger, own))
            wait_until(load.has_turned(150), "load before the ring grows")

            new = fleet.add("d")
            after = [*before, new]
            clocks = [VersionClock(node, fleet.version + 1) for node in after]
            renamed = fleet.change("abcd")
            for clock in clocks:
                clock.thread.join(PATIENCE)
            wait_until(load.has_turned(150), "load while the ring grows")
            fleet.wait_for_ring()
            wait_until(load.has_turned(150), "load after the ring has grown")
        assert all(follower.version == fleet.version for follower in followers)
        assert ledger.found > 1000

        slowest = max(clock.at - renamed for clock in clocks)
        print(f"\nring {fleet.version} in force on all nodes {slowest * 1000:.0f} ms after rename")
        for node in after:
            stats = node.stats()
            assert stats["foreign_failed"] == "0" and stats["ring_given_up"] == "0", stats
            assert stats["ring_last_error"] == "-", stats

        was, now = owners(before), owners(after)
        moved = [(old, new) for old, new in zip(was, now) if old != new]
        share = len(moved) / len(MANY_KEYS)
        print(f"the new node took {share:.1%} of the keys")
        assert {new for _, new in moved} == {"d"} and {old for old, _ in moved} == set("abc")
        assert share <= 1.3 / 4
        for node in after:
            for key, owner in itertools.islice(zip(MANY_KEYS, now), 200):
                assert node.ask(f"ring owner {key}").split()[1] == owner

        # Whoever knows the new ring asks nobody else, and the new node holds its keys.
        counted = [node.foreign() for node in after]
        client = pylibmc_client(after)
        for key in KEYS:
            assert client.set(key, b"after")
        assert client.get_multi(KEYS) == dict.fromkeys(KEYS, b"after")
        assert [node.foreign() for node in after] == counted
        for node in after:
            with contextlib.closing(node.client()) as plain_client:
                assert plain_client.get_many(KEYS) == dict.fromkeys(KEYS, b"after")


def discover(node, request=b"config get cluster\r\n"):
    """What a discovery client makes of one answer, which it expects in one piece."""
    with socket.create_connection(node.address, timeout=CLIENT_TIMEOUT) as connection:
        connection.sendall(request)
        answer = connection.recv(8192).decode()
    header, rest = answer.split("\r\n", 1)
    length = int(header.split()[3])
    payload, end = rest[:length], rest[length:]
    assert end == "\r\nEND\r\n", answer
    version, listed, nothing = payload.split("\n")
    assert nothing == "", answer
    nodes = [tuple(entry.split("|")) for entry in listed.split(" ")]
    return payload, int(version), nodes


def test_discovery_reads_the_ring_in_one_piece_from_every_node():
    with Fleet() as fleet:
        nodes = fleet.begin("abc")
        for names in ("abc", "ac"):
            if names != "abc":
                fleet.change(names)
                fleet.wait_for_ring()
            text = fleet.file.path.read_text()
            addresses = [node["address"].rsplit(":", 1) for node in tomllib.loads(text)["node"]]
            expected = sorted((host, host, port) for host, port in addresses)
            answers = [discover(node) for node in nodes for _ in range(20)]
            assert {payload for payload, _, _ in answers} == {answers[0][0]}
            assert answers[0][1:] == (fleet.version, expected)
            legacy = discover(nodes[0], b"get AmazonElastiCache:cluster\r\n")
            assert legacy == answers[0]
