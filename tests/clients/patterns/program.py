"""What the three programs share of their command line."""

import argparse
import contextlib
import tempfile
import threading
from pathlib import Path

from .client import KINDS, TIMEOUT, Cache, Node, read_ring
from .database import open_database


def parse(arguments, name, description, **numbers):
    """The options: those that all programs have, and the given ones, each a default and a help."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    add_cache_options(parser)
    parser.add_argument(
        "--database",
        metavar="ADDRESS",
        help="sqlite:PATH or postgresql://...; without it a file that goes away with the program",
    )
    parser.add_argument("--key", default="1", help="what to read and write (default: 1)")
    for option, (default, text) in numbers.items():
        parser.add_argument(
            f"--{option.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    return parser.parse_args(arguments)


def add_cache_options(parser):
    """How to reach the cache."""
    nodes = parser.add_mutually_exclusive_group(required=True)
    nodes.add_argument("--ring", metavar="FILE", help="the ring file (TOML) of the nodes")
    nodes.add_argument(
        "--node", metavar="HOST:PORT", action="append", help="a node; once for each, as in the ring"
    )
    parser.add_argument(
        "--client",
        choices=KINDS,
        default=KINDS[0],
        help="pylibmc; pymemcache with uhashring; or pymemcache with the first node only "
        f"(default: {KINDS[0]})",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"how long a node may take to answer (default: {TIMEOUT})",
    )


def cache(options):
    """The cache that the options name."""
    nodes = read_ring(options.ring) if options.ring else [Node(it) for it in options.node]
    return Cache(options.client, nodes, options.timeout)


@contextlib.contextmanager
def database(address):
    """The database that was named, or one of its own for as long as the context lasts."""
    with scratch(address) as place:
        yield open_database(place)


@contextlib.contextmanager
def scratch(address):
    """The address that was given, or that of a file which goes away with the context."""
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="ringbinder-patterns-") as directory:
        yield f"sqlite:{Path(directory) / 'database'}"


def run_threads(number, work):
    """Runs `work(n)` in threads, waits for all, and raises the first error."""
    errors = []

    def guarded(index):
        try:
            work(index)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def words(counts):
    """Counters as one line."""
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
