"""Write-behind: a write goes to the cache and a queue, and to the database a little later.

For what changes far more often than it has to be kept, and of which the last moments may be lost:
a position in a video, a "last seen". Many writes of one key become one row, many rows one
transaction.

A write gets a stamp (the clock, and what tells writers of one moment apart). The newest stamp wins
everywhere: in the queue, in the cache (`gets`, then `add` or `cas`), and in the database (the
upsert's condition). So the order in which servers flush does not matter, and all agree in the end,
as far as their clocks do: of two writes to one key the one with the later clock is the later one.

*The queue is bounded.* It holds at most `capacity` keys, each once, with its newest value; those
that are being written to the database count until it has taken them. A write of one more key waits
for room, at most `patience` seconds, and then raises QueueFull: nothing was accepted. So a
database that is away or slow slows the writers down, and does not fill the memory.

*What is lost.* The queue is in the memory of this process. When the process dies, what it accepted
and has not flushed is lost to the database: at most `capacity` keys, and nothing older than
`flush_seconds` and the time a transaction takes while the database answers. The cache may still
show such a value, until `keep_seconds` are over or it is evicted; then readers see the older row
again. `close` flushes everything, so an orderly end loses nothing. What must not be lost is no
matter for this pattern: use `write_through`.

*What readers see.* The server that wrote: its queue first, so always at least its own writes.
Others: the cache. Where that has lost the entry (evicted, its node restarted, the key moved) they
see the older row until the next flush, after which the writer puts the new value back into the
cache.

*The cache is away.* Writes are accepted and flushed; reads come from the queue and the database.
"""

import itertools
import json
import secrets
import sys
import threading
import time

from .client import CacheAway
from .counts import Counts

# How often to try again when another writer of a key came in between; the flush tries once more.
CACHE_TRIES = 10
# The rest after a transaction that failed, in seconds.
DATABASE_REST = 0.2

SCHEMA = """
    CREATE TABLE IF NOT EXISTS latest (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, stamp TEXT NOT NULL
    )
"""
READ = "SELECT value, stamp FROM latest WHERE key = %s"
WRITE = """
    INSERT INTO latest (key, value, stamp) VALUES (%s, %s, %s)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, stamp = excluded.stamp
    WHERE excluded.stamp > latest.stamp
"""

COUNTED = "writes reads hits own database_reads rows transactions failed away".split()


class QueueFull(Exception):
    """The database is behind, and the write was not accepted."""


