"""Write-through: an update goes to the database and the cache, and no read is ever older than it.

What goes wrong when two systems are written one after the other:

- *Delete, then commit*: a reader in between fills the cache with the old row, and it stays.
- *Commit, then delete*: a reader that took the old row before the commit fills the cache after the
  delete, and it stays. A writer that dies in between leaves the old value as well.
- *Commit, then set*: two writers may set in another order than they committed.

Here a key in the cache holds one of three things, told apart by the first byte:

    V + JSON     a value
    L + token    a lease: the reader who put it there, by `add`, is fetching the row
    W + token    a mark: a writer is about to commit, or just has

A writer, inside its transaction and with the row's lock, sets its mark over whatever is there;
then it commits; then it turns its mark, and only its own, into the new value (`gets`, `cas`). A
reader who finds nothing puts a lease there, reads the row, and turns the lease, if it is still
there, into the value. Whoever finds a lease or a mark of somebody else reads the database and
stores nothing.

*While the cache holds a value, no newer row is committed.* For a value gets there in two ways.
From a mark: a later writer would have set its own mark before its commit, so there was none. From
a lease: the row was read after the `add`, and a writer since then would have set its mark over the
lease before its commit. And the next writer's mark removes the value before that writer commits.
So a cached answer is what the database would have answered at that moment, for readers on all
servers: none sees a version and later an older one. Writers of one row have the row's lock while
they set their marks, so marks are set in the order of the commits, and of several the last one
stays.

What can get lost, and what follows:

- *The mark* (evicted, expired, its node restarted, the key moved to another node). The writer
  finds it gone after its commit, and puts another one over what is there: a value of the old row,
  or a lease that would become one. Until then a reader may see the old row, or even see the new
  one and then the old one. After the update is acknowledged nobody does.
- *The writer*, before or after its commit. Its mark stays for `mark_seconds`, and all read the
  database; then the key is empty and everything goes on. No old value stays.
- *The reader with the lease.* The lease expires.
- *An answer.* A request that was carried out late, or unseen, does no harm: a mark too many only
  hides a value, and a `cas` fails when anything has changed.
- *The cache, before the commit.* With `insist` the update is refused and nothing is changed.
  Without it the update is committed all the same; then a node that was cut off, not restarted, may
  come back with the old value and keep it for `value_seconds`.
- *The cache, after the commit.* `NotConfirmed`: saved, but not acknowledged. Repeat the update.
"""

import json
import secrets
import sys
import threading
import time

from .client import CacheAway
from .counts import Counts

VALUE, LEASE, MARK = b"V", b"L", b"W"

# How long to go on telling the cache of a commit, and the rest between two tries, in seconds.
CONFIRM_SECONDS = 3.0
CONFIRM_REST = 0.05
# How long a mark stays that only takes the place of something old, in seconds.
MOMENT = 1

COUNTED = "reads hits database_reads fills dropped_fills updates lost_marks away".split()


class NotConfirmed(Exception):
    """The update is in the database, but the cache could not be told: readers may miss it."""


