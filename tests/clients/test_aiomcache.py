"""aiomcache, unmodified."""

import asyncio

import aiomcache
import pytest


@pytest.fixture
def run(node):
    """Runs a coroutine function with a connected client."""

    def run_one(scenario):
        async def main():
            client = aiomcache.Client("127.0.0.1", node.port, pool_size=4)
            try:
                await asyncio.wait_for(scenario(client), 30)
            finally:
                await client.close()

        asyncio.run(main())

    return run_one


def test_storage(run):
    async def scenario(client):
        assert await client.get(b"a") is None
        assert await client.set(b"a", b"1") is True
        assert await client.add(b"a", b"2") is False
        assert await client.replace(b"a", b"2") is True
        assert await client.append(b"a", b"3") and await client.prepend(b"a", b"1")
        assert await client.get(b"a") == b"123"
        assert await client.delete(b"a") is True
        assert await client.delete(b"a") is False

    run(scenario)


def test_cas(run):
    async def scenario(client):
        assert await client.set(b"a", b"1")
        value, token = await client.gets(b"a")
        assert value == b"1"
        assert await client.cas(b"a", b"2", token) is True
        assert await client.cas(b"a", b"3", token) is False

    run(scenario)


def test_multi_get_arithmetic_and_touch(run):
    async def scenario(client):
        for number in range(100):
            await client.set(f"key-{number}".encode(), str(number).encode())
        keys = [f"key-{number}".encode() for number in range(100)]
        assert await client.multi_get(*keys) == tuple(str(number).encode() for number in range(100))
        assert await client.incr(b"key-10", 5) == 15
        assert await client.decr(b"key-10", 100) == 0
        assert await client.touch(b"key-10", 100) is True
        assert await client.touch(b"nope", 100) is False

    run(scenario)


def test_concurrent_requests(run):
    async def scenario(client):
        async def one(number):
            key, value = f"key-{number}".encode(), b"v" * number
            assert await client.set(key, value)
            assert await client.get(key) == value

        await asyncio.gather(*(one(number) for number in range(500)))

    run(scenario)


def test_administration(run):
    async def scenario(client):
        assert (await client.version()).count(b".") == 2
        await client.set(b"a", b"1")
        assert (await client.stats())[b"curr_items"] == b"1"
        await client.flush_all()
        assert await client.get(b"a") is None

    run(scenario)
