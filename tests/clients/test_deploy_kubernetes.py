"""deploy/kubernetes: rendered as kubectl renders it, held to Kubernetes' own schemas, and its pods run
as a ring, with their variables, their names, and a ConfigMap that changes as the kubelet changes it.
"""

import re
import shutil
import tomllib

import pytest

from conftest import missing
from deploy_files import DEPLOY, PATH, load_yaml, run, settings_of, yaml
from deploy_hosts import Machines
from ring_fleet import wait_until

KUBERNETES = DEPLOY / "kubernetes"
RENDERED = ["base", "overlays/production", "overlays/prometheus-operator"]
# Of the oldest and the newest Kubernetes that this is for: preStop.sleep came with 1.29.
VERSIONS = ["1.29", "1.37"]
# What Kubernetes calls the standard "restricted" wants of every container.
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def render(name):
    """The objects of a kustomization."""
    if yaml is None:
        missing("PyYAML is not installed")
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0], path=PATH):
            return list(yaml.safe_load_all(run(*command, KUBERNETES / name)))
    missing("neither kustomize nor kubectl is installed")


def only(objects, kind, name="ringbinder"):
    found = [it for it in objects if it["kind"] == kind and it["metadata"]["name"].startswith(name)]
    assert len(found) == 1, [it["metadata"]["name"] for it in found]
    return found[0]


def pod_of(objects):
    return only(objects, "StatefulSet")["spec"]["template"]["spec"]


def ring_of(objects):
    return tomllib.loads(only(objects, "ConfigMap")["data"]["ring.toml"])


def variables_of(objects, pod):
    """The variables of a pod's container."""
    given = pod_of(objects)["containers"][0]["env"]
    for variable in given:
        source = variable.get("valueFrom")
        assert source in (None, {"fieldRef": {"fieldPath": "metadata.name"}}), variable
    return {variable["name"]: variable.get("value", pod) for variable in given}


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_keep_to_the_schemas(name, version):
    try:
        import kubernetes_validate
    except ImportError:
        missing("kubernetes-validate (PyPI) is not installed")
    for thing in render(name):
        if thing["apiVersion"].startswith("monitoring.coreos.com/"):
            # Kubernetes knows nothing of the operator's kinds.
            assert thing["kind"] in ("ServiceMonitor", "PrometheusRule")
            continue
        kubernetes_validate.validate(thing, version, strict=True)


