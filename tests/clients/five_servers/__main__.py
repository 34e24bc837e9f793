"""Runs one server: a process, with as many threads as it has connections to serve at once."""

import argparse
import os
import signal
import sys

import waitress

from patterns.database import open_database
from patterns.program import add_cache_options, cache
from patterns.write_through import WriteThrough

from .app import make_app


def main():
    options = parse()
    profiles = WriteThrough(
        cache(options), open_database(options.database), value_seconds=options.value_seconds
    )
    server = waitress.create_server(
        make_app(profiles), host="127.0.0.1", port=options.port, threads=options.threads
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if options.port_file:
        report(options.port_file, server.effective_port)
    server.run()


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m five_servers", description="One web server with profiles."
    )
    add_cache_options(parser)
    parser.add_argument(
        "--database", required=True, metavar="ADDRESS", help="sqlite:PATH or postgresql://..."
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="on 127.0.0.1; 0 takes a free one (default: 8000)"
    )
    parser.add_argument(
        "--port-file", metavar="FILE", help="where to write the port once it listens"
    )
    parser.add_argument("--threads", type=int, default=8, help="requests at once (default: 8)")
    parser.add_argument(
        "--value-seconds",
        type=int,
        default=300,
        metavar="SECONDS",
        help="how long a profile is cached (default: 300)",
    )
    return parser.parse_args()


def report(path, port):
    """Writes the port in one step: who sees the file sees all of it."""
    with open(f"{path}.new", "w") as file:
        file.write(f"{port}\n")
    os.rename(f"{path}.new", path)


if __name__ == "__main__":
    main()
