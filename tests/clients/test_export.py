"""`ringbinder ring export`: what it prints is pasted into a file and run with the client or proxy
that it is for.

Each of them sets and gets keys of a fleet with unequal weights. Whether it sends them to their
owners is what the nodes say: they count every request for a key of another node. Where the text
says that the client finds owners, these counters stay at 0. Rings with names, IPv6, many nodes and
nodes at one point are compared with the golden vectors, without nodes.

The program is RINGBINDER; tests/run sets it.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib

import pytest

try:
    from pymemcache.exceptions import MemcacheUnexpectedCloseError
except ImportError:
    # ring_fleet skips the tests then.
    MemcacheUnexpectedCloseError = None

import ring_fleet
from conftest import environment, missing
from ring_fleet import CLIENT_TIMEOUT, Fleet, FleetNode, free_port, needed, wait_until
from test_ring_hash import KEYS, RINGS, VECTORS, Vectors

TARGETS = "pylibmc pymemcache django php ruby twemproxy mcrouter haproxy json".split()

WEIGHTS = {"cache-a": 1, "cache-b": 2, "cache-c": 5}
COUNT = 600

# What clients do, in their languages: set every key, then get it.
PYTHON = f"""
for number in range({COUNT}):
    assert client.set(f"key:{{number}}", f"value {{number}}")
for number in range({COUNT}):
    value = client.get(f"key:{{number}}")
    assert value in (f"value {{number}}", f"value {{number}}".encode()), (number, value)
"""

PHP = f"""<?php
require 'pasted.php';
for ($pass = 0; $pass < 2; $pass++) {{
    for ($number = 0; $number < {COUNT}; $number++) {{
        $memcached->set("key:$number", "value $number") or exit("set $number\\n");
    }}
    for ($number = 0; $number < {COUNT}; $number++) {{
        $value = $memcached->get("key:$number");
        $value === "value $number" or exit("get $number: " . var_export($value, true) . "\\n");
    }}
    // Once more, with a prefix.
    $memcached->setOption(Memcached::OPT_PREFIX_KEY, 'application:');
}}
echo "done\\n";
"""

RUBY = f"""
{COUNT}.times do |n|
  client.set("key:#{{n}}", "value #{{n}}", nil, raw: true) or abort "set #{{n}}"
end
{COUNT}.times do |n|
  value = client.get("key:#{{n}}", raw: true)
  abort "get #{{n}}: #{{value.inspect}}" unless value == "value #{{n}}"
end
puts 'done'
"""

# A configuration that a section is pasted to, with defaults that are not for it.
HAPROXY = """
global
    log 127.0.0.1:1 local0
    maxconn 500

defaults
    log global
    mode http
    option httplog
    timeout connect 5s
    timeout client 5s
    timeout server 5s

"""


@pytest.fixture(autouse=True)
def everything_needed():
    needed()


def export(target, ring):
    """The finished process: what the command prints for a ring file."""
    return subprocess.run(
        [os.environ["RINGBINDER"], "ring", "export", "--for", target, "--ring", str(ring)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def exported(target, ring):
    done = export(target, ring)
    assert done.returncode == 0, done.stderr
    return done.stdout


def program(name, package):
    """A program's path; not every PATH has the directories of servers."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        missing(f"{name} (Debian: {package}) is not installed")
    return path


def run(*command, directory, accepted=0):
    """What a program prints."""
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == accepted, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


