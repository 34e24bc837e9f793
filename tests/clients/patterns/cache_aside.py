"""Cache-aside, with a lease that stops a stampede.

A reader asks the cache; where it has nothing, the reader asks the database and stores the answer.
A writer changes the database and then deletes the key. Two things go wrong with that, and one
lease stops both: when a key that everybody wants is gone, everybody asks the database at once; and
a reader who took the old row just before a change stores it just after the delete.

A key in the cache holds one of three things, told apart by the first byte:

    V + time + JSON           a value, and until when it is fresh (Unix time)
    L + token                 a lease: somebody is fetching the row
    R + token + JSON          the same, with the older value

Who finds nothing puts a lease there by `add`; of many at once one succeeds. That one asks the
database, looks whether its lease is still there (`gets`), and turns it into the value (`cas`). The
others wait for that, or take the older value where there is one: a value that is no longer fresh
is turned into a lease that still shows it. `invalidate` deletes all three, so a fetch that began
before a change is not stored after it.

- *The owner of a lease dies.* The lease expires after `lease_seconds`, and one of those who wait
  takes the next one. A fetch that takes longer than that is answered, not stored.
- *A fetch fails.* Its caller gets the error. The lease stays until it expires, so that a database
  in trouble is asked by one caller in `lease_seconds`, and by those whose patience has ended.
- *The cache is away.* Everybody asks the database: the answers are right, and nothing holds a
  stampede back. `invalidate` raises CacheAway: what was changed may then be shown in its old form,
  for at most `keep_seconds`, if the node was only cut off and comes back. Call it again.
- *An entry is lost* (evicted, its node restarted, the key moved to another node). It is fetched
  again.

Not promised: between a commit and the end of `invalidate` readers get the old value, and one who
had to ask the database may see the new one before others see the old one. `write_through` keeps
even that out. A writer that dies between commit and `invalidate` leaves the old value, for
`keep_seconds`.
"""

import json
import random
import secrets
import sys
import time

from .client import CacheAway
from .counts import Counts

VALUE, LEASE, REFRESH = b"V", b"L", b"R"
TOKEN_BYTES = 8

# Those who wait for a lease look again after this long at first, then ever more rarely, in seconds.
SHORTEST_WAIT = 0.005
LONGEST_WAIT = 0.1


class CacheAside:
    """What `load(key)` gives, a value of JSON, through a cache.

    A value is fresh for `fresh_seconds` and kept for `keep_seconds`; in between it is shown to
    those who come while one fetches it anew. `lease_seconds` is how long a fetch may take. Who has
    waited for `patience` seconds asks the database as well.
    """

    def __init__(
        self, cache, load, fresh_seconds=60, keep_seconds=300, lease_seconds=5, patience=10.0
    ):
        self.cache, self.load = cache, load
        self.fresh_seconds, self.keep_seconds = fresh_seconds, keep_seconds
        self.lease_seconds, self.patience = lease_seconds, patience
        self.counts = Counts("reads", "hits", "older", "waits", "loads", "fills", "away")

    def get(self, key):
        """The value. Errors of `load` are the caller's."""
        self.counts.add("reads")
        deadline = time.monotonic() + self.patience
        pause = SHORTEST_WAIT
        try:
            while time.monotonic() < deadline:
                found, unique = self.cache.gets(key)
                if found is None:
                    lease = LEASE + token()
                    if self.cache.add(key, lease, self.lease_seconds):
                        return self._fetch(key, lease)
                elif found.startswith(VALUE):
                    return self._fresh(key, found, unique)
                elif found.startswith(REFRESH):
                    self.counts.add("older")
                    return json.loads(found[1 + TOKEN_BYTES :])
                else:
                    self.counts.add("waits")
                    # Not all at the same moment.
                    time.sleep(pause * random.uniform(0.5, 1))
                    pause = min(2 * pause, LONGEST_WAIT)
        except CacheAway:
            self.counts.add("away")
        return self._load(key)

    def _fresh(self, key, found, unique):
        """The value that was found; fetched anew first where it is this caller's turn."""
        until, _, value = found[1:].partition(b" ")
        if time.time() < float(until):
            self.counts.add("hits")
            return json.loads(value)
        lease = REFRESH + token() + value
        if self.cache.cas(key, lease, unique, self.lease_seconds):
            return self._fetch(key, lease)
        self.counts.add("older")
        return json.loads(value)

    def _fetch(self, key, lease):
        """Loads, and stores if the lease is still there by then."""
        value = self._load(key)
        try:
            found, unique = self.cache.gets(key)
            if found == lease:
                until = time.time() + self.fresh_seconds
                entry = VALUE + f"{until} {json.dumps(value)}".encode()
                if self.cache.cas(key, entry, unique, self.keep_seconds):
                    self.counts.add("fills")
        except CacheAway:
            self.counts.add("away")
        return value

    def _load(self, key):
        self.counts.add("loads")
        return self.load(key)

    def invalidate(self, key):
        """To be called after a change was committed. Raises CacheAway."""
        self.cache.delete(key)


def token():
    """What nobody else has: to tell one's own lease from another."""
    return secrets.token_hex(TOKEN_BYTES // 2).encode()


# A report that takes the database a while: it counts up to a number.
REPORT = """
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < %s)
    SELECT max(n) FROM n
"""


def main(arguments=None):
    """Many callers want one slow report at once; says how often it was made."""
    from . import program

    options = program.parse(
        arguments,
        __package__ + ".cache_aside",
        "Threads want one report at the same time, which takes the database a while. The last line "
        "says how often the database was asked; run it several times at once to see them share.",
        callers=(20, "how many threads want it"),
        rows=(1_000_000, "how large the report is"),
    )
    with program.database(options.database) as database:
        reports = CacheAside(program.cache(options), lambda _: database.value(REPORT, options.rows))
        key = f"report:{options.key}"

        def want(_):
            got = reports.get(key)
            if got != options.rows:
                raise RuntimeError(f"the report says {got}, not {options.rows}")

        program.run_threads(options.callers, want)
        print(program.words(reports.counts.all()))
        print(f"{options.callers} callers, {reports.counts['loads']} asked the database")
    return 0


if __name__ == "__main__":
    sys.exit(main())
