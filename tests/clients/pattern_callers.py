"""What the tests of the patterns run in processes of their own, and a database to be held up."""

import contextlib
import os
import signal
import threading

from patterns.cache_aside import CacheAside
from patterns.client import Cache, Node
from patterns.database import Sqlite
from patterns.write_behind import WriteBehind
from patterns.write_through import WriteThrough
from ring_fleet import wait_until


def cache_of(kind, addresses):
    """A cache over nodes of equal weight."""
    return Cache(kind, [Node(address) for address in addresses])


class HeldDatabase(Sqlite):
    """SQLite whose reads and commits wait, each where it is told to.

    A wait says by `reached` that it has begun, and ends with `go_on`.
    """

    def __init__(self, path):
        self.hold = None
        self.reached, self.go_on = threading.Event(), threading.Event()
        super().__init__(path)

    def hold_at(self, place):
        """The next time: after a "read", before a "commit" or after one ("committed")."""
        self.reached.clear()
        self.go_on.clear()
        self.hold = place

    def _at(self, place):
        if self.hold == place:
            self.hold = None
            self.reached.set()
            assert self.go_on.wait(60), f"nobody let the {place} go on"

    def read(self, id):
        row = super().read(id)
        self._at("read")
        return row

    @contextlib.contextmanager
    def update(self, id, name, about):
        with super().update(id, name, about) as row:
            yield row
            self._at("commit")
        self._at("committed")


class AllAtOnce(Cache):
    """A cache whose callers all learn what is there before any of them goes on."""

    def __init__(self, kind, addresses, everybody, refused):
        super().__init__(kind, [Node(address) for address in addresses])
        self.everybody, self.refused = everybody, refused
        self.met = threading.local()

    def gets(self, key):
        found = super().gets(key)
        if not hasattr(self.met, "all"):
            self.met.all = True
            self.everybody.wait(60)
        return found

    def add(self, key, value, seconds):
        done = super().add(key, value, seconds)
        if not done:
            with self.refused.get_lock():
                self.refused.value += 1
        return done


def stampede(kind, addresses, callers, everybody, refused, loads, got):
    """Threads that all want one value, and find nothing. The load ends only when every other caller
    of every process was refused the lease: none comes when the value is there."""

    def load(_):
        with loads.get_lock():
            loads.value += 1
        wait_until(lambda: refused.value == everybody.parties - 1, "all others want the lease")
        return "the value"

    cache = AllAtOnce(kind, addresses, everybody, refused)
    aside = CacheAside(cache, load, lease_seconds=60, patience=60)

    def call():
        got.put(aside.get("wanted"))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def die():
    """Ends this process as the kernel would, with nothing tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_lease(kind, addresses):
    """Takes the lease and dies in the middle of its fetch."""
    CacheAside(cache_of(kind, addresses), lambda _: die(), lease_seconds=2).get("wanted")


def die_in_update(kind, addresses, path, place):
    """Dies in an update, before or after its commit."""

    class Deadly(HeldDatabase):
        def _at(self, here):
            if here == place:
                die()

    profiles = WriteThrough(cache_of(kind, addresses), Deadly(path), mark_seconds=2)
    profiles.update("1", "new", "new")


def die_with_queue(kind, addresses, path, number):
    """Accepts writes, flushes none, and dies."""
    behind = WriteBehind(cache_of(kind, addresses), Sqlite(path), flush_seconds=600)
    for turn in range(number):
        behind.put(f"key:{turn}", turn)
    die()