def test_the_schemas_refuse_what_is_wrong():
    try:
        import kubernetes_validate
    except ImportError:
        missing("kubernetes-validate (PyPI) is not installed")
    thing = only(render("base"), "StatefulSet")
    thing["spec"]["replica"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(thing, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", RENDERED)
def test_pods_may_do_nothing_but_their_work(name):
    pod = pod_of(render(name))
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == RESTRICTED
        assert re.search(r":\d+\.\d+", container["image"]), container["image"]


@pytest.mark.parametrize("name", RENDERED)
def test_selectors_mean_the_pods(name):
    objects = render(name)
    labels = only(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    mine = [
        only(objects, "StatefulSet")["spec"]["selector"]["matchLabels"],
        only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(it["spec"]["selector"] for it in objects if it["kind"] == "Service"),
    ]
    for selector in mine:
        assert selector and selector.items() <= labels, selector
    # Clients are other pods: nothing of the node's own labels is asked of them.
    rules = only(objects, "NetworkPolicy")["spec"]["ingress"]
    clients = [peer for rule in rules for peer in rule["from"] if "podSelector" in peer]
    clients = [peer["podSelector"]["matchLabels"] for peer in clients if "namespaceSelector" in peer]
    assert clients == [{"ringbinder-client": "true"}]
    # The admin port is never among what clients reach.
    for rule in rules:
        if any("ringbinder-client" in str(peer) for peer in rule["from"]):
            assert [port["port"] for port in rule["ports"]] == ["memcached"]


@pytest.mark.parametrize("name", RENDERED)
def test_the_ring_names_the_pods(name):
    objects = render(name)
    workload = only(objects, "StatefulSet")
    space, service = workload["metadata"]["namespace"], workload["spec"]["serviceName"]
    headless = [it for it in objects if it["kind"] == "Service" and it["metadata"]["name"] == service]
    assert headless[0]["spec"]["clusterIP"] == "None"
    assert headless[0]["spec"]["publishNotReadyAddresses"]
    ports = {port["name"]: port["containerPort"] for port in pod_of(objects)["containers"][0]["ports"]}
    pods = [f"{workload['metadata']['name']}-{n}" for n in range(workload["spec"]["replicas"])]
    domain = f"{service}.{space}.svc.cluster.local:{ports['memcached']}"
    assert [(node["name"], node["address"]) for node in ring_of(objects)["node"]] == [
        (pod, f"{pod}.{domain}") for pod in pods
    ]


@pytest.mark.parametrize("name", RENDERED)
def test_memory_and_time_fit_the_settings(name):
    objects = render(name)
    pod = pod_of(objects)
    variables = variables_of(objects, "ringbinder-0")
    settings = settings_of(variables, ring=KUBERNETES / "base/ring.toml")
    limit = int(re.fullmatch(r"(\d+)Mi", pod["containers"][0]["resources"]["limits"]["memory"])[1])
    megabytes = settings["memory_limit"]
    # 48 MiB are what tests/memory.rs lets the process grow beyond -m; 16 KiB are for a connection
    # that is being served.
    assert megabytes + 48 + settings["conn_limit"] * 16 // 1024 <= limit
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause + 5 + megabytes / 100
    claims = only(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]
    storage = claims[0]["spec"]["resources"]["requests"]["storage"]
    assert int(re.fullmatch(r"(\d+)Gi", storage)[1]) * 1024 >= 2 * megabytes
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    for key in ("ring", "ring_cache", "snapshot"):
        assert settings[key].rpartition("/")[0] in mounts


class ConfigMap:
    """A directory as the kubelet makes it: files lead through the link `..data` to one directory of
    many, and a change puts another link in its place."""

    def __init__(self, directory):
        self.directory = directory
        self.count = 0
        directory.mkdir()

    def put(self, files):
        self.count += 1
        data = self.directory / f"..{self.count}"
        data.mkdir()
        for name, text in files.items():
            (data / name).write_text(text)
        beside = self.directory / "..data_tmp"
        beside.symlink_to(data.name)
        beside.rename(self.directory / "..data")
        for name in files:
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")


def test_the_pods_are_a_ring_that_grows_with_its_configmap(tmp_path):
    objects = render("base")
    text = only(objects, "ConfigMap")["data"]["ring.toml"]
    hosts = {node["name"]: node["address"].rpartition(":")[0] for node in ring_of(objects)["node"]}
    hosts["ringbinder-3"] = hosts["ringbinder-2"].replace("ringbinder-2", "ringbinder-3")
    maps = {pod: ConfigMap(tmp_path / f"{pod}.map") for pod in hosts}

    def start(machines, pod):
        maps[pod].put({"ring.toml": text})
        variables = variables_of(objects, pod)
        variables["RINGBINDER_RING"] = str(maps[pod].directory / "ring.toml")
        (tmp_path / pod).mkdir()
        variables["RINGBINDER_RING_CACHE"] = str(tmp_path / pod / "ring.toml")
        variables["RINGBINDER_SNAPSHOT"] = str(tmp_path / pod / "items.snapshot")
        machines.start(hosts[pod], variables)

    ring = tmp_path / "ring.toml"
    ring.write_text(text)
    with Machines(hosts.values(), tmp_path) as machines:
        for pod in list(hosts)[:3]:
            start(machines, pod)
        wait_until(lambda: machines.tool("check", "--ring", ring)[0] == 0, "a ring of three")
        # As ring.toml tells: the pod first, which owns nothing; then the ring, at one pod before others.
        start(machines, "ringbinder-3")
        code, said = machines.tool(
            "ring", "add", f"ringbinder-3={hosts['ringbinder-3']}:11211", "--ring", ring
        )
        assert code == 0, said
        maps["ringbinder-1"].put({"ring.toml": ring.read_text()})
        try:
            wait_until(lambda: machines.tool("check", "--ring", ring)[0] == 0, "a ring of four")
        except AssertionError:
            raise AssertionError(machines.logs()) from None
        code, said = machines.tool("set", "greeting", "hello", "--ring", ring)
        assert code == 0, said
        for pod in maps:
            maps[pod].put({"ring.toml": ring.read_text()})
        code, said = machines.tool("get", "greeting", "--ring", ring)
        assert (code, said.strip()) == (0, "hello"), machines.logs()


def test_the_operators_objects_find_the_nodes():
    objects = render("overlays/prometheus-operator")
    monitor = only(objects, "ServiceMonitor")["spec"]
    services = [
        it
        for it in objects
        if it["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= it["metadata"]["labels"].items()
        and any(port["name"] == monitor["endpoints"][0]["port"] for port in it["spec"]["ports"])
    ]
    assert [it["spec"]["clusterIP"] for it in services] == ["None"]
    jobs = [it for it in monitor["endpoints"][0]["relabelings"] if it["targetLabel"] == "job"]
    assert jobs == [{"targetLabel": "job", "replacement": "ringbinder"}]
    assert only(objects, "PrometheusRule")["spec"] == load_yaml(
        DEPLOY / "prometheus/ringbinder.rules.yml"
    )
