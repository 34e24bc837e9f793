"""Django's own cache backends, configured as its manual says."""

import contextlib
import time

import pytest
from django.conf import settings
from django.core.cache import CacheHandler

from conftest import missing
from ring_fleet import Fleet, needed

BACKENDS = ["PyMemcacheCache", "PyLibMCCache"]

if not settings.configured:
    settings.configure(USE_TZ=True)


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "PyLibMCCache":
        try:
            import pylibmc  # noqa: F401
        except ImportError as error:
            missing(f"pylibmc: {error}")
    return f"django.core.cache.backends.memcached.{request.param}"


@contextlib.contextmanager
def django_cache(backend, location):
    cache = CacheHandler({"default": {"BACKEND": backend, "LOCATION": location}})["default"]
    yield cache
    cache.close()


@pytest.fixture
def cache(backend, node):
    with django_cache(backend, node.spelled) as cache:
        yield cache


def test_set_get_add(cache):
    assert cache.get("a") is None
    assert cache.get("a", "default") == "default"
    cache.set("a", {"some": ["value", 1, None]})
    assert cache.get("a") == {"some": ["value", 1, None]}
    assert "a" in cache and "b" not in cache
    assert cache.add("a", 2) is False
    assert cache.add("b", 2) is True
    cache.set("none", None)
    assert cache.get("none", "default") is None


def test_get_or_set(cache):
    assert cache.get_or_set("a", lambda: 5, 100) == 5
    assert cache.get_or_set("a", lambda: 6, 100) == 5


def test_touch_and_timeouts(cache):
    assert cache.touch("a") is False
    cache.set("a", 1, timeout=None)
    assert cache.touch("a", 100) is True
    assert cache.get("a") == 1
    cache.set("a", 1, timeout=0)
    assert cache.get("a") is None
    cache.set("a", 1, timeout=-1)
    assert cache.get("a") is None
    # More than 30 days: Django sends a Unix time.
    cache.set("a", 1, timeout=60 * 24 * 60 * 60)
    assert cache.get("a") == 1
    cache.set("a", 1, timeout=1)
    deadline = time.monotonic() + 10
    while cache.get("a") is not None:
        assert time.monotonic() < deadline, "it does not expire"
        time.sleep(0.05)


def test_incr_and_decr(cache):
    cache.set("n", 10)
    assert cache.incr("n") == 11
    assert cache.incr("n", 9) == 20
    assert cache.decr("n", 5) == 15
    with pytest.raises(ValueError):
        cache.incr("nope")


def test_many(cache):
    values = {f"key-{number}": number for number in range(1000)}
    assert cache.set_many(values) == []
    assert cache.get_many([*values, "nope"]) == values
    cache.delete_many(list(values)[:500])
    assert len(cache.get_many(list(values))) == 500
    assert cache.delete("key-600") is True
    assert cache.delete("key-600") is False


def test_versions(cache):
    cache.set("a", "one", version=1)
    cache.set("a", "two", version=2)
    assert (cache.get("a"), cache.get("a", version=2)) == ("one", "two")
    assert cache.incr_version("a") == 2
    assert cache.get("a") is None
    assert cache.get("a", version=2) == "one"


def test_clear(cache):
    cache.set("a", 1)
    cache.clear()
    assert cache.get("a") is None


def test_clear_empties_every_node_of_a_ring(backend):
    needed()
    keys = [f"key-{number}" for number in range(90)]
    with Fleet() as fleet:
        nodes = fleet.begin("abc")
        # One node stands for the ring; then Django picks a node for each key by itself.
        for location in nodes[0].spelled, [node.spelled for node in nodes]:
            with django_cache(backend, location) as cache:
                assert cache.set_many({key: key for key in keys}) == []
                assert len(cache.get_many(keys)) == len(keys)
                assert all(items(node) > 0 for node in nodes)
                cache.clear()
                assert cache.get_many(keys) == {}
                cache.set("later", 1)
                assert cache.get("later") == 1
            for node in nodes:
                with contextlib.closing(node.client()) as client:
                    assert client.get_many([f":1:{key}" for key in keys]) == {}


def items(node):
    """How many items a node holds itself."""
    with contextlib.closing(node.client()) as client:
        return client.stats()[b"curr_items"]


def test_a_value_too_large_leaves_no_old_one(cache):
    cache.set("a", "old")
    try:
        cache.set("a", "x" * 3_000_000)
    except Exception:
        # PyMemcacheCache raises, PyLibMCCache deletes and says nothing.
        pass
    assert cache.get("a") is None
    cache.set("a", "new")
    assert cache.get("a") == "new"


def test_binary_values(cache):
    value = bytes(range(256)) * 100
    cache.set("a", value)
    assert cache.get("a") == value
