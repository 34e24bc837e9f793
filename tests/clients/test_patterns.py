"""The promises of the three patterns, each at the moment that would break it.

Moments are held open and not waited for: a load or a commit goes on when the test says so. What is
expected of time is only that leases and marks expire.
"""

import contextlib
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import environment
from ring_fleet import Fleet, needed, wait_until
from web_servers import HERE

try:
    from pattern_callers import HeldDatabase, cache_of
    from pattern_callers import die_in_update, die_with_lease, die_with_queue, stampede
    from patterns.cache_aside import CacheAside
    from patterns.client import CacheAway
    from patterns.database import Sqlite
    from patterns.write_behind import QueueFull, WriteBehind
    from patterns.write_through import WriteThrough, cache_key
except ImportError:
    # `needed` says what is missing.
    pass

# A process with threads must not be forked.
SPAWN = multiprocessing.get_context("spawn")
# Longer than anything takes that does not hang, in seconds.
PATIENCE = 60.0

PROGRAMS = {
    "cache_aside": (["--rows", "200000"], "20 callers, 1 asked the database"),
    "write_through": (["--updates", "20"], "0 stale reads"),
    "write_behind": (["--flush-seconds", "30"], "4000 writes became 20 rows in 1 transactions"),
}


@pytest.fixture(autouse=True)
def parts():
    needed()


@pytest.fixture(params=["pylibmc", "uhashring"])
def kind(request):
    return request.param


@pytest.fixture
def cache(kind, node):
    """A cache of one node."""
    return cache_of(kind, [node.spelled])


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "database")


