"""pymemcache, unmodified."""

import threading
from contextlib import closing

import pytest
from pymemcache import MemcacheIllegalInputError, MemcacheServerError, serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient


@pytest.fixture(params=[Client, PooledClient])
def client(request, node):
    # default_noreply is left as it is: most writes go out without waiting for an answer.
    client = request.param(node.address, timeout=10, connect_timeout=10)
    yield client
    client.close()


def test_set_and_get(client):
    assert client.get("a") is None
    assert client.set("a", b"1") is True
    assert client.get("a") == b"1"
    assert client.get("nope", default=b"d") == b"d"
    assert client.set("a", b"2", noreply=False) is True
    assert client.get("a") == b"2"


def test_add_and_replace(client):
    assert client.replace("a", b"0", noreply=False) is False
    assert client.add("a", b"1", noreply=False) is True
    assert client.add("a", b"2", noreply=False) is False
    assert client.replace("a", b"3", noreply=False) is True
    assert client.get("a") == b"3"


def test_append_and_prepend(client):
    assert client.append("a", b"x", noreply=False) is False
    client.set("a", b"b")
    client.append("a", b"c")
    client.prepend("a", b"a")
    assert client.get("a") == b"abc"


def test_cas(client):
    assert client.cas("a", b"1", "1", noreply=False) is None
    client.set("a", b"1")
    value, cas = client.gets("a")
    assert value == b"1"
    assert client.cas("a", b"2", cas, noreply=False) is True
    assert client.cas("a", b"3", cas, noreply=False) is False
    assert client.gets("nope") == (None, None)
    client.set("b", b"1")
    many = client.gets_many(["a", "b", "nope"])
    assert {key: value for key, (value, _) in many.items()} == {"a": b"2", "b": b"1"}


def test_incr_and_decr(client):
    assert client.incr("n", 1) is None
    client.set("n", b"10")
    assert client.incr("n", 5) == 15
    assert client.decr("n", 20) == 0
    assert client.incr("n", 2**64 - 1) == 2**64 - 1
    assert client.incr("n", 1) == 0
    client.incr("n", 3, noreply=True)
    assert client.incr("n", 0) == 3


def test_touch(client):
    assert client.touch("a", 100, noreply=False) is False
    client.set("a", b"1")
    assert client.touch("a", 100, noreply=False) is True
    assert client.touch("a", -1, noreply=False) is True
    assert client.get("a") is None


def test_delete(client):
    assert client.delete("a", noreply=False) is False
    client.set("a", b"1")
    assert client.delete("a", noreply=False) is True
    client.set_many({"b": b"1", "c": b"2"})
    client.delete_many(["b", "c"])
    assert client.get_many(["b", "c"]) == {}


def test_many_keys_in_one_line(client):
    values = {f"key-{number}": str(number).encode() for number in range(5000)}
    assert client.set_many(values) == []
    assert client.get_many([*values, "nope"]) == values


def test_values_of_all_sizes(client):
    for size in (0, 1, 1000, 100_000, 1_000_000):
        value = bytes(number % 251 for number in range(size))
        client.set("big", value, noreply=False)
        assert client.get("big") == value, size
    with pytest.raises(MemcacheServerError, match="too large"):
        client.set("big", b"x" * 2_000_000, noreply=False)
    assert client.get("big") is None


def test_raw_commands(node):
    # 4.0.0 has no method for gat and the meta commands.
    client = Client(node.address, timeout=10)
    client.set("a", b"1", noreply=False)
    assert client.raw_command("gat 100 a", "END\r\n") == b"VALUE a 0 1\r\n1\r\n"
    assert client.raw_command("mg a s v") == b"VA 1 s1"
    client.close()


def test_flags_carry_the_serializer(node):
    client = Client(node.address, serde=serde.pickle_serde, timeout=10)
    for value in ("text", 42, {"a": [1, 2.5, None]}, b"bytes"):
        client.set("a", value)
        assert client.get("a") == value
    client.close()


def test_administration(client):
    client.set("a", b"1", noreply=False)
    assert client.version().decode().count(".") == 2
    stats = client.stats()
    assert stats[b"curr_items"] == 1
    assert client.stats("settings")[b"maxconns"] == 1024
    if isinstance(client, Client):
        assert client.cache_memlimit(128) is True
    assert client.flush_all(noreply=False) is True
    assert client.get("a") is None
    with pytest.raises(MemcacheIllegalInputError):
        client.get("a key")


def test_two_nodes_share_the_keys(start):
    nodes = [start(), start()]
    client = HashClient([node.address for node in nodes], timeout=10, use_pooling=True)
    values = {f"key-{number}": str(number).encode() for number in range(1000)}
    assert client.set_many(values, noreply=False) == []
    assert client.get_many(list(values)) == values
    held = []
    for node in nodes:
        with closing(Client(node.address, timeout=10)) as one:
            held.append(one.stats()[b"curr_items"])
    assert sum(held) == 1000 and min(held) > 100, held
    assert client.incr("n", 1) is None
    assert client.add("n", b"1", noreply=False)
    assert client.incr("n", 1) == 2
    client.flush_all(noreply=False)
    assert client.get_many(list(values)) == {}
    client.close()


def test_pool_under_threads(node):
    client = PooledClient(node.address, max_pool_size=8, timeout=10)
    failures = []

    def work(name):
        for number in range(200):
            client.set(f"{name}", str(number).encode(), noreply=False)
            if client.get(f"{name}") != str(number).encode():
                failures.append((name, number))

    threads = [threading.Thread(target=work, args=(f"thread-{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    client.close()