class WriteBehind:
    """Values of JSON by key. Opens a thread; `close` ends it, with everything flushed.

    At most `capacity` keys wait, `batch` of them go into a transaction, and none waits longer than
    `flush_seconds` while the database answers.
    """

    def __init__(
        self, cache, database, capacity=10_000, batch=500, flush_seconds=1.0, keep_seconds=300,
        patience=5.0,
    ):  # fmt: skip
        self.cache, self.database = cache, database
        self.capacity, self.batch = capacity, batch
        self.flush_seconds, self.keep_seconds, self.patience = flush_seconds, keep_seconds, patience
        self.counts = Counts(*COUNTED)
        database.prepare(SCHEMA)
        # Two dictionaries in one: what waits, and what a transaction under way is to take.
        self._waiting, self._flushing = {}, {}
        self._changed = threading.Condition()
        self._closing = False
        self._stamps = stamps()
        self._worker = threading.Thread(target=self._work, name="write-behind", daemon=True)
        self._worker.start()

    def put(self, key, value):
        """Accepts a value. Raises QueueFull where it cannot."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(key), self.patience):
                raise QueueFull(
                    f"{self.capacity} keys wait for the database; {key} was not accepted"
                )
            if self._closing:
                raise QueueFull(f"the queue is closed; {key} was not accepted")
            entry = self._waiting[key] = (next(self._stamps), json.dumps(value))
            self._changed.notify_all()
        self.counts.add("writes")
        self._publish(key, entry)

    def _has_room(self, key):
        held = len(self._waiting) + len(self._flushing)
        return self._closing or key in self._waiting or held < self.capacity

    def get(self, key):
        """The value, or None."""
        self.counts.add("reads")
        with self._changed:
            entry = self._waiting.get(key) or self._flushing.get(key)
        try:
            found, unique = self.cache.gets(key)
            if found is not None:
                cached = decode(found)
                self.counts.add("hits")
                return json.loads(max(cached, entry or cached)[1])
        except CacheAway:
            self.counts.add("away")
        if entry:
            self.counts.add("own")
            return json.loads(entry[1])
        self.counts.add("database_reads")
        entry = self._stored(key)
        if entry is None:
            return None
        try:
            # Never over a newer value that came in between.
            self.cache.add(key, encode(entry), self.keep_seconds)
        except CacheAway:
            self.counts.add("away")
        return json.loads(entry[1])

    def _stored(self, key):
        row = self.database.row(READ, key)
        return row and (row[1], row[0])

    def _publish(self, key, entry):
        """Puts an entry into the cache unless a newer one is there."""
        try:
            for _ in range(CACHE_TRIES):
                found, unique = self.cache.gets(key)
                if found is None:
                    done = self.cache.add(key, encode(entry), self.keep_seconds)
                elif decode(found) >= entry:
                    return
                else:
                    done = self.cache.cas(key, encode(entry), unique, self.keep_seconds)
                if done:
                    return
        except CacheAway:
            self.counts.add("away")

    def _work(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                # Others may join, until a batch is full or the first has waited long enough.
                self._changed.wait_for(
                    lambda: len(self._waiting) >= self.batch or self._closing, self.flush_seconds
                )
                if not self._waiting:
                    return
                keys = list(itertools.islice(self._waiting, self.batch))
                self._flushing = {key: self._waiting.pop(key) for key in keys}
            self._flush()

    def _flush(self):
        """Writes what is to be flushed, again and again until the database has taken it."""
        rows = [(key, text, stamp) for key, (stamp, text) in self._flushing.items()]
        while True:
            try:
                self.database.write_many(WRITE, rows)
                break
            except self.database.errors as error:
                self.counts.add("failed")
                print(f"{len(rows)} rows are tried again: {error}", file=sys.stderr, flush=True)
                time.sleep(DATABASE_REST)
        self.counts.add("transactions")
        self.counts.add("rows", len(rows))
        # Where the cache had lost an entry, somebody may have filled it with the older row.
        for key, entry in self._flushing.items():
            self._publish(key, entry)
        with self._changed:
            self._flushing = {}
            self._changed.notify_all()

    def close(self):
        """Accepts nothing more, and returns when all is in the database."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.join()


def stamps():
    """Stamps of this process: each later than the one before, comparable as text."""
    own, last = secrets.token_hex(4), 0
    while True:
        last = max(time.time_ns(), last + 1)
        yield f"{last:020d}-{own}"


def encode(entry):
    """An entry as it is cached: stamp and JSON."""
    stamp, text = entry
    return f"{stamp} {text}".encode()


def decode(found):
    stamp, _, text = found.decode().partition(" ")
    return stamp, text


def main(arguments=None):
    """Many threads write a few keys very often; says how few transactions that became."""
    from . import program

    options = program.parse(
        arguments,
        __package__ + ".write_behind",
        "Threads write positions of a few viewers over and over. The last line says how many rows "
        "and transactions the database saw for how many writes.",
        threads=(8, "how many threads write"),
        writes=(500, "how many writes each thread makes"),
        keys=(20, "how many keys there are"),
        capacity=(10_000, "how many keys may wait for the database"),
        batch=(500, "how many rows a transaction takes"),
        flush_seconds=(1.0, "how long a write waits for the database at most"),
    )
    with program.database(options.database) as database:
        positions = WriteBehind(
            program.cache(options),
            database,
            capacity=options.capacity,
            batch=options.batch,
            flush_seconds=options.flush_seconds,
        )

        def work(number):
            for turn in range(options.writes):
                positions.put(f"position:{turn % options.keys}", {"thread": number, "at": turn})

        try:
            program.run_threads(options.threads, work)
        finally:
            positions.close()
        counts = positions.counts
        print(program.words(counts.all()))
        print(
            f"{counts['writes']} writes became {counts['rows']} rows "
            f"in {counts['transactions']} transactions"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
