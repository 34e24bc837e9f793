"""HTTP servers with a cache behind them: nginx's memcached_pass and memc modules, and Apache's shared
object cache, with a node and with a ring."""

import base64
import contextlib
import hashlib
import http.client
import os
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from conftest import missing
from pymemcache.client.base import Client
from ring_fleet import CLIENT_TIMEOUT, free_port, wait_until
from upstream import is_memcached

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
MEMC = Path("/usr/lib/nginx/modules/ngx_http_memc_module.so")
APACHE = Path("/usr/lib/apache2/modules")

NGINX = """
load_module {memc};
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type text/plain;
    upstream cache {{
        server {address};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        location /page/ {{
            set $memcached_key $uri;
            memcached_pass cache;
        }}
        location /memc {{
            set $memc_cmd $arg_cmd;
            set $memc_key $arg_key;
            set $memc_value $arg_val;
            set $memc_exptime $arg_exptime;
            memc_cmds_allowed get set add replace append prepend incr decr delete flush_all version;
            memc_pass cache;
        }}
    }}
}}
"""

APACHE_MODULES = "mpm_event authn_core authn_file authn_socache auth_basic authz_core authz_user"

HTTPD = """
ServerRoot {directory}
DefaultRuntimeDir {directory}
DocumentRoot {directory}/pages
PidFile pid
ErrorLog log
ServerName localhost
Listen 127.0.0.1:{port}
Mutex default:{directory}
{modules}
ServerLimit 1
StartServers 1
ThreadsPerChild 5
MaxRequestWorkers 5
MinSpareThreads 1
MaxSpareThreads 5
{user}
AuthnCacheSOCache memcache:{address}
<Location />
    AuthType Basic
    AuthName pages
    AuthBasicProvider socache file
    AuthUserFile {directory}/users
    AuthnCacheProvideFor file
    AuthnCacheContext suite
    AuthnCacheTimeout 300
    Require valid-user
</Location>
"""


@pytest.fixture
def directory():
    """A folder that a server which gave up root can read."""
    made = Path(tempfile.mkdtemp(prefix="ringbinder-http-"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def serving(command, port, log):
    """An HTTP server, until the block ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:

        def answers():
            if process.poll() is not None:
                raise RuntimeError(process.stdout.read().decode(errors="replace"))
            with contextlib.suppress(OSError):
                return get(port, "/nothing")
            return None

        wait_until(answers, "the HTTP server answers")
        yield
    except BaseException:
        print(log.read_text(errors="replace")[-4000:] if log.exists() else "no log")
        raise
    finally:
        process.terminate()
        process.communicate(timeout=30)


def get(port, path, **headers):
    """The status of an answer and its text, without line ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()


def client_of(address):
    host, port = address.rsplit(":", 1)
    return contextlib.closing(
        Client((host, int(port)), timeout=CLIENT_TIMEOUT, default_noreply=False)
    )


@pytest.fixture
def nginx(address, directory):
    program = shutil.which("nginx", path=PATH)
    if program is None or not MEMC.exists():
        missing("nginx or its memc module (Debian: nginx-light, libnginx-mod-http-memc)")
    port = free_port(set())
    settings = directory / "nginx.conf"
    text = NGINX.format(memc=MEMC, directory=directory, address=address, port=port)
    settings.write_text(text)
    with serving([program, "-c", settings, "-e", directory / "log"], port, directory / "log"):
        yield port


def test_memcached_pass(nginx, address):
    pages = {f"/page/{number}": f"page {number} " * number for number in range(1, 60)}
    with client_of(address) as client:
        client.set_many(pages)
        for path, page in pages.items():
            assert get(nginx, path) == (200, page.strip())
        assert get(nginx, "/page/nope")[0] == 404
        client.delete("/page/1")
        assert get(nginx, "/page/1")[0] == 404


def ask(port, command, **arguments):
    return get(port, "/memc?" + urllib.parse.urlencode({"cmd": command, **arguments}))


def test_memc(nginx):
    assert ask(nginx, "set", key="a", val="1") == (201, "STORED")
    assert ask(nginx, "get", key="a") == (200, "1")
    assert ask(nginx, "add", key="a", val="2") == (200, "NOT_STORED")
    assert ask(nginx, "replace", key="a", val="2", exptime=100) == (201, "STORED")
    assert ask(nginx, "append", key="a", val="3") == (201, "STORED")
    assert ask(nginx, "prepend", key="a", val="1") == (201, "STORED")
    assert ask(nginx, "get", key="a") == (200, "123")
    assert ask(nginx, "incr", key="a", val="7") == (201, "130")
    assert ask(nginx, "decr", key="a", val="30") == (201, "100")
    assert ask(nginx, "delete", key="a") == (200, "DELETED")
    assert ask(nginx, "delete", key="a")[0] == 404
    assert ask(nginx, "get", key="a")[0] == 404
    assert ask(nginx, "set", key="a", val="1") == (201, "STORED")
    assert ask(nginx, "delete", key="a", exptime="0") == (200, "DELETED")
    if not is_memcached():
        # The time of a delete: 1.6.18 refuses it, 1.6.45 does not look at it.
        assert ask(nginx, "set", key="a", val="1") == (201, "STORED")
        assert ask(nginx, "delete", key="a", exptime="5") == (200, "DELETED")
        assert ask(nginx, "get", key="a")[0] == 404
    assert ask(nginx, "version")[0] == 200
    assert ask(nginx, "flush_all") == (200, "OK")


def test_apaches_shared_object_cache(address, directory):
    """A user is still let in from the cache when the file of users is empty."""
    program = shutil.which("apache2", path=PATH)
    if program is None or not (APACHE / "mod_socache_memcache.so").exists():
        missing("Apache (Debian: apache2-bin) is not installed")
    modules = [*APACHE_MODULES.split(), "socache_memcache"]
    port = free_port(set())
    settings = directory / "httpd.conf"
    settings.write_text(
        HTTPD.format(
            directory=directory,
            address=address,
            port=port,
            modules="\n".join(f"LoadModule {it}_module {APACHE}/mod_{it}.so" for it in modules),
            user="User nobody\nGroup nogroup" if os.geteuid() == 0 else "",
        )
    )
    (directory / "pages").mkdir()
    (directory / "pages" / "page").write_text("a page")
    users = directory / "users"
    names = [f"user{number}" for number in range(20)]
    # Apache reads SHA-1 with this prefix.
    digest = base64.b64encode(hashlib.sha1(b"a password").digest()).decode()
    users.write_text("".join(f"{name}:{{SHA}}{digest}\n" for name in names))

    def seen(name, password="a password"):
        token = base64.b64encode(f"{name}:{password}".encode()).decode()
        return get(port, "/page", Authorization=f"Basic {token}")

    with serving([program, "-f", settings, "-DFOREGROUND"], port, directory / "log"):
        for name in names:
            assert seen(name) == (200, "a page")
        users.write_text("")
        for name in names:
            assert seen(name) == (200, "a page")
            assert seen(name, "another")[0] == 401
        assert seen("nobody")[0] == 401
