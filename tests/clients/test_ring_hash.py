"""pylibmc and uhashring, the hashing of Python clients, against the golden vectors.

The vectors (crates/ring/tests/vectors) are owners as libmemcached finds them, so the pylibmc that
is installed finds the same. So does uhashring's ketama, except in the cases that these tests pin
down one by one.
"""

import pathlib
import tomllib

import pytest

from conftest import missing

try:
    import pylibmc
    import uhashring
    from pymemcache.client.hash import HashClient

    from patterns.ketama import Ketama
except ImportError as error:
    uhashring = None
    WHY = str(error)

VECTORS = pathlib.Path(__file__).parents[2] / "crates" / "ring" / "tests" / "vectors"
RINGS = sorted(path.stem for path in VECTORS.glob("*.toml"))
CONTESTED = (VECTORS / "contested.keys").read_text().split()

# Rings in which the single precision of libmemcached leaves some nodes one digest fewer than exact
# arithmetic does.
ROUNDED = {"hundred", "twenty-five"}
# Rings in which two nodes place a point at one spot.
RIVALS = {"rivals", "rivals-turned"}


def keys():
    """The keys of every ring, by the rule in the vectors' README."""
    for i in range(10_000):
        n = i * 2_654_435_761 % 2**32
        forms = f"key:{i}", f"user:{n:08x}:profile", f"{n}", f"schlüssel/{i}/鍵"
        yield forms[i % 4].encode()
    yield from ((b"0123456789" * 25)[:length] for length in range(1, 251))
    yield from (bytes([byte]) * 3 for byte in range(0x80, 0x100))
    yield from (key.encode() for key in CONTESTED)


KEYS = list(keys())


class Vectors:
    """One ring and the owners of its keys."""

    def __init__(self, name):
        ring = tomllib.loads((VECTORS / f"{name}.toml").read_text())
        self.nodes = []
        for node in ring["node"]:
            host, port = node["address"].rsplit(":", 1)
            self.nodes.append((host.strip("[]"), int(port), node.get("weight", 1)))
        digits = (VECTORS / f"{name}.owners").read_text().replace("\n", "")
        width = 1 if len(self.nodes) <= 36 else 2
        self.owners = [int(digits[at : at + width], 36) for at in range(0, len(digits), width)]
        assert len(self.owners) == len(KEYS)

    def hashed_names(self):
        """What libmemcached hashes: no port where it is 11211, no brackets."""
        return [host if port == 11211 else f"{host}:{port}" for host, port, _ in self.nodes]

    def differences(self, ring, names):
        """The keys, text all of them, for which `ring` finds another owner."""
        found = []
        for key, owner in zip(KEYS, self.owners):
            try:
                text = key.decode()
            except UnicodeDecodeError:
                continue
            if ring.get_node(text) != names[owner]:
                found.append(text)
        return found


def one_point_only(ring, differences):
    """Whether these keys belong to the contested point, and nothing else is different."""
    return (
        differences[-len(CONTESTED) :] == CONTESTED
        and len(set(map(ring.get_node_pos, differences))) == 1
    )


@pytest.fixture(autouse=True)
def needed():
    if uhashring is None:
        missing(f"pylibmc, uhashring or pymemcache: {WHY}")


@pytest.mark.parametrize("name", RINGS)
def test_pylibmc(name):
    vectors = Vectors(name)
    specs = [
        f"[{host}]:{port}:{weight}" if ":" in host else f"{host}:{port}:{weight}"
        for host, port, weight in vectors.nodes
    ]
    client = pylibmc.Client(specs, behaviors={"ketama_weighted": True})
    assert [client.hash(key) for key in KEYS] == vectors.owners


@pytest.mark.parametrize("name", RINGS)
def test_uhashring_with_weights(name):
    vectors = Vectors(name)
    names = vectors.hashed_names()
    weights = [weight for _, _, weight in vectors.nodes]
    ring = uhashring.HashRing(dict(zip(names, weights)), hash_fn="ketama")
    differences = vectors.differences(ring, names)
    if name in ROUNDED:
        # One point in forty is where libmemcached has none.
        assert 0.01 < len(differences) / len(KEYS) < 0.04
    elif name in RIVALS:
        # Of two nodes at one point uhashring takes the later, libmemcached the earlier.
        assert one_point_only(ring, differences)
    else:
        assert differences == []


@pytest.mark.parametrize("name", RINGS)
def test_uhashring_with_the_digests_of_single_precision(name):
    vectors = Vectors(name)
    servers = [f"{host}:{port}" for host, port, _ in vectors.nodes]
    weights = [weight for _, _, weight in vectors.nodes]
    ring = Ketama(dict(zip(servers, weights)))
    for server in servers:
        ring.add_node(server)
    differences = vectors.differences(ring, servers)
    assert one_point_only(ring, differences) if name in RIVALS else differences == []


def test_the_default_port_must_be_left_out():
    vectors = Vectors("default-port")
    names = [f"{host}:{port}" for host, port, _ in vectors.nodes]
    # That is how pymemcache names its nodes to a hasher: four of five keys go astray.
    differences = vectors.differences(uhashring.HashRing(names, hash_fn="ketama"), names)
    assert len(differences) > 0.7 * len(KEYS)


def test_ipv6_has_no_brackets():
    vectors = Vectors("ipv6")
    names = [
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port, _ in vectors.nodes
    ]
    differences = vectors.differences(uhashring.HashRing(names, hash_fn="ketama"), names)
    assert len(differences) > 0.5 * len(KEYS)


def test_keys_of_bytes_are_hashed_as_python_prints_them():
    ring = uhashring.HashRing([f"cache-{n}" for n in range(5)], hash_fn="ketama")
    for key in KEYS[:100]:
        assert ring.get_node(key) == ring.get_node(str(key))
    assert any(ring.get_node(key) != ring.get_node(key.decode()) for key in KEYS[:100])


def test_pymemcache_and_pylibmc_share_a_cache(start):
    nodes = [start() for _ in range(3)]
    weights = {node.spelled: weight for node, weight in zip(nodes, (1, 2, 3))}
    by_uhashring = HashClient(
        [node.address for node in nodes],
        hasher=lambda: Ketama(weights),
        # A set that nobody waits for may come after the get.
        default_noreply=False,
    )
    by_libmemcached = pylibmc.Client(
        [f"{spelled}:{weight}" for spelled, weight in weights.items()],
        behaviors={"ketama_weighted": True},
    )
    for number in range(500):
        assert by_uhashring.set(f"from-pymemcache:{number}", str(number))
        assert by_libmemcached.get(f"from-pymemcache:{number}") == str(number).encode()
        assert by_libmemcached.set(f"from-pylibmc:{number}", str(number).encode())
        assert by_uhashring.get(f"from-pylibmc:{number}") == str(number).encode()
    items = [int(by_uhashring.clients[spelled].stats()[b"curr_items"]) for spelled in weights]
    assert sum(items) == 1000 and all(items), items
