"""emcache, unmodified: asyncio, with one node, with a ring, and by auto-discovery."""

import asyncio
import contextlib

import pytest

from conftest import missing
from ring_fleet import CLIENT_TIMEOUT, Fleet, needed

try:
    import emcache
except ImportError as error:
    emcache = None
    WHY = str(error)


@contextlib.asynccontextmanager
async def connected(addresses, **settings):
    client = await emcache.create_client(
        [emcache.MemcachedHostAddress(*address) for address in addresses],
        timeout=CLIENT_TIMEOUT,
        **settings,
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(params=["node", "ring by one node", "ring by all nodes"])
def addresses(request, start):
    if emcache is None:
        missing(f"emcache: {WHY}")
    if request.param == "node":
        yield [start().address]
        return
    needed()
    with Fleet() as fleet:
        nodes = fleet.begin("abc")
        yield [node.address for node in (nodes if request.param == "ring by all nodes" else nodes[:1])]


def test_every_command(addresses):
    async def talk():
        async with connected(addresses) as client:
            assert await client.get(b"a") is None
            await client.set(b"a", b"1", flags=7, exptime=100)
            item = await client.get(b"a", return_flags=True)
            assert (item.value, item.flags) == (b"1", 7)
            for refused in (client.add(b"a", b"2"), client.replace(b"nope", b"2")):
                with pytest.raises(emcache.NotStoredStorageCommandError):
                    await refused
            await client.append(b"a", b"2")
            await client.prepend(b"a", b"0", noreply=True)
            assert (await client.get(b"a")).value == b"012"
            item = await client.gets(b"a")
            await client.cas(b"a", b"3", item.cas)
            with pytest.raises(emcache.StorageCommandError):
                await client.cas(b"a", b"4", item.cas)
            assert (await client.gat(100, b"a")).value == b"3"
            assert (await client.gats_many(100, [b"a", b"nope"])).keys() == {b"a"}
            await client.touch(b"a", -1)
            assert await client.get(b"a") is None
            await client.set(b"n", b"5")
            assert await client.increment(b"n", 3) == 8
            assert await client.decrement(b"n", 10) == 0
            await client.delete(b"n")
            with pytest.raises(emcache.NotFoundCommandError):
                await client.delete(b"n")

    asyncio.run(talk())


def test_many_at_the_same_time(addresses):
    """With and without emcache's own batches."""
    keys = [f"key-{number}".encode() for number in range(500)]

    async def talk():
        for batches in (False, True):
            async with connected(addresses, autobatching=batches) as client:
                await asyncio.gather(*(client.set(key, key + b"!") for key in keys))
                found = await client.get_many([*keys, b"nope"])
                assert {key: item.value for key, item in found.items()} == {
                    key: key + b"!" for key in keys
                }
                single = await asyncio.gather(*(client.get(key) for key in keys))
                assert [item.value for item in single] == [key + b"!" for key in keys]

    asyncio.run(talk())


def test_auto_discovery():
    """It finds all nodes by one of them."""
    if emcache is None:
        missing(f"emcache: {WHY}")
    needed()

    async def talk(nodes):
        async with connected([nodes[0].address], autodiscovery=True) as client:
            known = {(it.address, it.port) for it in client.cluster_managment().nodes()}
            assert known == {node.address for node in nodes}
            for number in range(50):
                await client.set(f"key-{number}".encode(), b"1")
            found = await client.get_many([f"key-{number}".encode() for number in range(50)])
            assert len(found) == 50

    with Fleet() as fleet:
        asyncio.run(talk(fleet.begin("abc")))
