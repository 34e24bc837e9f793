"""Clients of other languages, as Debian has them: PHP's sessions, Symfony's cache, Perl's clients."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import missing

SCRIPTS = Path(__file__).parent / "scripts"
TEXT = ("-d", "memcached.sess_binary_protocol=0")
# Waits for a lock are short, and there are enough of them for a machine with much to do.
LOCKS = (
    *("-d", "memcached.sess_lock_wait_min=1", "-d", "memcached.sess_lock_wait_max=20"),
    *("-d", "memcached.sess_lock_retries=10000"),
)


def interpreter(name, package, marker):
    """The path of an interpreter whose library is there."""
    path = shutil.which(name)
    if path is None or not Path(marker).exists():
        missing(f"{name} with {package} is not installed")
    return path


def told(*command):
    """What a program printed; it must not fail."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def php():
    return interpreter("php", "memcached (Debian: php-memcached)", "/usr/share/doc/php-memcached")


def test_php_sessions_with_locks(address):
    """Four processes count in one session; the lock lets none of them lose a number."""
    command = [php(), *TEXT, *LOCKS, SCRIPTS / "sessions.php", address, "shared", "50"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(4)
    ]
    texts = [process.communicate(timeout=120)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), texts
    assert max(int(text) for text in texts) == 200, texts


def test_symfonys_adapter(address):
    marker = "/usr/share/php/Symfony/Component/Cache/autoload.php"
    interpreter("php", "Symfony's cache (Debian: php-symfony-cache)", marker)
    text = told(php(), SCRIPTS / "symfony.php", f"memcached://{address}?binary_protocol=0")
    assert json.loads(text) == {
        "first": {"answer": 1},
        "second": {"answer": 1},
        "deleted": False,
        "committed": True,
        "found": 50,
        "cleared": True,
        "left": False,
    }


PERL = {
    "set": "1",
    "get": "x",
    "add": "0",
    "replace": "1",
    "number": "1",
    "incr": "8",
    "decr": "7",
    "delete": "1",
    "gone": "0",
    "found": "50",
    "structure": "7",
    "large": "50000",
    "flushed": "0",
}


@pytest.mark.parametrize("module", ["Cache::Memcached", "Cache::Memcached::Fast"])
def test_perls_clients(address, module):
    package = f"lib{module.lower().replace('::', '-')}-perl"
    perl = interpreter("perl", module, f"/usr/share/doc/{package}")
    text = told(perl, SCRIPTS / "memcached.pl", module, address)
    more = {"append": "1"} if module.endswith("Fast") else {}
    assert dict(line.split("=", 1) for line in text.splitlines()) == {**PERL, **more}


def test_anyevent_memcached(address):
    marker = "/usr/share/doc/libanyevent-memcached-perl"
    perl = interpreter("perl", "AnyEvent::Memcached", marker)
    assert told(perl, SCRIPTS / "anyevent.pl", address).splitlines() == [
        "set=1",
        "add=0",
        "get=x",
        "get=a:x",
        "replace=1",
        "append=1",
        "get=z!",
        "set=1",
        "incr=8",
        "decr=7",
        "delete=1",
        "get=",
    ]
