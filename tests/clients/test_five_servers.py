"""The acceptance test: one notebook, five servers.

Five web servers, each a process, share a database and a ring of three nodes. A profile is updated
on one, and as soon as that is acknowledged the other four are asked for it at once. Some profiles
are updated by everybody, on different servers at the same time. Meanwhile readers ask all five over
and over, so that their reads meet the updates at every point. Values are kept for two seconds, so
that there are always some to be fetched again.
"""

import contextlib
import functools
import threading

import pytest

import web_servers
from postgresql import cluster, postgresql  # noqa: F401
from ring_fleet import Fleet, needed, wait_until
from ring_load import Load
from web_servers import WebServers, updates_wanted

VALUE_SECONDS = "2"

# No run takes longer that does not hang, in seconds.
LONGEST = 600.0

# So many that each node surely has some.
PROFILES = [f"p{number}" for number in range(60)]
# Every third update is of one of these, whoever makes it.
CONTESTED = PROFILES[:2]
# Threads that update, each some profiles of its own besides, and each at another server every time.
UPDATERS = 4
READERS = 5

CLIENTS = {
    "pylibmc": ["pylibmc"] * 5,
    "uhashring": ["uhashring"] * 5,
    "mixed": ["pylibmc", "uhashring", "pylibmc", "uhashring", "pylibmc"],
    "plain": ["plain"] * 5,
}


@pytest.fixture(autouse=True)
def parts():
    needed()
    web_servers.needed()


def cache_options(fleet, kinds):
    """The options of each server: plain clients have one node each, and not the same one."""
    nodes = list(fleet.nodes.values())
    for number, kind in enumerate(kinds):
        if kind == "plain":
            place = ["--node", nodes[number % len(nodes)].spelled]
        else:
            place = ["--ring", str(fleet.file.path)]
        yield ["--client", kind, *place, "--timeout", "10"]


class Ledger:
    """What was acknowledged of each profile, what anybody was shown, and whether a read fits.

    The floor of a profile is the newest version that was acknowledged, or shown to any reader on
    any server. A read that began afterwards must give it or a later one. That includes that what
    one reader sees never goes back. And a version has one content, whoever shows it.
    """

    def __init__(self, updates=0):
        self.lock = threading.Lock()
        # How many updates are still to be begun, by whoever comes first.
        self.left = updates
        self.floors = dict.fromkeys(PROFILES, 0)
        self.contents = {}
        # The profile that each updater is at.
        self.hot = {}
        self.asked = {"four": 0, "background": 0}

    def claim(self):
        """Whether there is another update to make."""
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def _take(self, server, row):
        id, version = row["id"], row["version"]
        with self.lock:
            known = self.contents.setdefault((id, version), row)
            self.floors[id] = max(self.floors[id], version)
        assert row == known, f"{server.name} showed {row}, and somebody else {known}"

    def update(self, ask, server, id, name):
        """Updates a profile and takes the acknowledgement; returns the version."""
        floor = self.floors[id]
        wanted = {"name": name, "about": f"{name}. " * 20}
        status, row = ask("PUT", f"/profiles/{id}", wanted)
        assert status == 200, f"{server.name} gave {status} for an update of {id}: {row}"
        assert row == {"id": id, "version": row["version"], **wanted}, f"not {wanted}: {row}"
        assert row["version"] > floor, f"{row['version']} comes after {floor}"
        self._take(server, row)
        return row["version"]

    def check(self, server, id, floor, answer, who):
        """Takes an answer to a read that began when the floor was `floor`."""
        status, row = answer
        assert status == 200, f"{server.name} gave {status} for {id}: {row}"
        assert row["id"] == id, f"{server.name} was asked for {id}: {row}"
        version = row["version"]
        assert version >= floor, f"STALE: {server.name} showed {id} {version}, {floor} came before"
        self._take(server, row)
        with self.lock:
            self.asked[who] += 1


