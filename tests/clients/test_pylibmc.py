"""pylibmc, which is libmemcached: its text protocol, unmodified."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import missing

try:
    import pylibmc
except ImportError as error:
    pylibmc = None
    WHY = str(error)

BEHAVIORS = [
    {},
    {"tcp_nodelay": True, "no_block": False},
    {"tcp_nodelay": True, "cas": True, "ketama": True},
]


@pytest.fixture(params=BEHAVIORS, ids=lambda behaviors: ",".join(behaviors) or "defaults")
def client(request, node):
    if pylibmc is None:
        missing(f"pylibmc: {WHY}")
    return pylibmc.Client([node.spelled], binary=False, behaviors=request.param)


def test_storage(client):
    assert client.get("a") is None
    assert client.set("a", b"1") is True
    assert client.get("a") == b"1"
    assert client.add("a", b"2") is False
    assert client.replace("a", b"3") is True
    assert client.replace("nope", b"3") is False
    assert client.append("a", b"4") and client.prepend("a", b"2")
    assert client.get("a") == b"234"
    assert client.delete("a") is True
    assert client.delete("a") is False


def test_python_values_and_flags(client):
    for value in ("text", 42, True, {"a": [1, None]}, b"bytes", 2**80):
        assert client.set("a", value)
        assert client.get("a") == value


def test_compressed_values(client):
    value = b"0123456789" * 50_000
    assert client.set("a", value, min_compress_len=1000)
    assert client.get("a") == value


def test_large_values(client):
    value = bytes(number % 251 for number in range(1_000_000))
    assert client.set("a", value)
    assert client.get("a") == value
    with pytest.raises(pylibmc.Error):
        client.set("a", b"x" * 2_000_000)
    assert client.set("b", b"1") and client.get("b") == b"1"


def test_arithmetic(client):
    assert client.set("n", 10)
    assert client.incr("n") == 11
    assert client.incr("n", 9) == 20
    assert client.decr("n", 25) == 0
    with pytest.raises(pylibmc.NotFound):
        client.incr("nope")


def test_multi(client):
    values = {f"key-{number}": number for number in range(10_000)}
    assert client.set_multi(values) == []
    assert client.get_multi([*values, "nope"]) == values
    assert client.delete_multi(list(values)[:5000])
    assert len(client.get_multi(list(values))) == 5000
    assert client.incr_multi(["key-6000", "key-6001"]) is None
    assert client.get("key-6000") == 6001


def test_a_get_of_more_keys_than_a_mebibyte_holds(client):
    values = {f"key-{number:010}": number for number in range(0, 100_000, 1000)}
    assert client.set_multi(values) == []
    # One line of 1.5 MB.
    assert client.get_multi([f"key-{number:010}" for number in range(100_000)]) == values


def test_touch_and_expiry(client):
    assert client.set("a", b"1", time=1000)
    assert client.touch("a", 2000) is True
    assert client.touch("nope", 2000) is False
    assert client.get("a") == b"1"


def test_flush_and_stats(client):
    assert client.set("a", b"1")
    ((_, stats),) = client.get_stats()
    assert stats["curr_items" if "curr_items" in stats else b"curr_items"] in ("1", b"1")
    assert client.flush_all()
    assert client.get("a") is None


def test_cas(node):
    if pylibmc is None:
        missing(f"pylibmc: {WHY}")
    client = pylibmc.Client([node.spelled], binary=False, behaviors={"cas": True})
    assert client.set("a", b"1")
    value, cas = client.gets("a")
    assert value == b"1"
    assert client.cas("a", b"2", cas) is True
    assert client.cas("a", b"3", cas) is False
    with pytest.raises(pylibmc.NotFound):
        client.cas("nope", b"1", cas)
    assert client.get("a") == b"2"


def test_gets_from_many_threads(node):
    if pylibmc is None:
        missing(f"pylibmc: {WHY}")

    def client():
        return pylibmc.Client([node.spelled], binary=False, behaviors={"cas": True})

    # As bytes: of keys as text pylibmc 1.6.3 frees what it sends before it has sent it.
    keys = [b"key-%d" % number for number in range(24)]
    writer = client()
    assert all(writer.set(key, key) for key in keys)

    def wrong(seed):
        own, chance = client(), random.Random(seed)
        return [key for key in chance.choices(keys, k=1000) if own.gets(key)[0] != key]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(wrong, range(8))) == [[]] * 8


def test_two_nodes_by_ketama(start):
    if pylibmc is None:
        missing(f"pylibmc: {WHY}")
    nodes = [start(), start()]
    client = pylibmc.Client([node.spelled for node in nodes], binary=False, behaviors={"ketama": True})
    values = {f"key-{number}": number for number in range(1000)}
    assert client.set_multi(values) == []
    assert client.get_multi(list(values)) == values
    held = [pylibmc.Client([node.spelled]).get_stats()[0][1] for node in nodes]
    counts = [int(stats.get("curr_items", stats.get(b"curr_items"))) for stats in held]
    assert sum(counts) == 1000 and min(counts) > 100, counts