@contextlib.contextmanager
def running(*command, directory, port):
    """A proxy in the foreground that takes connections on a port: its process."""
    with (directory / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:

        def listens():
            assert process.poll() is None, (directory / "proxy.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_until(listens, f"{command[0]} listens")
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["127.0.0.1", "::1", "localhost"])
def fleet(request):
    """Three nodes of unequal weight, which the ring names by IPv4, by IPv6 and by a host name."""
    host = request.param
    listens_on = "127.0.0.1" if host == "localhost" else host
    try:
        socket.create_server((listens_on, 0), family=family(listens_on)).close()
    except OSError as error:
        missing(f"{listens_on}: {error}")
    with Fleet() as fleet:
        ports = []
        text = "version = 1\n"
        for name, weight in WEIGHTS.items():
            ports.append(free_port(ports))
            address = f"[{host}]:{ports[-1]}" if ":" in host else f"{host}:{ports[-1]}"
            text += f'[[node]]\nname = "{name}"\naddress = "{address}"\nweight = {weight}\n'
        fleet.version = 1
        fleet.file.path.write_text(text)
        for name, port in zip(WEIGHTS, ports):
            address = (listens_on, port)
            fleet.nodes[name] = FleetNode(name, fleet.directory, fleet.file, address)
        for node in fleet.nodes.values():
            wait_until(node.is_up, f"{node.name} answers")
        fleet.wait_for_ring()
        for node in fleet.nodes.values():
            wait_until(node.reaches_all, f"{node.name} reaches the others")
        yield fleet


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def nodes_of(fleet):
    """The nodes as the ring file has them."""
    return tomllib.loads(fleet.file.path.read_text())["node"]


def foreign(fleet):
    """How many requests all nodes have got for keys of others."""
    counted = [node.foreign() for node in fleet.nodes.values()]
    return sum(it["foreign_gets"] + it["foreign_requests"] for it in counted)


def read_back(fleet, prefix=""):
    """Every node answers for every key, and each of them holds some. Here all keys but its own are
    foreign to a node: that shows that they count."""
    before = foreign(fleet)
    for node in fleet.nodes.values():
        with contextlib.closing(node.client()) as client:
            for number in range(COUNT):
                key = f"{prefix}key:{number}"
                assert client.get(key) == f"value {number}".encode(), (node.name, key)
            assert int(client.stats()[b"curr_items"]) > COUNT // 40
    assert foreign(fleet) - before == COUNT * (len(fleet.nodes) - 1)


def share_direct(fleet, requests, client):
    """The part of so many requests that reached the owner at once; printed, since docs tell it."""
    share = 1 - foreign(fleet) / requests
    print(f"\n{client}: {share:.1%} of {requests} requests went straight to the owner")
    return share


def on_port(text, port):
    """The configuration of a proxy, with the one port on which it listens replaced: the one that
    was printed may be taken on this machine."""
    text, replaced = re.subn(r"(?m)^( *(?:bind|listen:) 127\.0\.0\.1:)\d+$", rf"\g<1>{port}", text)
    assert replaced == 1
    return text


def unused_ports(fleet):
    """Two ports that neither a node nor anybody else listens on."""
    taken = {node.port for node in fleet.nodes.values()}
    first = free_port(taken)
    return first, free_port(taken | {first})


# Clients that find owners.


def python(target, fleet, directory):
    """Runs run.py. The libmemcached in pylibmc's wheels reaches no IPv6 address: then the text has
    to say so, and this is False."""
    text = exported(target, fleet.file.path)
    (directory / "pasted.py").write_text(text)
    if target != "pymemcache" and "[::1]" in text and old_libmemcached():
        assert "# IPv6 needs libmemcached 1.0.18 or later" in text
        said = run(sys.executable, "-B", "run.py", directory=directory, accepted=1)
        assert "pylibmc.HostLookupError" in said
        return False
    run(sys.executable, "-B", "run.py", directory=directory)
    return True


def old_libmemcached():
    import pylibmc

    return tuple(map(int, pylibmc.libmemcached_version.split("."))) < (1, 0, 18)


@pytest.mark.parametrize("target", ["pylibmc", "pymemcache"])
def test_python(fleet, target, tmp_path):
    (tmp_path / "run.py").write_text("from pasted import client\n" + PYTHON)
    if python(target, fleet, tmp_path):
        assert share_direct(fleet, 2 * COUNT, target) == 1
        read_back(fleet)


def test_django(fleet, tmp_path):
    (tmp_path / "run.py").write_text(
        "import pasted\n"
        "from django.conf import settings\n"
        "settings.configure(CACHES=pasted.CACHES, USE_TZ=True)\n"
        "from django.core.cache import cache as client\n"
        "set_value = client.set\n"
        # Django's says nothing.
        "client.set = lambda key, value: set_value(key, value) is None\n" + PYTHON
    )
    if python("django", fleet, tmp_path):
        assert share_direct(fleet, 2 * COUNT, "django") == 1
        read_back(fleet, ":1:")


def php():
    path = program("php", "php-cli")
    has_extension = [path, "-r", "exit((int)!class_exists('Memcached'));"]
    if subprocess.run(has_extension, check=False).returncode:
        missing("PHP's memcached extension (Debian: php-memcached) is not installed")
    return path


def test_php(fleet, tmp_path):
    interpreter = php()
    (tmp_path / "pasted.php").write_text(exported("php", fleet.file.path))
    (tmp_path / "run.php").write_text(PHP)
    assert run(interpreter, "run.php", directory=tmp_path) == "done\n"
    assert share_direct(fleet, 4 * COUNT, "php") == 1
    read_back(fleet)
    read_back(fleet, "application:")


def test_twemproxy(fleet, tmp_path):
    nutcracker = program("nutcracker", "nutcracker")
    text = exported("twemproxy", fleet.file.path)
    (tmp_path / "printed.yml").write_text(text)
    run(nutcracker, "-t", "-c", "printed.yml", directory=tmp_path)
    port, figures = unused_ports(fleet)
    (tmp_path / "pasted.yml").write_text(on_port(text, port))
    figures = ["-a", "127.0.0.1", "-s", str(figures), "-p", "pid", "-o", "log"]
    with (
        running(nutcracker, "-c", "pasted.yml", *figures, directory=tmp_path, port=port),
        contextlib.closing(proxied(port)) as client,
    ):
        set_and_get(client)
    assert share_direct(fleet, 2 * COUNT, "twemproxy") == 1
    read_back(fleet)


# Clients that do not.


def proxied(port):
    return ring_fleet.Client(
        ("127.0.0.1", port),
        timeout=CLIENT_TIMEOUT,
        connect_timeout=CLIENT_TIMEOUT,
        default_noreply=False,
        no_delay=True,
    )


def set_and_get(client):
    for number in range(COUNT):
        assert client.set(f"key:{number}", f"value {number}")
    for number in range(COUNT):
        assert client.get(f"key:{number}") == f"value {number}".encode()


def test_ruby(fleet, tmp_path):
    """A dalli that has no meta protocol, as in Debian 12, cannot talk to nodes, and the text says
    so; with any later one nodes serve what it sends to others than the owner."""
    interpreter = program("ruby", "ruby")
    dalli = "require 'dalli'; puts defined?(Dalli::Protocol::Meta) ? 'meta' : 'binary'"
    found = subprocess.run([interpreter, "-e", dalli], capture_output=True, text=True, check=False)
    if found.returncode:
        missing("dalli (Debian: ruby-dalli) is not installed")
    (tmp_path / "run.rb").write_text(exported("ruby", fleet.file.path) + RUBY)
    if found.stdout == "binary\n":
        said = run(interpreter, "run.rb", directory=tmp_path, accepted=1)
        assert "speaks only the binary protocol; nodes need dalli 3.2 or later" in said
        return
    # Later ones warn of how they write objects.
    assert run(interpreter, "run.rb", directory=tmp_path).endswith("done\n")
    assert 0.1 < share_direct(fleet, 2 * COUNT, "ruby") < 0.9
    read_back(fleet)


def test_haproxy(fleet, tmp_path):
    haproxy = program("haproxy", "haproxy")
    text = exported("haproxy", fleet.file.path)
    (tmp_path / "printed.cfg").write_text(text)
    run(haproxy, "-c", "-f", "printed.cfg", directory=tmp_path)
    port, _ = unused_ports(fleet)
    (tmp_path / "pasted.cfg").write_text(HAPROXY + on_port(text, port))
    assert "WARNING" not in run(haproxy, "-c", "-f", "pasted.cfg", directory=tmp_path)
    with running(haproxy, "-db", "-f", "pasted.cfg", directory=tmp_path, port=port):
        # Many connections, so that all nodes get some.
        for number in range(COUNT):
            with contextlib.closing(proxied(port)) as client:
                assert client.set(f"key:{number}", f"value {number}")
        for number in range(COUNT):
            with contextlib.closing(proxied(port)) as client:
                assert client.get(f"key:{number}") == f"value {number}".encode()
        assert 0.1 < share_direct(fleet, 2 * COUNT, "haproxy") < 0.9
        read_back(fleet)
        for node in fleet.nodes.values():
            assert node.foreign()["foreign_gets"] > 0, f"{node.name} got no connection"
        without_one_node(fleet, port)


def without_one_node(fleet, port):
    """The proxy's address serves what the nodes that are left own, on each connection. Only one that
    is about to leave the lost node for another may be closed, at the one moment at which HAProxy closes
    all connections to that node."""
    lost, *left = fleet.nodes.values()
    owners = {number: left[0].ask(f"ring owner key:{number}") for number in range(COUNT)}
    kept = [number for number, owner in owners.items() if f"OWNER {lost.name} " not in owner]
    lost.kill()
    assert 0 < len(kept) < COUNT
    closed = 0
    for number in kept:
        with contextlib.closing(proxied(port)) as client:
            try:
                value = client.get(f"key:{number}")
            except MemcacheUnexpectedCloseError:
                closed += 1
                value = client.get(f"key:{number}")
            assert value == f"value {number}".encode()
    assert closed <= 1


def test_mcrouter(fleet):
    """mcrouter itself is not run: its configuration is held to what its documentation says."""
    config = json_with_comments(exported("mcrouter", fleet.file.path))
    pool = config["pools"]["ringbinder"]
    assert pool == {
        "servers": [node["address"] for node in nodes_of(fleet)],
        "connect_timeout": 500,
        "server_timeout": 500,
    }
    first, second = config["route"]["children"]
    assert first["type"] == "PoolRoute" and first["pool"] == "ringbinder"
    assert first["hash"] == {"hash_func": "WeightedCh3", "weights": [0.2, 0.4, 1.0]}
    assert second == "LatestRoute|Pool|ringbinder"
    # Nothing that may have been carried out is sent again.
    assert config["route"]["type"] == "FailoverRoute"
    assert set(config["route"]["failover_errors"]) == {"tko", "connect_error", "connect_timeout"}


def json_with_comments(text):
    return json.loads("".join(line for line in text.splitlines(True) if not line.startswith("//")))


def test_json(fleet):
    document = json.loads(exported("json", fleet.file.path))
    word, version, digest = next(iter(fleet.nodes.values())).ask("ring version").split()
    assert word == "RING"
    assert (str(document["version"]), document["digest"]) == (version, digest)
    assert list(document) == ["version", "digest", "hash", "client", "nodes"]
    assert document["hash"] == "ketama"
    for found, node in zip(document["nodes"], nodes_of(fleet), strict=True):
        assert {field: found[field] for field in node} == node
        assert f"{found['host']}:{found['port']}" == node["address"].translate({91: None, 93: None})
        assert list(found) == ["name", "address", "host", "port", "weight", "share"]
    assert sum(it["share"] for it in document["nodes"]) == 1


# Every ring of the golden vectors.


@pytest.mark.parametrize("name", RINGS)
def test_json_of_every_ring(name):
    document = json.loads(exported("json", VECTORS / f"{name}.toml"))
    file = tomllib.loads((VECTORS / f"{name}.toml").read_text())
    assert document["version"] == file["version"]
    assert [(it["address"], it["weight"]) for it in document["nodes"]] == [
        (it["address"], it.get("weight", 1)) for it in file["node"]
    ]
    # Shares are parts of 2^32, and add up without a rest.
    assert sum(it["share"] for it in document["nodes"]) == 1
    owners = Vectors(name).owners
    for place, node in enumerate(document["nodes"]):
        assert abs(owners.count(place) / len(owners) - node["share"]) < 0.03


@pytest.mark.parametrize("name", RINGS)
def test_pylibmc_finds_the_owners_of_every_ring(name):
    pasted = {}
    exec(exported("pylibmc", VECTORS / f"{name}.toml"), pasted)
    assert [pasted["client"].hash(key) for key in KEYS] == Vectors(name).owners


@pytest.mark.parametrize("name", RINGS)
def test_django_finds_the_owners_of_every_ring(name):
    from django.core.cache.backends.memcached import PyLibMCCache

    pasted = {}
    exec(exported("django", VECTORS / f"{name}.toml"), pasted)
    settings = pasted["CACHES"]["default"]
    assert settings["BACKEND"] == f"{PyLibMCCache.__module__}.PyLibMCCache"
    cache = PyLibMCCache(settings["LOCATION"], {"OPTIONS": settings["OPTIONS"]})
    assert [cache._cache.hash(key) for key in KEYS] == Vectors(name).owners


@pytest.mark.parametrize("name", RINGS)
def test_pymemcache_finds_the_owners_of_every_ring(name):
    pasted = {}
    exec(exported("pymemcache", VECTORS / f"{name}.toml"), pasted)
    vectors = Vectors(name)
    servers = [f"{host}:{port}" for host, port, _ in vectors.nodes]
    find = pasted["client"].hasher.get_node
    assert [find(key) for key in KEYS] == [servers[owner] for owner in vectors.owners]
    assert set(pasted["client"].clients) == set(servers)


def test_pymemcache_gives_up_a_dead_node_and_moves_no_other_keys():
    pasted = {}
    exec(exported("pymemcache", VECTORS / "weights.toml"), pasted)
    hasher = pasted["client"].hasher
    before = {key: hasher.get_node(key) for key in KEYS}
    lost = next(iter(before.values()))
    hasher.remove_node(lost)
    after = {key: hasher.get_node(key) for key in KEYS}
    assert lost not in after.values()
    assert all(after[key] == owner for key, owner in before.items() if owner != lost)
    hasher.add_node(lost)
    assert {key: hasher.get_node(key) for key in KEYS} == before
    for host, port, _ in pasted["NODES"]:
        hasher.remove_node(f"{host}:{port}")
    assert hasher.get_node("key") is None


@pytest.mark.parametrize("name", RINGS)
def test_php_finds_the_owners_of_every_ring(name, tmp_path):
    interpreter = php()
    (tmp_path / "pasted.php").write_text(exported("php", VECTORS / f"{name}.toml"))
    (tmp_path / "keys").write_text("".join(f"{key.hex()}\n" for key in KEYS))
    (tmp_path / "run.php").write_text(
        "<?php require 'pasted.php';\n"
        "foreach (file('keys', FILE_IGNORE_NEW_LINES) as $key) {\n"
        "    $server = $memcached->getServerByKey(hex2bin($key));\n"
        '    echo "$server[host]:$server[port]\\n";\n'
        "}\n"
    )
    vectors = Vectors(name)
    servers = [f"{host}:{port}" for host, port, _ in vectors.nodes]
    found = run(interpreter, "run.php", directory=tmp_path).splitlines()
    assert found == [servers[owner] for owner in vectors.owners]


@pytest.mark.parametrize("name", RINGS)
def test_proxies_take_every_ring(name, tmp_path):
    for target, check in {
        "twemproxy": [program("nutcracker", "nutcracker"), "-t", "-c"],
        "haproxy": [program("haproxy", "haproxy"), "-c", "-f"],
    }.items():
        (tmp_path / target).write_text(exported(target, VECTORS / f"{name}.toml"))
        run(*check, target, directory=tmp_path)


def large_ring(path, nodes):
    entries = (
        f'[[node]]\nname = "n{n}"\naddress = "10.0.{n // 100}.{n % 100 + 1}:11211"\n'
        f"weight = {1 + n % 7}\n"
        for n in range(nodes)
    )
    path.write_text("version = 7\n" + "".join(entries))
    return path


def test_two_hundred_nodes(tmp_path):
    ring = large_ring(tmp_path / "ring.toml", 200)
    pylibmc, pymemcache = {}, {}
    exec(exported("pylibmc", ring), pylibmc)
    exec(exported("pymemcache", ring), pymemcache)
    find = pymemcache["client"].hasher.get_node
    servers = [f"{host}:{port}" for host, port, _ in pymemcache["NODES"]]
    keys = [key for key in KEYS if key.isascii()]
    found = [find(key) for key in keys]
    assert found == [servers[pylibmc["client"].hash(key)] for key in keys]
    # What the nodes find.
    ask = [os.environ["RINGBINDER"], "ring", "owner", "--ring", str(ring), "--"]
    owners = run(*ask, *map(bytes.decode, keys), directory=tmp_path)
    assert [line.split("\t")[2] for line in owners.splitlines()] == found
    for target in TARGETS:
        done = export(target, ring)
        if target == "php":
            assert done.returncode == 65 and "more than 100 servers" in done.stderr, done
        else:
            assert done.returncode == 0 and "10.0.1.100" in done.stdout, done
    for target, check in {
        "twemproxy": [program("nutcracker", "nutcracker"), "-t", "-c"],
        "haproxy": [program("haproxy", "haproxy"), "-c", "-f"],
    }.items():
        (tmp_path / target).write_text(exported(target, ring))
        run(*check, target, directory=tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_the_text_names_its_ring(target):
    ring = VECTORS / "one.toml"
    document = json.loads(exported("json", ring))
    if target != "json":
        named = f"ring version {document['version']}, digest {document['digest']}."
        assert named in exported(target, ring)