@pytest.fixture
def aside():
    """A thread for what is held up; it ends with the test."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


@pytest.fixture
def held(aside, path):
    """Databases to be held up, all of one file. None outlasts the test, however it ends."""
    made = []

    def make():
        made.append(HeldDatabase(path))
        return made[-1]

    yield make
    for database in made:
        database.go_on.set()


def run_process(target, *arguments):
    """Runs a function in a process of its own until that has died of SIGKILL."""
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL, process.exitcode


def run_program(name, *options):
    done = subprocess.run(
        [sys.executable, "-B", "-m", f"patterns.{name}", *options],
        cwd=HERE,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_of_the_program(name):
    assert "--node HOST:PORT" in "\n".join(run_program(name, "--help"))


@pytest.mark.parametrize("client", ["pylibmc", "uhashring", "plain"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_on_a_ring(name, client):
    options, last = PROGRAMS[name]
    with Fleet() as fleet:
        nodes = fleet.begin("abc")
        place = ["--node", nodes[0].spelled] if client == "plain" else ["--ring", fleet.file.path]
        assert run_program(name, *place, "--client", client, *options)[-1] == last


# Cache-aside.


def test_a_stampede_from_several_processes_asks_the_database_once(kind, node):
    processes, callers = 3, 8
    everybody = SPAWN.Barrier(processes * callers)
    refused, loads, got = SPAWN.Value("i", 0), SPAWN.Value("i", 0), SPAWN.SimpleQueue()
    arguments = (kind, [node.spelled], callers, everybody, refused, loads, got)
    running = [SPAWN.Process(target=stampede, args=arguments) for _ in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join(PATIENCE)
        process.kill()
    assert [process.exitcode for process in running] == [0] * processes
    assert [got.get() for _ in range(processes * callers)] == ["the value"] * processes * callers
    assert loads.value == 1


def test_the_lease_of_one_who_died_goes_to_another(kind, node, cache):
    run_process(die_with_lease, kind, [node.spelled])
    survivors = CacheAside(cache, lambda _: "the value", patience=PATIENCE)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(survivors.get, ["wanted"] * 8)) == ["the value"] * 8
    assert survivors.counts["loads"] == 1
    assert survivors.counts["waits"] > 0


def test_others_get_the_older_value_meanwhile(cache, aside):
    values, go_on, began = ["first", "second"], threading.Event(), threading.Event()

    def load(_):
        if len(values) == 1:
            began.set()
            assert go_on.wait(PATIENCE)
        return values.pop(0)

    reports = CacheAside(cache, load, fresh_seconds=0, lease_seconds=60)
    assert reports.get("report") == "first"
    owner = aside(reports.get, "report")
    assert began.wait(PATIENCE)
    assert [reports.get("report") for _ in range(10)] == ["first"] * 10
    go_on.set()
    assert owner.result(PATIENCE) == "second"
    reports.fresh_seconds = 60
    assert reports.counts["older"] == 10 and reports.counts["loads"] == 2
    found, _ = cache.gets("report")
    assert found.endswith(b'"second"')


def test_what_was_fetched_before_a_change_is_not_stored_after_it(cache, aside, held):
    database = held()
    profiles = CacheAside(cache, database.read)
    with database.update("1", "old", ""):
        pass
    database.hold_at("read")
    late = aside(profiles.get, "1")
    assert database.reached.wait(PATIENCE)
    with database.update("1", "new", ""):
        pass
    profiles.invalidate("1")
    database.go_on.set()
    assert late.result(PATIENCE)["name"] == "old"
    assert profiles.counts["fills"] == 0
    assert profiles.get("1")["name"] == "new"
    assert profiles.get("1")["name"] == "new"
    assert profiles.counts["hits"] == 1


def test_cache_aside_goes_on_when_a_node_is_killed(kind, path):
    with three_nodes() as fleet:
        lost, kept = keys_of(fleet, "b")
        profiles = CacheAside(fleet_cache(fleet, kind), lambda key: f"row {key}")
        for turn in range(5):
            if turn == 2:
                fleet.nodes["b"].kill()
            before = profiles.counts["loads"]
            assert [profiles.get(key) for key in lost + kept] == [f"row {k}" for k in lost + kept]
            # Once it is away, its keys come from the database, and no others.
            fetched = profiles.counts["loads"] - before
            assert fetched == (len(lost + kept) if turn == 0 else len(lost) if turn > 1 else 0)
        profiles.invalidate(kept[0])
        with pytest.raises(CacheAway):
            profiles.invalidate(lost[0])


# Write-through.


def test_a_fill_that_comes_after_an_update_is_dropped(cache, aside, held):
    database = held()
    profiles = WriteThrough(cache, database)
    with database.update("1", "old", ""):
        pass
    database.hold_at("read")
    late = aside(profiles.read, "1")
    assert database.reached.wait(PATIENCE)
    profiles.update("1", "new", "")
    database.go_on.set()
    assert late.result(PATIENCE)["name"] == "old"
    assert profiles.counts["dropped_fills"] == 1
    assert profiles.read("1")["name"] == "new"
    assert profiles.counts["hits"] == 1


@pytest.mark.parametrize("place", ["commit", "committed"])
def test_nobody_reads_from_the_cache_during_an_update(cache, aside, held, place):
    database = held()
    profiles = WriteThrough(cache, database)
    profiles.update("1", "old", "")
    assert profiles.read("1")["name"] == "old"
    database.hold_at(place)
    writer = aside(profiles.update, "1", "new", "")
    assert database.reached.wait(PATIENCE)
    shown = {profiles.read("1")["name"] for _ in range(5)}
    assert shown == {"old" if place == "commit" else "new"}
    assert profiles.counts["hits"] == 1 and profiles.counts["fills"] == 0
    database.go_on.set()
    writer.result(PATIENCE)
    assert profiles.read("1")["name"] == "new"
    assert profiles.counts["hits"] == 2


def test_the_later_of_two_writers_stays(cache, aside, held):
    slow, fast = held(), held()
    first, second = WriteThrough(cache, slow), WriteThrough(cache, fast)
    slow.hold_at("committed")
    one = aside(first.update, "1", "first", "")
    assert slow.reached.wait(PATIENCE)
    # The other one commits and finishes before the first has told the cache.
    second.update("1", "second", "")
    slow.go_on.set()
    assert one.result(PATIENCE)["version"] == 1
    assert [it.read("1")["name"] for it in (first, second)] == ["second"] * 2
    assert first.counts["hits"] == second.counts["hits"] == 1
    assert first.counts["lost_marks"] == 0

    # And here the first comes to tell the cache while the second has not committed yet.
    slow.hold_at("committed")
    one = aside(first.update, "1", "third", "")
    assert slow.reached.wait(PATIENCE)
    fast.hold_at("commit")
    two = aside(second.update, "1", "fourth", "")
    assert fast.reached.wait(PATIENCE)
    slow.go_on.set()
    one.result(PATIENCE)
    assert first.read("1")["name"] == "third"
    assert not cache.gets(cache_key("1"))[0].startswith(b"V")
    fast.go_on.set()
    assert two.result(PATIENCE)["version"] == 4
    assert first.read("1")["name"] == "fourth"


def test_a_lost_mark_leaves_nothing_old(cache, aside, held):
    database = held()
    profiles = WriteThrough(cache, database)
    profiles.update("1", "old", "")
    database.hold_at("commit")
    writer = aside(profiles.update, "1", "new", "")
    assert database.reached.wait(PATIENCE)
    cache.delete(cache_key("1"))
    # Without the mark a reader fills the cache with the row that is about to be old.
    assert profiles.read("1")["name"] == "old"
    assert profiles.counts["fills"] == 1
    database.go_on.set()
    writer.result(PATIENCE)
    assert profiles.counts["lost_marks"] == 1
    assert profiles.read("1")["name"] == "new"


@pytest.mark.parametrize("place", ["commit", "committed"])
def test_a_writer_that_dies_leaves_nothing_old(kind, node, cache, path, place):
    profiles = WriteThrough(cache, Sqlite(path))
    profiles.update("1", "old", "")
    run_process(die_in_update, kind, [node.spelled], path, place)
    now = "old" if place == "commit" else "new"
    assert profiles.read("1")["name"] == now

    def from_cache():
        hits = profiles.counts["hits"]
        assert profiles.read("1")["name"] == now
        return profiles.counts["hits"] > hits

    # When its mark has expired, the cache is used again.
    wait_until(from_cache, "the mark expires")


def test_an_update_that_fails_changes_nothing(cache, path):
    profiles = WriteThrough(cache, Sqlite(path))
    profiles.update("1", "old", "")
    with pytest.raises(sqlite3.IntegrityError):
        profiles.update("1", None, "")
    assert profiles.read("1")["name"] == "old"


def test_write_through_when_a_node_is_killed(kind, path):
    with three_nodes() as fleet:
        lost, kept = keys_of(fleet, "b", cache_key)
        database = Sqlite(path)
        profiles = WriteThrough(fleet_cache(fleet, kind), database)
        for id in lost + kept:
            profiles.update(id, "old", "")
        fleet.nodes["b"].kill()
        for id in kept:
            assert profiles.update(id, "new", "")["version"] == 2
            assert profiles.read(id)["name"] == "new"
        assert profiles.counts["hits"] == len(kept)
        for id in lost:
            assert profiles.read(id)["name"] == "old"
            with pytest.raises(CacheAway):
                profiles.update(id, "new", "")
            assert database.read(id)["name"] == "old"
        profiles.insist = False
        for id in lost:
            assert profiles.update(id, "newer", "")["version"] == 2
            assert profiles.read(id)["name"] == "newer"


# Write-behind.


def stored(database, key):
    row = database.row("SELECT value FROM latest WHERE key = %s", key)
    return row and row[0]


def test_writes_are_seen_at_once_and_stored_in_batches(kind, node, cache, path):
    database = Sqlite(path)
    behind = WriteBehind(cache, database, batch=10, flush_seconds=600)
    elsewhere = WriteBehind(cache_of(kind, [node.spelled]), Sqlite(path))
    for turn in range(100):
        behind.put(f"key:{turn % 5}", turn)
    assert [elsewhere.get(f"key:{n}") for n in range(5)] == list(range(95, 100))
    assert [stored(database, f"key:{n}") for n in range(5)] == [None] * 5
    behind.close()
    assert [stored(database, f"key:{n}") for n in range(5)] == [str(n) for n in range(95, 100)]
    assert behind.counts["rows"] == 5 and behind.counts["transactions"] == 1
    with pytest.raises(QueueFull):
        behind.put("key:0", 0)
    elsewhere.close()


def test_the_queue_is_bounded_while_the_database_is_held_up(cache, path):
    database = Sqlite(path)
    behind = WriteBehind(cache, database, capacity=8, batch=4, flush_seconds=0.01, patience=0.1)
    with database.update("another", "transaction", "has the lock"):
        for n in range(8):
            behind.put(f"key:{n}", "first")
        with pytest.raises(QueueFull):
            behind.put("key:8", "first")
        wait_until(lambda: behind._flushing, "a transaction waits for the lock")
        # What waits already takes no more room.
        behind.put("key:7", "second")
        assert behind.get("key:7") == "second" and behind.get("key:8") is None
    behind.patience = PATIENCE
    behind.put("key:8", "second")
    behind.close()
    assert [stored(database, f"key:{n}") for n in (0, 7, 8)] == ['"first"', '"second"', '"second"']


def test_a_process_that_dies_loses_its_queue(kind, node, cache, path):
    first = WriteBehind(cache, Sqlite(path))
    first.put("key:0", "older")
    first.close()
    run_process(die_with_queue, kind, [node.spelled], path, 20)
    database = Sqlite(path)
    readers = WriteBehind(cache, database)
    # The cache knows what the database will never hear of.
    assert [readers.get(f"key:{n}") for n in range(20)] == list(range(20))
    assert [stored(database, f"key:{n}") for n in range(20)] == ['"older"'] + [None] * 19
    cache.delete("key:0")
    assert readers.get("key:0") == "older"
    readers.close()


@pytest.mark.parametrize("first_to_flush", ["earlier", "later"])
def test_the_later_write_wins_whoever_flushes_first(cache, path, first_to_flush):
    database = Sqlite(path)
    earlier = WriteBehind(cache, database, flush_seconds=600)
    later = WriteBehind(cache, database, flush_seconds=600)
    earlier.put("key", "earlier")
    later.put("key", "later")
    order = (earlier, later) if first_to_flush == "earlier" else (later, earlier)
    for behind in order:
        behind.close()
    assert stored(database, "key") == '"later"'
    assert earlier.get("key") == later.get("key") == "later"


def test_an_older_row_in_the_cache_is_replaced_by_the_flush(cache, path):
    first = WriteBehind(cache, Sqlite(path))
    first.put("key", "older")
    first.close()
    second = WriteBehind(cache, Sqlite(path), flush_seconds=600)
    second.put("key", "newer")
    cache.delete("key")
    elsewhere = WriteBehind(cache, Sqlite(path))
    assert elsewhere.get("key") == "older"
    assert second.get("key") == "newer"
    second.close()
    assert elsewhere.get("key") == "newer"
    elsewhere.close()


def test_write_behind_goes_on_when_a_node_is_killed(kind, path):
    with three_nodes() as fleet:
        lost, kept = keys_of(fleet, "b")
        behind = WriteBehind(fleet_cache(fleet, kind), Sqlite(path), flush_seconds=600)
        for turn in range(4):
            if turn == 2:
                fleet.nodes["b"].kill()
            for key in lost + kept:
                behind.put(key, turn)
                assert behind.get(key) == turn
        behind.close()
        assert all(behind.get(key) == 3 for key in lost + kept)
        assert behind.counts["database_reads"] == len(lost)


@contextlib.contextmanager
def three_nodes():
    with Fleet() as fleet:
        fleet.begin("abc")
        yield fleet


def fleet_cache(fleet, kind):
    return cache_of(kind, [node.spelled for node in fleet.nodes.values()])


def keys_of(fleet, name, named=str):
    """Some keys of a node, and some of the others, as `named` calls them in the cache."""
    any_node = fleet.nodes["a"]
    lost, kept = [], []
    for number in range(60):
        owner = any_node.ask(f"ring owner {named(str(number))}").split()[1]
        (lost if owner == name else kept).append(str(number))
    assert lost and kept
    return lost[:5], kept[:5]
