"""Load on a fleet, by which stale reads come to light.

Each key has one writer, which numbers its values. A read that began after a value was acknowledged,
or was seen by anybody, must give that value, a later one that was sent before the read ended, or
none.
"""

import os
import random
import threading
import time
import tomllib

from ring_fleet import CLIENT_TIMEOUT, pylibmc

# No load runs longer that does not ask for it, whatever becomes of the test, in seconds.
LONGEST = 60.0

# What is written where the owner of the key is away: no number.
REFUSED = b"refused"


class Ledger:
    """What was sent, acknowledged and seen of every key."""

    def __init__(self, keys):
        self.keys = list(keys)
        self.sent = dict.fromkeys(self.keys, 0)
        self.floor = dict.fromkeys(self.keys, 0)
        self.found = 0
        self.lock = threading.Lock()

    def write(self, client, key):
        """Writes the next value; by the key's one writer. Errors are the caller's."""
        number = self.sent[key] + 1
        self.sent[key] = number
        done = client.set(key, str(number).encode())
        assert done, f"set {key} gave {done!r}"
        self._raise(key, number)

    def read(self, client, key):
        """Reads a key; True where it was found."""
        floor = self.floor[key]
        value = client.get(key)
        return self._check(key, floor, value)

    def read_many(self, client, keys):
        """Reads keys at once; how many were found."""
        floors = [self.floor[key] for key in keys]
        found = client.get_multi(keys) if hasattr(client, "get_multi") else client.get_many(keys)
        return sum(self._check(key, floor, found.get(key)) for key, floor in zip(keys, floors))

    def _check(self, key, floor, value):
        # A write that was answered with an error may have been carried out all the same, later.
        if value is None or value == REFUSED:
            return False
        number, last = int(value), self.sent[key]
        if not floor <= number <= last:
            raise Stale(f"{key} is {number}: {floor} was acknowledged or seen, {last} sent last")
        self._raise(key, number)
        with self.lock:
            self.found += 1
        return True

    def _raise(self, key, number):
        with self.lock:
            self.floor[key] = max(self.floor[key], number)


class Stale(AssertionError):
    """A value came that was no longer the key's."""


class Follower:
    """A pylibmc client that reads the ring file again when it has changed."""

    def __init__(self, path):
        self.path = path
        self.seen = None
        self.version = 0
        self.client = None

    def _fresh(self):
        status = os.stat(self.path)
        mark = status.st_mtime_ns, status.st_ino
        if mark != self.seen:
            ring = tomllib.loads(self.path.read_text())
            self.client = pylibmc.Client(
                [f"{node['address']}:{node.get('weight', 1)}" for node in ring["node"]],
                behaviors={"ketama_weighted": True},
            )
            self.seen, self.version = mark, ring["version"]
        return self.client

    def get(self, key):
        return self._fresh().get(key)

    def get_multi(self, keys):
        return self._fresh().get_multi(keys)

    def set(self, key, value):
        return self._fresh().set(key, value)

    def close(self):
        self.client = None


class Plain:
    """A client of one node, whose sets are acknowledged."""

    def __init__(self, node):
        self.client = node.client()

    def get(self, key):
        return self.client.get(key)

    def get_many(self, keys):
        return self.client.get_many(keys)

    def set(self, key, value):
        return self.client.set(key, value, noreply=False)

    def close(self):
        self.client.close()


class Load:
    """Threads that do one thing over and over. A context: they end with it.

    The first error of a thread ends it, and is raised where the load is looked at.
    """

    def __init__(self, longest=LONGEST):
        self.longest = longest
        self.stop = threading.Event()
        self.threads = []
        self.turns = []
        self.errors = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(2 * CLIENT_TIMEOUT)
        alive = [thread.name for thread in self.threads if thread.is_alive()]
        assert not alive, f"these hang: {alive}"
        self.check()

    def check(self):
        """Raises what went wrong in a thread."""
        if self.errors:
            name, error = self.errors[0]
            raise AssertionError(f"{name}: {error!r} (of {len(self.errors)})") from error

    def run(self, name, client, turn):
        """Starts a thread that calls `turn(client, random)` until the load ends."""
        index = len(self.turns)
        self.turns.append(0)
        chance = random.Random(index)

        def loop():
            deadline = time.monotonic() + self.longest
            try:
                while not self.stop.is_set() and time.monotonic() < deadline:
                    turn(client, chance)
                    self.turns[index] += 1
            except Exception as error:
                self.errors.append((name, error))
            finally:
                client.close()

        self.threads.append(threading.Thread(target=loop, name=name, daemon=True))
        self.threads[-1].start()

    def has(self, name):
        """Whether a thread of this name was started."""
        return any(thread.name == name for thread in self.threads)

    def has_turned(self, turns):
        """A condition: every thread has gone round so many times from now on."""
        before = list(self.turns)

        def condition():
            self.check()
            return all(now - then >= turns for now, then in zip(self.turns, before))

        return condition


def write_and_read(ledger, own):
    """A turn: writes one of its own keys, and reads some of everybody's."""

    def turn(client, chance):
        ledger.write(client, chance.choice(own))
        for key in chance.choices(ledger.keys, k=4):
            ledger.read(client, key)
        ledger.read_many(client, chance.sample(ledger.keys, 10))

    return turn


def percentile(samples, share):
    """The value that `share` of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
