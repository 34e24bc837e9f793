"""What a program counts of itself, so that it can say how much the cache spared the database."""

import threading


class Counts:
    """Named counters that any thread may raise."""

    def __init__(self, *names):
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(names, 0)

    def add(self, name, number=1):
        with self._lock:
            self._counts[name] += number

    def __getitem__(self, name):
        return self._counts[name]

    def all(self):
        """A copy of all counters."""
        with self._lock:
            return dict(self._counts)