class Updates:
    """A thread that makes updates at one server after the other, and asks the others each time."""

    def __init__(self, web, ledger, name, profiles):
        self.servers, self.ledger, self.name = web.servers, ledger, name
        self.profiles, self.turns = profiles, 0
        self.connections = [server.connection() for server in self.servers]

    def turn(self, *_):
        if not self.ledger.claim():
            return
        of = CONTESTED if self.turns % 3 == 0 else self.profiles
        id = of[self.turns // 3 % len(of)]
        # Servers and profiles meet in all ways, and the updaters are at different servers.
        writer = (self.turns + self.turns // len(of) + int(self.name)) % len(self.servers)
        self.ledger.hot[self.name] = id
        title = f"{id}, update {self.turns} of updater {self.name}"
        version = self.ledger.update(self.connections[writer].ask, self.servers[writer], id, title)
        others = [number for number in range(len(self.servers)) if number != writer]
        for number in others:
            self.connections[number].send("GET", f"/profiles/{id}")
        for number in others:
            answer = self.connections[number].receive()
            self.ledger.check(self.servers[number], id, version, answer, "four")
        self.turns += 1

    def close(self):
        for connection in self.connections:
            connection.http.close()


def read_any(server, ledger):
    """A turn of a background reader: most often at what is just being updated."""

    def turn(connection, chance):
        hot = list(ledger.hot.values())
        id = chance.choice(hot if hot and chance.random() < 0.7 else PROFILES)
        floor = ledger.floors[id]
        ledger.check(server, id, floor, connection.ask("GET", f"/profiles/{id}"), "background")

    return turn


class Closing:
    """A connection as `Load` wants it."""

    def __init__(self, server):
        self.connection = server.connection()
        self.ask = self.connection.ask

    def close(self):
        self.connection.http.close()


def run(web, number):
    """Makes the updates under the eyes of the readers; returns the ledger."""
    ledger = Ledger(number)
    first = web.servers[0]
    with first.connection() as connection:
        for id in PROFILES:
            # That it is not there is stored, and is as wrong afterwards as any older version.
            assert connection.ask("GET", f"/profiles/{id}")[0] == 404
            ledger.update(connection.ask, first, id, "the first")
    with Load(longest=LONGEST) as load:
        for n in range(UPDATERS):
            updates = Updates(web, ledger, str(n), PROFILES[len(CONTESTED) + n :: UPDATERS])
            load.run(f"updater {n}", updates, updates.turn)
        for n in range(READERS):
            server = web.servers[n % len(web.servers)]
            load.run(f"reader {n}", Closing(server), read_any(server, ledger))

        def done():
            load.check()
            return ledger.asked["four"] == 4 * number

        wait_until(done, "all updates", LONGEST)
    return ledger


def node_stats(node):
    """What a node has counted."""
    with contextlib.closing(node.client()) as client:
        return {name.decode(): value for name, value in client.stats().items()}


def judge(fleet, web, ledger, kinds, title):
    """Whether the cache did its part: a test that passes without it would prove nothing."""
    counts = web.counts()
    nodes = list(fleet.nodes.values())
    gets = [int(node_stats(node)["cmd_get"]) for node in nodes]
    foreign = [node.foreign() for node in nodes]
    forwarded = [it["foreign_gets"] + it["foreign_requests"] for it in foreign]
    print(
        f"\n{title}: {counts['updates']} updates, none stale of {ledger.asked['four']} reads "
        f"on the other four and {ledger.asked['background']} in the background; "
        f"{counts['hits'] / counts['reads']:.1%} from the cache, "
        f"{counts['database_reads']} database reads, {counts['fills']} fills, "
        f"{counts['dropped_fills']} dropped; gets by node {gets}, forwarded by node {forwarded}",
        flush=True,
    )
    assert counts["reads"] == len(PROFILES) + sum(ledger.asked.values())
    assert counts["hits"] > 0.6 * counts["reads"], counts
    assert counts["fills"] > 0, counts
    assert counts["away"] == 0, counts
    assert min(gets) > 0, gets
    if "plain" in kinds:
        assert min(forwarded) > 0, foreign
    else:
        assert not any(forwarded), foreign


@pytest.mark.parametrize("kinds", CLIENTS.values(), ids=CLIENTS)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_stale_read(database, kinds, request):
    number = updates_wanted()
    address = request.getfixturevalue("postgresql") if database == "postgresql" else None
    title = request.node.callspec.id
    with Fleet() as fleet:
        fleet.begin("abc")
        options = cache_options(fleet, kinds)
        with WebServers(options, address, ["--value-seconds", VALUE_SECONDS]) as web:
            ledger = run(web, number)
            assert web.counts()["updates"] == number + len(PROFILES)
            assert ledger.asked["four"] == 4 * number
            judge(fleet, web, ledger, kinds, title)


@contextlib.contextmanager
def asking(web):
    """A way to ask each server."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connection()).ask for server in web.servers]


def test_nodes_that_do_not_forward_disagree():
    """What the test above would see if the three nodes were three caches."""
    with Fleet("--foreign-keys", "serve") as fleet:
        nodes = fleet.begin("abc")
        with WebServers(cache_options(fleet, ["plain"] * 3)) as web, asking(web) as asks:
            ledger = Ledger()
            for id in PROFILES:
                ledger.update(asks[0], web.servers[0], id, "the first")
                for ask in asks:
                    assert ask("GET", f"/profiles/{id}")[1]["version"] == 1
                ledger.update(asks[0], web.servers[0], id, "the second")
                shown = [ask("GET", f"/profiles/{id}")[1]["version"] for ask in asks]
                assert shown == [2, 1, 1], f"{id} {shown}"
        assert not any(node.foreign()["foreign_gets"] for node in nodes)


def test_servers_go_on_without_a_node():
    """Its profiles are read from the database and cannot be changed; all others are as ever."""
    with Fleet() as fleet:
        nodes = fleet.begin("abc")
        lost = fleet.nodes["b"]
        with WebServers(cache_options(fleet, CLIENTS["mixed"])) as web, asking(web) as asks:
            owners = {id: nodes[0].ask(f"ring owner profile:{id}").split()[1] for id in PROFILES}
            theirs = [id for id in PROFILES if owners[id] == "b"][:5]
            others = [id for id in PROFILES if owners[id] != "b"][:5]

            def shown(id):
                answers = [ask("GET", f"/profiles/{id}") for ask in asks]
                assert [status for status, _ in answers] == [200] * 5, answers
                return {row["about"] for _, row in answers}

            def put(turn, id, about):
                ask = asks[turn % len(asks)]
                return ask("PUT", f"/profiles/{id}", {"name": id, "about": about})

            for turn, id in enumerate(theirs + others):
                assert put(turn, id, "old")[0] == 200 and shown(id) == {"old"}
            lost.kill()
            for turn, id in enumerate(others):
                assert put(turn, id, "new")[0] == 200 and shown(id) == {"new"}
            for turn, id in enumerate(theirs):
                status, answer = put(turn, id, "new")
                assert (status, answer["saved"]) == (503, False), answer
                assert shown(id) == {"old"}
            fleet._start("b", lost.port)
            for turn, id in enumerate(theirs):
                again = functools.partial(put, turn, id, "new")
                wait_until(lambda put=again: put()[0] == 200, f"{id} can be changed again")
                assert shown(id) == {"new"}


def test_the_application_says_what_is_wrong():
    with Fleet() as fleet:
        fleet.begin("abc")
        with WebServers(cache_options(fleet, ["plain"])) as web, asking(web) as (ask,):
            good = {"name": "name", "about": "about"}
            for path, body, wanted in [
                ("/profiles/1", None, 400),
                ("/profiles/1", ["name", "about"], 400),
                ("/profiles/1", {"name": "name"}, 400),
                ("/profiles/1", {**good, "version": 7}, 400),
                ("/profiles/1", {**good, "name": ""}, 400),
                ("/profiles/1", {**good, "name": 1}, 400),
                ("/profiles/1", {**good, "name": "n" * 201}, 400),
                ("/profiles/1%20", good, 400),
                ("/profiles/" + "1" * 101, good, 400),
            ]:
                status, answer = ask("PUT", path, body)
                assert status == wanted and answer["error"], (path, body, status, answer)
            # That there is no profile is cached as well, and a new one is seen at once.
            assert [ask("GET", "/profiles/1")[0] for _ in range(3)] == [404] * 3
            assert web.counts()["hits"] == 2
            assert ask("PUT", "/profiles/1", good) == (200, {"id": "1", "version": 1, **good})
            assert ask("GET", "/profiles/1") == (200, {"id": "1", "version": 1, **good})