class WriteThrough:
    """Profiles of a database, through a cache.

    `value_seconds` bounds how long a value is kept, `lease_seconds` how long a reader may take to
    fetch one, `mark_seconds` how long a commit may take. Each is a whole number, at least 1.
    """

    def __init__(
        self, cache, database, value_seconds=300, lease_seconds=5, mark_seconds=10, insist=True
    ):
        self.cache, self.database = cache, database
        self.value_seconds, self.lease_seconds = value_seconds, lease_seconds
        self.mark_seconds, self.insist = mark_seconds, insist
        self.counts = Counts(*COUNTED)

    def read(self, id):
        """The profile, or None where there is none."""
        self.counts.add("reads")
        key = cache_key(id)
        try:
            found, _ = self.cache.gets(key)
            if found is None:
                return self._fetch(id, key)
        except CacheAway:
            self.counts.add("away")
            return self._from_database(id)
        if found.startswith(VALUE):
            self.counts.add("hits")
            return json.loads(found[1:])
        # Somebody else's lease or mark.
        return self._from_database(id)

    def _fetch(self, id, key):
        lease = LEASE + token()
        if not self.cache.add(key, lease, self.lease_seconds):
            return self._from_database(id)
        row = self._from_database(id)
        try:
            found, unique = self.cache.gets(key)
            kept = found == lease and self._store(key, row, unique)
            self.counts.add("fills" if kept else "dropped_fills")
        except CacheAway:
            self.counts.add("away")
        return row

    def _from_database(self, id):
        self.counts.add("database_reads")
        return self.database.read(id)

    def _store(self, key, row, unique):
        return self.cache.cas(key, VALUE + json.dumps(row).encode(), unique, self.value_seconds)

    def update(self, id, name, about):
        """Writes a profile and returns it with its new version.

        Raises CacheAway where nothing was changed, and NotConfirmed.
        """
        key, mark = cache_key(id), MARK + token()
        with self.database.update(id, name, about) as row:
            try:
                self.cache.set(key, mark, self.mark_seconds)
            except CacheAway:
                self.counts.add("away")
                if self.insist:
                    raise
        self._confirm(key, mark, row)
        self.counts.add("updates")
        return row

    def _confirm(self, key, mark, row):
        deadline = time.monotonic() + CONFIRM_SECONDS
        while True:
            away = None
            try:
                if self._settle(key, mark, row):
                    return
            except CacheAway as error:
                self.counts.add("away")
                if not self.insist:
                    return
                away = error
            if time.monotonic() >= deadline:
                raise NotConfirmed(f"{key} is saved, but the cache was not told") from away
            if away:
                time.sleep(CONFIRM_REST)

    def _settle(self, key, mark, row):
        """One try to turn the mark into the value; whether nothing old can be there any more."""
        found, unique = self.cache.gets(key)
        if found == mark:
            return self._store(key, row, unique)
        if found is not None and (found.startswith(MARK) or version(found) >= row["version"]):
            # A later writer has the key, or had it.
            return True
        # The mark was lost. In place of what came after it goes another one, for a moment: a delete
        # might hit the mark of a writer who came in between, and `add` and `cas` cannot. Where
        # nothing was found this is needed all the same: a node that cannot reach the owner answers
        # a get as a miss, but a write with an error.
        self.counts.add("lost_marks")
        if found is None:
            return self.cache.add(key, MARK + token(), MOMENT)
        return self.cache.cas(key, MARK + token(), unique, MOMENT)


def version(found):
    """The version of a value in the cache: 0 for a lease, and where there is no profile."""
    row = json.loads(found[1:]) if found.startswith(VALUE) else None
    return row["version"] if row else 0


def cache_key(id):
    """Where a profile is cached."""
    return f"profile:{id}"


def token():
    """What nobody else has: to tell one's own lease or mark from another."""
    return secrets.token_hex(8).encode()


def main(arguments=None):
    """Updates and reads one profile from many threads, and says what came of it."""
    from . import program

    options = program.parse(
        arguments,
        __package__ + ".write_through",
        "Threads update and read one profile. Every read is compared with what was acknowledged "
        "before it began; the last line says how many were older.",
        threads=(8, "how many threads, each of which updates and reads"),
        updates=(50, "how many updates each thread makes"),
    )
    with program.database(options.database) as database:
        profiles = WriteThrough(program.cache(options), database)
        lock, newest, stale = threading.Lock(), 0, 0

        def work(number):
            nonlocal newest, stale
            for turn in range(options.updates):
                row = profiles.update(options.key, f"thread {number}", f"turn {turn}")
                with lock:
                    newest = floor = max(newest, row["version"])
                if profiles.read(options.key)["version"] < floor:
                    with lock:
                        stale += 1

        program.run_threads(options.threads, work)
        print(program.words(profiles.counts.all()))
        print(f"{stale} stale reads")
        return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
