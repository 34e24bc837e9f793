"""Applications that use what `ringbinder ring export` prints, each in a process of its own.

An application reads requests from its standard input, one a line: `get KEY`, `set KEY VALUE` or
`many KEY...`. It answers each with one line: `hit VALUE`, `miss`, `stored`, `found N`, or `error` with
the reason. Nothing in it bounds how long a request takes, so that only the printed settings do.
"""

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import sys
import time

PYTHON = """
import sys
{client}
for line in sys.stdin:
    word, *rest = line.split()
    try:
        if word == "get":
            value = client.get(rest[0])
            value = value.decode() if isinstance(value, bytes) else value
            answer = "miss" if value is None else f"hit {{value}}"
        elif word == "set":
            answer = "error not stored" if client.set(*rest) is False else "stored"
        else:
            answer = f"found {{len(client.get_many(rest))}}"
    except Exception as error:
        answer = f"error {{type(error).__name__}}: {{error}}"
    print(" ".join(answer.split()), flush=True)
"""

CLIENTS = {
    "pylibmc": "from pasted import client\nclient.get_many = client.get_multi",
    "pymemcache": "from pasted import client",
    "django": "import pasted\n"
    "from django.conf import settings\n"
    "settings.configure(CACHES=pasted.CACHES, USE_TZ=True)\n"
    "from django.core.cache import cache as client",
    "proxy": "from pymemcache.client.base import Client\n"
    "client = Client(('127.0.0.1', int(sys.argv[1])), default_noreply=False, no_delay=True)",
}

PHP = """<?php
require 'pasted.php';
while (($line = fgets(STDIN)) !== false) {
    $rest = explode(' ', trim($line));
    $word = array_shift($rest);
    if ($word === 'get') {
        $value = $memcached->get($rest[0]);
        $answer = $value === false ? 'miss' : "hit $value";
    } elseif ($word === 'set') {
        $answer = $memcached->set($rest[0], $rest[1]) ? 'stored' : 'error not stored';
    } else {
        $answer = 'found ' . count($memcached->getMulti($rest) ?: []);
    }
    $fine = [Memcached::RES_SUCCESS, Memcached::RES_NOTFOUND, Memcached::RES_SOME_ERRORS];
    if (!in_array($memcached->getResultCode(), $fine, true)) {
        $answer = 'error ' . $memcached->getResultMessage();
    }
    echo "$answer\\n";
}
"""

RUBY = """
require 'set'
Dalli.logger.level = Logger::FATAL
$stdout.sync = true
while (line = $stdin.gets)
  word, *rest = line.split
  begin
    answer =
      case word
      when 'get'
        value = client.get(rest[0], raw: true)
        value.nil? ? 'miss' : "hit #{value}"
      when 'set'
        client.set(rest[0], rest[1], nil, raw: true) ? 'stored' : 'error not stored'
      else
        "found #{client.get_multi(*rest).size}"
      end
  rescue StandardError => error
    answer = "error #{error.class}: #{error.message}".tr("\\r\\n", ' ')
  end
  puts answer
end
"""


class Application:
    """A running application. `deadline` is how long a request may take, in seconds: one that takes
    longer hangs. A context: the process ends with it."""

    def __init__(self, command, directory, deadline):
        self.deadline = deadline
        # What each request took, in seconds, by a name for the phase of the test.
        self.took = {}
        self.phase = "begin"
        self._left = b""
        self._errors = (directory / "application.log").open("wb")
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._log = directory / "application.log"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            stream.close()

    def ask(self, request):
        """The answer to a request."""
        began = time.monotonic()
        self.process.stdin.write(request.encode() + b"\n")
        output = self.process.stdout
        while b"\n" not in self._left:
            patience = began + self.deadline - time.monotonic()
            ready, _, _ = select.select([output], [], [], max(patience, 0))
            assert ready, f"no answer to {request!r} within {self.deadline} s"
            got = os.read(output.fileno(), 65536)
            assert got, f"ended at {request!r}:\n{self._log.read_text(errors='replace')}"
            self._left += got
        answer, _, self._left = self._left.partition(b"\n")
        self.took.setdefault(self.phase, []).append(time.monotonic() - began)
        return answer.decode()


def command(target, directory, port=None):
    """The command line of an application whose configuration is in pasted.py, .php or .rb. `port`:
    where a proxy listens."""
    if target == "php":
        (directory / "application.php").write_text(PHP)
        return ["php", "application.php"]
    if target == "ruby":
        (directory / "application.rb").write_text((directory / "pasted.rb").read_text() + RUBY)
        return ["ruby", "application.rb"]
    client = CLIENTS["proxy" if port else target]
    (directory / "application.py").write_text(PYTHON.format(client=client))
    return [sys.executable, "-B", "application.py", *([str(port)] if port else [])]


def connections(process, ports):
    """For each of these ports that a process is connected to: whether all of its connections there
    have TCP_NODELAY. The sockets are the process's own, by pidfd_getfd."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    found = {}
    pidfd = os.pidfd_open(process.pid)
    try:
        for number in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if not os.readlink(f"/proc/{process.pid}/fd/{number}").startswith("socket:"):
                    continue
            # The call has this number on every architecture.
            duplicate = syscall(438, pidfd, int(number), 0)
            if duplicate < 0:
                raise OSError(ctypes.get_errno(), f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=duplicate) as connection:
                with contextlib.suppress(OSError):
                    port = connection.getpeername()[1]
                    if port in ports:
                        is_set = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
                        found[port] = found.get(port, True) and is_set
    finally:
        os.close(pidfd)
    return found
