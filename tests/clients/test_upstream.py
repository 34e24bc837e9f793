"""The suites of other projects, as their packages bring them: against a node, and against a ring.

All of them run at once from the first test on, since most of their time is spent in sleeps. A test that
fails is written down here with the reason, and has to go on failing; how many pass is written down too.
"""

import concurrent.futures
import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from upstream import (
    Host,
    Results,
    django_results,
    is_memcached,
    mocha_results,
    modules,
    pytest_results,
    source,
)

SHAPES = ["node", "ring"]
# Suites that run at the same time. They wait far more than they work.
AT_ONCE = 4

DJANGO = """
DATABASES = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
SECRET_KEY = "of no use"
USE_TZ = False
CACHES = {
    name: {
        "BACKEND": f"django.core.cache.backends.memcached.{backend}",
        "LOCATION": "127.0.0.1:11211",
    }
    for name, backend in (("default", "PyMemcacheCache"), ("other", "PyLibMCCache"))
}
"""

# The one module that the tests of python-memcached need and its package lacks.
CAPTURED = '''
import contextlib
import io


@contextlib.contextmanager
def captured_stderr():
    with contextlib.redirect_stderr(io.StringIO()) as text:
        yield text
'''


def pymemcache(host):
    tests = "pymemcache/test/test_integration.py"
    return pytest_results(host, source("pymemcache"), tests, "--server", "127.0.0.1")


def pylibmc(host):
    return pytest_results(host, source("pylibmc"), "tests")


def python_memcached(host):
    folder = host.directory / "suite"
    shutil.copytree(source("python-memcached") / "tests", folder / "tests")
    # The package memcache has a module of the same name: not both can be installed.
    shutil.copy(source("python-memcached") / "memcache.py", folder)
    (folder / "tests" / "__init__.py").touch()
    (folder / "tests" / "utils.py").write_text(CAPTURED)
    return pytest_results(host, folder, "tests")


def memcache(host):
    # tests/test_trio_client.py needs trio below 0.25, by way of anyio below 4.
    files = ("tests/test_client.py", "tests/test_asyncio_client.py", "tests/test_serialize.py")
    return pytest_results(host, source("memcache"), *files)


def django(host):
    classes = ("cache.tests.PyMemcacheCacheTests", "cache.tests.PyLibMCCacheTests")
    return django_results(host, source("django"), *classes, settings=DJANGO)


def npm_memcached(host):
    folder = modules("memcached")
    files = sorted(folder.glob("test/*.test.js"))
    return mocha_results(host, folder, "--require", "should", *files, MEMCACHED__HOST="127.0.0.1")


def npm_memcache_plus(host):
    folder = modules("memcache-plus")
    certificate = str(host.start_tls(11212))
    files = ("test/client.js", "test/connection.js")
    return mocha_results(host, folder, *files, NODE_EXTRA_CA_CERTS=certificate)


@dataclasses.dataclass(frozen=True)
class Suite:
    """A suite: how many of its tests pass with memcached, and which fail for what reason: with memcached
    too, only here, or only in a ring. `varies_in_a_ring`: what fails there by chance."""

    run: Callable[[Host], Results]
    passes: int
    fails_everywhere: dict[str, str] = dataclasses.field(default_factory=dict)
    fails_here: dict[str, str] = dataclasses.field(default_factory=dict)
    fails_in_a_ring: dict[str, str] = dataclasses.field(default_factory=dict)
    varies_in_a_ring: dict[str, str] = dataclasses.field(default_factory=dict)
    ports: tuple[int, ...] = (11211,)

    def fails(self, shape):
        """What fails with a server of this shape."""
        if is_memcached():
            return self.fails_everywhere
        in_a_ring = self.fails_in_a_ring if shape == "ring" else {}
        return {**self.fails_everywhere, **self.fails_here, **in_a_ring}


BINARY = "the test sets binary=True"
DISCOVERY = "a ring answers auto-discovery itself; the test writes an answer of its own as an item"

# Those that take longest come first.
SUITES = {
    "Django": Suite(django, passes=116),
    "npm memcached": Suite(npm_memcached, passes=47, ports=(11211, 11212, 11213)),
    "npm memcache-plus": Suite(
        npm_memcache_plus,
        passes=113,
        varies_in_a_ring={
            "Client items should work gets slab stats": "`stats items` tells of one node's items, "
            "and the key, which is drawn, may be another's",
        },
    ),
    "memcache": Suite(memcache, passes=35),
    "pylibmc": Suite(
        pylibmc,
        passes=41,
        fails_here={
            "tests.test_client.ClientTests.test_zerokey": BINARY,
            "tests.test_client.ClientTests.test_get_with_default": BINARY,
            "tests.test_client.ClientTests.test_none_values": BINARY,
            "tests.test_client.ClientTests.test_utf8_encoding": BINARY,
            "tests.test_refcounts.RefcountTests.test_delete": BINARY,
            "tests.test_refcounts.RefcountTests.test_get_complex_type": BINARY,
            "tests.test_refcounts.RefcountTests.test_get_multi": BINARY,
            "tests.test_refcounts.RefcountTests.test_get_multi_bytes_and_unicode": BINARY,
            "tests.test_refcounts.RefcountTests.test_get_simple": BINARY,
            "tests.test_refcounts.RefcountTests.test_get_singleton": BINARY,
            "tests.test_refcounts.RefcountTests.test_get_with_default": BINARY,
            "tests.test_refcounts.RefcountTests.test_incr": BINARY,
            "tests.test_refcounts.RefcountTests.test_prefixes": BINARY,
            "tests.test_refcounts.RefcountTests.test_set_and_delete_multi": BINARY,
        },
        fails_in_a_ring={
            "tests.test_autoconf.AutoConfTests.test_autoconf": DISCOVERY,
            "tests.test_autoconf.AutoConfTests.test_autoconf_only_cname": DISCOVERY,
            "tests.test_autoconf.AutoConfTests.test_no_autoconf": DISCOVERY,
        },
    ),
    "pymemcache": Suite(pymemcache, passes=100),
    "python-memcached": Suite(python_memcached, passes=26),
}


def played(suite, shape):
    """How a suite goes on a host of its own."""
    directory = Path(tempfile.mkdtemp(prefix="ringbinder-suite-"))
    # A server that gave up root needs to get there.
    directory.chmod(0o755)
    try:
        with Host(directory) as host:
            host.start(shape, suite.ports)
            return suite.run(host)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def runs(request):
    """The runs that were asked for, by suite and shape."""
    wanted = {
        (name, shape)
        for item in request.session.items
        if item.module is request.module
        for name, shape in [(item.callspec.params["name"], item.callspec.params["shape"])]
    }
    ordered = [(name, shape) for name in SUITES for shape in SHAPES if (name, shape) in wanted]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            (name, shape): pool.submit(played, SUITES[name], shape) for name, shape in ordered
        }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SUITES)
def test_suite(runs, name, shape):
    if is_memcached() and shape == "ring":
        pytest.skip("memcached has no ring")
    suite = SUITES[name]
    fails = suite.fails(shape)
    results = runs[name, shape].result()
    passes = suite.passes - len(fails) + len(suite.fails_everywhere)
    varies = suite.varies_in_a_ring if shape == "ring" else {}
    results.check(f"{name}, {shape}", passes, fails, varies)
