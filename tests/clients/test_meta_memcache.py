"""meta-memcache, unmodified: a client that speaks meta commands only."""

import contextlib

import pytest

from conftest import missing
from ring_fleet import Fleet, needed

try:
    from meta_memcache import CacheClient, Key, ServerAddress, connection_pool_factory_builder
    from meta_memcache.configuration import LeasePolicy, RecachePolicy, StalePolicy
except ImportError as error:
    CacheClient = None
    WHY = str(error)


def client_of(nodes):
    if CacheClient is None:
        missing(f"meta-memcache: {WHY}")
    return CacheClient.cache_client_from_servers(
        servers=[ServerAddress(node.address[0], node.address[1]) for node in nodes],
        connection_pool_factory_fn=connection_pool_factory_builder(
            connection_timeout=10, recv_timeout=10
        ),
    )


@contextlib.contextmanager
def one_node(start):
    yield [start()]


@contextlib.contextmanager
def ring_by_one_node(_start):
    needed()
    with Fleet() as fleet:
        yield fleet.begin("abc")[:1]


@contextlib.contextmanager
def ring_by_all_nodes(_start):
    """The client picks a node for each key by itself, and often not the owner."""
    needed()
    with Fleet() as fleet:
        yield fleet.begin("abc")


@pytest.fixture(params=[one_node, ring_by_one_node, ring_by_all_nodes])
def client(request, start):
    with request.param(start) as nodes:
        yield client_of(nodes)


def test_values(client):
    assert client.get("a") is None
    for key, value in (
        ("text", "grün"),
        ("bytes", bytes(range(256))),
        ("number", 7),
        ("object", {"some": ["value", None]}),
        ("empty", b""),
        ("large", "x" * 500_000),
    ):
        assert client.set(key, value, ttl=100) is True
        assert client.get(key) == value
    assert client.delete("text") is True
    assert client.get("text") is None


def test_keys_of_every_kind(client):
    """What is no plain word travels in base64."""
    keys = ["plain", "mit Leerzeichen", "\N{BEER MUG}", "long" * 100, Key("own", routing_key="a")]
    for number, key in enumerate(keys):
        assert client.set(key, number, ttl=100) is True
    assert [client.get(key) for key in keys] == list(range(len(keys)))


def test_many(client):
    keys = [f"key-{number}" for number in range(300)]
    for key in keys:
        client.set(key, key, ttl=100)
    found = client.multi_get([*keys, "nope"])
    assert {key.key: value for key, value in found.items()} == {
        **{key: key for key in keys},
        "nope": None,
    }


def test_without_an_answer(client):
    assert client.set("a", 1, ttl=100, no_reply=True) is True
    assert client.touch("a", 200, no_reply=True) is True
    assert client.get("a") == 1


def test_cas(client):
    client.set("a", 1, ttl=100)
    value, token = client.get_cas("a")
    assert value == 1
    assert client.set("a", 2, ttl=100, cas_token=token) is True
    assert client.set("a", 3, ttl=100, cas_token=token) is False
    assert client.get("a") == 2


def test_counting(client):
    assert client.delta_and_get("n", delta=1) is None
    assert client.delta_initialize_and_get("n", delta=1, initial_value=10, initial_ttl=100) == 10
    assert client.delta_and_get("n", delta=5) == 15
    assert client.delta_and_get("n", delta=-20) == 0
    assert client.delta("n", delta=3) is True
    assert client.delta_and_get("n", delta=0) == 3


def test_a_lease_is_won_once(client):
    """The one that wins is told of a miss; others wait, and get what it sets."""
    policy = LeasePolicy(ttl=30, miss_retries=3, miss_retry_wait=0.01)
    assert client.get_or_lease("a", policy) is None
    waits = []

    def fill(seconds):
        waits.append(seconds)
        client.set("a", "filled", ttl=100)

    assert client.get_or_lease("a", policy, lease_wait_fn=fill) == "filled"
    assert len(waits) == 1


def test_one_caller_fills_again_before_the_end(client):
    """What runs out within 30 seconds is a miss for one caller, and a hit for all others."""
    client.set("a", "old", ttl=20)
    policy = RecachePolicy(ttl=30)
    assert [client.get("a", recache_policy=policy) for _ in range(3)] == [None, "old", "old"]


def test_stale(client):
    """What is invalidated is served as it was, and one caller is told to fill it again."""
    client.set("a", "old", ttl=100)
    assert client.invalidate("a", stale_policy=StalePolicy(mark_stale_on_deletion_ttl=30)) is True
    policy = LeasePolicy(ttl=30)
    assert [client.get_or_lease("a", policy) for _ in range(3)] == [None, "old", "old"]
    client.set("a", "new", ttl=100)
    assert client.get_or_lease("a", policy) == "new"
