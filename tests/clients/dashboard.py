"""A ring with admin ports and a little load, for the tests of the page and for its pictures."""

import contextlib
import random
import re
import socket
import threading
import time

from conftest import PATIENCE
from ring_fleet import Fleet, wait_until

# What a page must show as it is, and never carry out.
TRAP = "<img/src=x/onerror=document.title='trapped'>"
HOT = "session:front-page"


def admin_of(node):
    """Where a node's admin port is, as its log tells it."""

    def told():
        return re.search(r"the admin port is (http://\S+/)", node.log.read_text())

    return wait_until(told, f"{node.name} tells its admin port").group(1)


class Load:
    """Gets and sets at one node, some keys hotter than others, in a thread of its own."""

    def __init__(self, address, seed, pause=0.004, value=200, trap=TRAP):
        self.address, self.random, self.pause = address, random.Random(seed), pause
        self.trap = trap
        self.value = b"x" * value
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(PATIENCE)

    def _key(self):
        dice = self.random.random()
        if dice < 0.2:
            return HOT
        if dice < 0.3 and self.trap:
            return self.trap
        return f"user:{min(int(self.random.paretovariate(0.7)), 20_000)}"

    def _run(self):
        while not self.stopping.is_set():
            # A node that is killed takes its connections with it.
            with contextlib.suppress(OSError):
                self._talk()
            time.sleep(self.pause)

    def _talk(self):
        with socket.create_connection(self.address, timeout=PATIENCE) as connection:
            answers = connection.makefile("rb")
            while not self.stopping.is_set():
                keys = [self._key() for _ in range(40)]
                text = b"".join(b"mg " + key.encode() + b" s v\r\n" for key in keys)
                connection.sendall(text + b"mn\r\n")
                missed = self._misses(answers, keys)
                sets = b"".join(
                    b"ms %s %d\r\n%s\r\n" % (key.encode(), len(self.value), self.value)
                    for key in missed
                )
                connection.sendall(sets + b"mn\r\n")
                while (line := answers.readline()) != b"MN\r\n":
                    if not line:
                        return
                time.sleep(self.pause)

    @staticmethod
    def _misses(answers, keys):
        missed, index = [], 0
        while (line := answers.readline()) != b"MN\r\n":
            if not line:
                raise OSError("the node hung up")
            if line.startswith(b"VA "):
                answers.read(int(line.split()[1]) + 2)
            elif line == b"EN\r\n":
                missed.append(keys[index])
            index += 1
        return missed


@contextlib.contextmanager
def loaded_fleet(names=("cache-a", "cache-b", "cache-c"), memory="64", weights=None, **load):
    """A running ring with load, as `Load` describes it, at each node."""
    with Fleet("--admin", "0", "-t", "1", "-m", memory) as fleet, contextlib.ExitStack() as loads:
        fleet.begin(list(names), weights)
        for seed, node in enumerate(fleet.nodes.values()):
            loads.enter_context(Load(node.address, seed, **load))
        yield fleet
