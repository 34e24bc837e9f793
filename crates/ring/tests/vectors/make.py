"""Makes the golden vectors: which node libmemcached finds for which key. See README.md."""

import ctypes
import ctypes.util
import hashlib
import pathlib
import struct
import sys

import pylibmc

HERE = pathlib.Path(__file__).parent
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def keys(contested):
    """The keys of every ring, by the rule in README.md."""
    made = []
    for i in range(10_000):
        n = i * 2_654_435_761 % 2**32
        forms = f"key:{i}", f"user:{n:08x}:profile", f"{n}", f"schlüssel/{i}/鍵"
        made.append(forms[i % 4].encode())
    made += [(b"0123456789" * 25)[:length] for length in range(1, 251)]
    made += [bytes([byte]) * 3 for byte in range(0x80, 0x100)]
    return made + contested


def rings(rivals):
    """Name of each ring and its nodes: host, port, weight."""
    label = "a-label-of-63-bytes-" + "x" * 43
    yield "one", [("127.0.0.1", 11211, 1)]
    yield "default-port", [(f"10.0.0.{n}", 11211, 1) for n in range(1, 6)]
    yield "other-ports", [("127.0.0.1", port, 1) for port in (11212, 22122, 1, 65535, 11210)]
    yield (
        "mixed-ports",
        [("10.0.0.1", port, 1) for port in (11211, 11212, 11213)] + [("10.0.0.2", 11211, 1)],
    )
    yield (
        "weights",
        [(f"10.1.0.{n}", 11210 + n, weight) for n, weight in enumerate((1, 2, 3, 5, 8, 13, 1), 1)],
    )
    # The lightest of them are left without a point.
    yield (
        "heavy-weights",
        [
            (f"10.2.0.{n}", 11211 + n % 2, weight)
            for n, weight in enumerate((65_535, 65_521, 32_768, 4_096, 25_000, 600, 1, 33_333), 1)
        ],
    )
    yield (
        "ipv6",
        [
            ("::1", 11211, 1),
            ("::1", 11212, 1),
            ("2001:db8::2", 11211, 2),
            ("2001:DB8:0:0::3", 22122, 1),
            ("10.0.0.1", 11211, 1),
        ],
    )
    yield (
        "names",
        [
            ("localhost", 11211, 1),
            ("Cache-A.example.com", 11211, 1),
            ("cache_b.example.com.", 11212, 1),
            *((f"ringbinder-{n}.ringbinder.default.svc.cluster.local", 11211, 1) for n in range(4)),
        ],
    )
    yield (
        "long-names",
        [
            (f"{n}." + ".".join([label] * 3) + "." + "y" * 59, port, 1)
            for n, port in enumerate((11211, 11212, 65535))
        ],
    )
    yield "twenty-five", [(f"cache-{n:02}", 11211, 1) for n in range(25)]
    yield "hundred", [(f"10.3.{n // 10}.{n % 10}", 11211, 1) for n in range(100)]
    yield (
        "hundred-weights",
        [(f"shard{n}.example.net", 11200 + n, 1 + n * n % 17) for n in range(100)],
    )
    # Both place a point at the same spot; the one that is listed first owns it.
    yield "rivals", [(host, 11211, 1) for host in rivals]
    yield "rivals-turned", [(host, 11211, 1) for host in reversed(rivals)]


class Libmemcached:
    """The library of the system, without pylibmc between it and us."""

    KETAMA_WEIGHTED = 16  # MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED

    def __init__(self):
        name = ctypes.util.find_library("memcached")
        if name is None:
            sys.exit("libmemcached is not installed: apt-get install libmemcached-dev")
        self.lib = ctypes.CDLL(name)
        self.lib.memcached_create.restype = ctypes.c_void_p
        self.lib.memcached_create.argtypes = [ctypes.c_void_p]
        self.lib.memcached_free.argtypes = [ctypes.c_void_p]
        self.lib.memcached_behavior_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64]
        self.lib.memcached_server_add_with_weight.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_uint16,
            ctypes.c_uint32,
        ]
        self.lib.memcached_generate_hash.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
        ]
        self.lib.memcached_generate_hash.restype = ctypes.c_uint32
        self.lib.memcached_lib_version.restype = ctypes.c_char_p
        self.version = self.lib.memcached_lib_version().decode()

    def owners(self, nodes, keys):
        memc = self.lib.memcached_create(None)
        assert self.lib.memcached_behavior_set(memc, self.KETAMA_WEIGHTED, 1) == 0
        for host, port, weight in nodes:
            assert self.lib.memcached_server_add_with_weight(memc, host.encode(), port, weight) == 0
        found = [self.lib.memcached_generate_hash(memc, key, len(key)) for key in keys]
        self.lib.memcached_free(memc)
        return found


def by_pylibmc(nodes, keys):
    """The same through pylibmc, which brings a libmemcached of its own."""
    specs = [
        f"[{host}]:{port}:{weight}" if ":" in host else f"{host}:{port}:{weight}"
        for host, port, weight in nodes
    ]
    client = pylibmc.Client(specs, behaviors={"ketama_weighted": True})
    return [client.hash(key) for key in keys]


def points(host):
    """The points of a node of average weight."""
    for number in range(40):
        yield from struct.unpack("<4I", hashlib.md5(f"{host}-{number}".encode()).digest())


def find_rivals():
    """Two hosts that place a point at the same spot, and keys that belong to this point."""
    seen = {}
    for host in (f"10.4.{n // 256}.{n % 256}" for n in range(65_536)):
        for point in points(host):
            rival = seen.setdefault(point, host)
            if rival != host:
                below = max(
                    other for name in (host, rival) for other in points(name) if other < point
                )
                found, number = [], 0
                while len(found) < 20:
                    key = f"contested:{number}".encode()
                    if below < struct.unpack("<I", hashlib.md5(key).digest()[:4])[0] <= point:
                        found.append(key)
                    number += 1
                return (rival, host), found


def write(name, nodes, owners):
    """One ring and the owners of its keys."""
    lines = ["version = 1"]
    for number, (host, port, weight) in enumerate(nodes):
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines += ["[[node]]", f'name = "{number}"', f'address = "{address}"']
        lines += [f"weight = {weight}"] if weight != 1 else []
    (HERE / f"{name}.toml").write_text("\n".join(lines) + "\n")
    width = 1 if len(nodes) <= 36 else 2
    text = "".join(
        (DIGITS[owner // 36] if width == 2 else "") + DIGITS[owner % 36] for owner in owners
    )
    (HERE / f"{name}.owners").write_text(
        "\n".join(text[at : at + 100] for at in range(0, len(text), 100)) + "\n"
    )


def main():
    library = Libmemcached()
    print(
        f"libmemcached {library.version}, and {pylibmc.libmemcached_version} in pylibmc {pylibmc.__version__}"
    )
    rivals, contested = find_rivals()
    (HERE / "contested.keys").write_bytes(b"\n".join(contested) + b"\n")
    all_keys = keys(contested)
    for name, nodes in rings(rivals):
        owners = library.owners(nodes, all_keys)
        differ = sum(a != b for a, b in zip(owners, by_pylibmc(nodes, all_keys)))
        print(
            f"{name}: {len(nodes)} nodes, {len(set(owners))} owners, {len(all_keys)} keys, {differ} differences"
        )
        if differ:
            sys.exit("two releases of libmemcached disagree: these are no vectors to rely on")
        write(name, nodes, owners)


if __name__ == "__main__":
    main()
