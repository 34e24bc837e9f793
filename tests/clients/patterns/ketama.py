"""libmemcached's weighted ketama for pymemcache, by way of uhashring.

uhashring alone finds other owners than libmemcached for some rings, and pymemcache names a node on
port 11211 otherwise than libmemcached hashes it. test_ring_hash.py holds both differences, and that
this hasher has neither.
"""

import math
import struct

import uhashring


class Ketama(uhashring.HashRing):
    """uhashring as a hasher for pymemcache, with libmemcached's owners.

    `weights` has the weight of each `host:port`; what is not in it weighs 1.
    """

    def __init__(self, weights=None):
        super().__init__(hash_fn="ketama")
        self.weights = weights or {}
        self.servers = {}

    def add_node(self, server):
        self.servers[server.removesuffix(":11211")] = server
        self._rebuild()

    def remove_node(self, server):
        del self.servers[server.removesuffix(":11211")]
        self._rebuild()

    def get_node(self, key):
        return self.servers.get(super().get_node(key.decode() if isinstance(key, bytes) else key))

    def _rebuild(self):
        weights = [self.weights.get(server, 1) for server in self.servers.values()]
        self.runtime._nodes = {
            name: {
                "nodename": name,
                "weight": 1,
                "vnodes": digests(weight, sum(weights), len(weights)),
            }
            for name, weight in zip(self.servers, weights)
        }
        self.runtime._create_ring(None)


def single(number):
    """A number in single precision."""
    return struct.unpack("f", struct.pack("f", number))[0]


def digests(weight, total, nodes):
    """How many digests libmemcached takes for a node."""
    return math.floor(single(single(single(weight / total) * 160) / 4 * nodes))
