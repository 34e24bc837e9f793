

class Ketama:
    """libmemcached's weighted ketama, to the bit: owners as the nodes find them."""

    def __init__(self):
        self.live = set()
        self.points = sorted(self.place())

    def place(self):
        """Every point, with the place of its node: the earlier one wins where two are equal."""
        total = self.single(sum(weight for _, _, weight in NODES))
        for place, (host, port, weight) in enumerate(NODES):
            name = host if port == 11211 else f"{host}:{port}"
            share = self.single(self.single(weight) / total)
            digests = int(self.single(self.single(share * 160) / 4 * len(NODES)))
            for number in range(digests):
                for point in self.hash(f"{name}-{number}"):
                    yield point, place

    def get_node(self, key):
        first = bisect.bisect_left(self.points, (self.hash(key)[0],))
        for step in range(len(self.points)):
            _, place = self.points[(first + step) % len(self.points)]
            host, port, _ = NODES[place]
            if f"{host}:{port}" in self.live:
                return f"{host}:{port}"
        return None

    def add_node(self, node):
        self.live.add(node)

    def remove_node(self, node):
        self.live.discard(node)

    @staticmethod
    def hash(text):
        text = text.encode() if isinstance(text, str) else text
        return struct.unpack("<4I", hashlib.md5(text, usedforsecurity=False).digest())

    @staticmethod
    def single(number):
        """The number in libmemcached's precision."""
        return struct.unpack("f", struct.pack("f", number))[0]
