"""The page of the admin port in a real browser."""

import json
import socketserver
import threading
import urllib.parse
import urllib.request

import pytest

import browser
import ring_fleet
from conftest import PATIENCE, Node
from dashboard import HOT, TRAP, admin_of, loaded_fleet
from ring_fleet import Fleet, wait_until


@pytest.fixture(autouse=True)
def needed():
    ring_fleet.needed()
    browser.needed()


def api(url):
    with urllib.request.urlopen(url + "api/ring", timeout=PATIENCE) as answer:
        return json.load(answer)


def rows(driver):
    """The table of nodes: for each name, its cells by their titles."""
    return driver.execute_script(
        """return Object.fromEntries([...document.querySelectorAll('#nodes tbody tr')].map(row => [
            row.querySelector('strong').textContent,
            Object.fromEntries([...row.cells].map(cell => [cell.dataset.label, cell.innerText])),
        ]))"""
    )


def text(driver, selector):
    """What is written in all elements that a selector finds."""
    script = "return [...document.querySelectorAll(arguments[0])].map(it => it.textContent)"
    return driver.execute_script(script, selector)


class Straggler:
    """Answers at a node's address as that node would if it had stayed with an older ring, or if it had
    `more` to say in `stats ring`."""

    def __init__(self, node, version, digest, more=None):
        stamp = f"{version}.{digest}"
        greeting = f"PEER {node.name} {1:016x} {stamp} {stamp} {stamp}\r\n"
        ring = {"ring_node": node.name, "ring_version": version, "ring_digest": digest}
        answers = {
            "stats": {"pid": "1", "uptime": "5", "ringbinder_version": "0.0.1"},
            "stats ring": {**ring, "ring_settled": "yes", **(more or {})},
        }

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    line = line.decode().strip()
                    if line.startswith("ring greet"):
                        self.wfile.write(greeting.encode())
                        continue
                    told = answers.get(line)
                    lines = [f"STAT {name} {value}\r\n" for name, value in (told or {}).items()]
                    end = "ERROR\r\n" if told is None else "END\r\n"
                    self.wfile.write("".join([*lines, end]).encode())

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(node.address, Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def check_clean(driver, url):
    """Nothing went wrong in the browser, and nobody but the node was asked for anything."""
    assert browser.complaints(driver) == []
    assert browser.requested(driver) == {urllib.parse.urlsplit(url).netloc}


def test_the_page_shows_a_ring_at_work_and_what_goes_wrong_in_it():
    names = ("cache-a", "cache-b", "cache-c")
    with loaded_fleet(names, weights={"cache-c": 2}) as fleet, browser.browser() as driver:
        url = admin_of(fleet.nodes["cache-a"])
        driver.get(url)
        shares = {node["name"]: node["share"] for node in api(url)["nodes"]}
        assert abs(sum(shares.values()) - 1) < 1e-9 and shares["cache-c"] > 0.4

        # Three nodes, the right shares, in the table and in the picture.
        wait_until(lambda: set(rows(driver)) == set(names), "three nodes in the table")
        for name, cells in rows(driver).items():
            assert cells["Owns"] == f"{shares[name] * 100:.1f} %"
        words = text(driver, "#picture title")[0]
        for name in names:
            assert f"{name} owns {shares[name] * 100:.1f} %" in words
        assert len(text(driver, "#picture .segment")) == 3

        # Numbers, and they move.
        def busy():
            cells = rows(driver)
            return all("/s" in it["Requests"] and "%" in it["Hit ratio"] for it in cells.values())

        wait_until(busy, "rates of all nodes")
        before = {name: it["Requests"] for name, it in rows(driver).items()}
        moved = lambda: all(it["Requests"] != before[name] for name, it in rows(driver).items())
        wait_until(moved, "the rates to move")
        total = "document.querySelector('#panel-requests .value').textContent"
        assert driver.execute_script(f"return {total}").endswith("/s")
        wait_until(
            lambda: text(driver, "#latency td:first-child"), "latencies of the ring's commands"
        )

        # Keys are shown as they are, whatever they are.
        wait_until(lambda: HOT in text(driver, "#hot .key"), "the hottest key")
        wait_until(lambda: TRAP in text(driver, "#hot .key"), "the key that is a trap")
        owner = {key["key"]: key["owner"] for key in api(url)["hot_keys"]}[HOT]
        assert owner in text(driver, "#hot td:nth-child(3)")
        assert driver.execute_script("return document.querySelectorAll('#hot img').length") == 0
        assert text(driver, "#advice .error") == []
        assert driver.title == "Ringbinder"

        # The same from any other node, with its history from the first moment.
        driver.get(admin_of(fleet.nodes["cache-b"]))
        wait_until(lambda: set(rows(driver)) == set(names), "three nodes, seen from another one")
        wait_until(
            lambda: driver.execute_script(
                "return document.querySelector('#panel-requests .line')?.getAttribute('d') || ''"
            ).count("L") > 0,
            "a history",
        )
        assert browser.complaints(driver) == []
        driver.get(url)
        browser.requested(driver)

        # A node that is gone.
        fleet.nodes["cache-b"].kill()
        away = lambda: "away" in rows(driver).get("cache-b", {}).get("State", "")
        wait_until(away, "the node to be shown as away")
        told = lambda: any("cache-b is unreachable" in it for it in text(driver, "#advice .error"))
        wait_until(told, "the node to be told of")
        assert "cache-b owns" in text(driver, "#picture title")[0]
        assert "and is away" in text(driver, "#picture title")[0]
        assert len(text(driver, "#picture .segment.away")) == 1
        assert driver.title == "(!) Ringbinder"

        # Its keys miss: in the table, in the ratio, and in words.
        failed = lambda: rows(driver)["cache-a"]["Failed"] not in ("–", "0 /s")
        wait_until(failed, "requests that no owner answered")
        told = lambda: any("% of all gets missed" in it for it in text(driver, "#advice .error"))
        wait_until(told, "the gets that missed to be told of")
        note = lambda: "no answer from the owner" in text(driver, "#panel-hits .note")[0]
        wait_until(note, "the hit ratio to say so")
        node = next(node for node in api(url)["nodes"] if node["own"])
        share = node["failed_gets_per_second"] / node["gets_per_second"]
        assert 0 < share < 1 and node["hit_ratio"] <= 1 - share + 0.001
        assert node["failed_per_second"] >= node["failed_gets_per_second"]
        check_clean(driver, url)


def test_nodes_that_are_not_what_the_ring_says_are_marked():
    with Fleet("--admin", "0", "-t", "1") as fleet, browser.browser() as driver:
        first, second = fleet.begin(["cache-a", "cache-b"])
        digest = second.stats()["ring_digest"]
        url = admin_of(first)
        driver.get(url)
        wait_until(lambda: len(rows(driver)) == 2, "two nodes")
        second.kill()
        reason = "\u009b31m<img src=x onerror=document.title='trapped'> has its address"
        more = {
            "ring_standing": "replaced",
            "ring_standing_reason": reason,
            "ring_drift": "ring.toml has ring 2\u009b",
            "peer:cache-a:rival": "00000000000000ff",
            "peer:cache-a:state": "away",
            "peer:cache-a:reason": "TLS failed: certificate expired",
        }
        with Straggler(second, "1", digest, more):
            state = lambda name: rows(driver)[name]["State"]
            wait_until(lambda: state("cache-b") == "✕ replaced", "the node to be marked")
            wait_until(lambda: state("cache-a") == "✕ disputed", "its rival to be marked")
            told = " ".join(text(driver, "#advice li"))
            assert "cache-b is replaced and serves none of its keys. \\u{9b}31m<img src=x" in told
            assert "Two processes claim to be cache-a, according to cache-b." in told
            assert "cache-b: ring.toml has ring 2\\u{9b}" in told
            away = "cache-a is up, but unreachable from cache-b. TLS failed: certificate expired."
            assert away in told
            assert rows(driver)["cache-b"]["Ring"] == "1 ▲"
            assert driver.execute_script("return document.querySelectorAll('#advice img').length") == 0
            assert driver.title == "(!) Ringbinder" and "\u009b" not in told
        check_clean(driver, url)


def test_rings_that_differ_are_flagged():
    with Fleet("--admin", "0", "-t", "1") as fleet, browser.browser() as driver:
        first, second = fleet.begin(["cache-a", "cache-b"])
        digest = second.stats()["ring_digest"]
        url = admin_of(first)
        driver.get(url)
        up = lambda: [it["State"] for it in rows(driver).values()] == ["● up", "● up"]
        wait_until(up, "two nodes")
        assert text(driver, "#advice .error") == []
        # Nodes that talk to each other agree within milliseconds, so the other one's place is taken
        # by something that answers as a node does that has stayed behind.
        second.kill()
        fleet.version += 1
        fleet.file.write(fleet.version, [first, second], {second.name: 3})
        wait_until(lambda: first.holds(2), "the next version")
        with Straggler(second, "1", digest):
            differ = lambda: [it for it in text(driver, "#advice .error") if "different rings" in it]
            wait_until(differ, "the rings to be told apart")
            assert "version 2 on cache-a; version 1 on cache-b" in differ()[0]
            assert "≠" in rows(driver)["cache-b"]["Ring"]
        check_clean(driver, url)


def test_a_phone_shows_all_of_it_within_its_width():
    with loaded_fleet() as fleet, browser.browser(390, 844) as driver:
        driver.get(admin_of(fleet.nodes["cache-a"]))
        wait_until(lambda: len(rows(driver)) == 3, "three nodes")
        wait_until(lambda: text(driver, "#hot .key"), "hot keys")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert browser.complaints(driver) == []


def test_one_node_without_a_ring():
    node = Node("--admin", "0")
    try:
        node.name = "the node"
        url = admin_of(node)
        with browser.browser() as driver:
            driver.get(url)
            wait_until(lambda: list(rows(driver)) == ["this node"], "one node")
            wait_until(lambda: "up" in rows(driver)["this node"]["State"], "its state")
            assert "has no ring" in text(driver, "#caption")[0]
            assert text(driver, "#advice li") == []
            # All of it can be reached by the keyboard.
            driver.execute_script("document.querySelector('#pause').focus()")
            driver.switch_to.active_element.send_keys(" ")
            wait_until(lambda: "paused" in text(driver, "#age")[0], "the page to pause")
            check_clean(driver, url)
    finally:
        node.stop()
