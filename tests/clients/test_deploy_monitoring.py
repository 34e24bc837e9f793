"""deploy/prometheus and deploy/grafana: rules fire as their tests say, expressions parse, and every
metric that they ask for is one that a node has."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.request

import pytest

from conftest import environment, missing
from deploy_files import DEPLOY, ROOT, flags, load_yaml, metrics_of, ringbinderd, run, tool
from ring_fleet import free_port, wait_until

RULES = DEPLOY / "prometheus/ringbinder.rules.yml"
DASHBOARD = DEPLOY / "grafana/ringbinder.json"
OPERATIONS = ROOT / "docs/operations.md"
# Prometheus itself says this of every target.
OF_PROMETHEUS = {"up"}


def promtool(*arguments):
    return run(tool("promtool", "prometheus"), *arguments)


def rules():
    return [rule for group in load_yaml(RULES)["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions_of_the_dashboard():
    """What its panels ask for, with Grafana's own variables filled in."""
    for panel in panels():
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "5m").replace("$node", ".*")
            assert "$" not in text, text
            yield panel["title"], text


def test_rules_parse():
    promtool("check", "rules", RULES)


def test_alerts_fire_when_they_should_and_only_then():
    promtool("test", "rules", DEPLOY / "prometheus/ringbinder.test.yml")


def test_every_alert_has_a_test():
    tested = {
        case["alertname"]
        for test in load_yaml(DEPLOY / "prometheus/ringbinder.test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == {alert["alert"] for alert in alerts()}


def test_every_alert_says_what_it_is_and_what_to_do():
    headings = re.findall(r"^#+ (.*)$", OPERATIONS.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    for alert in alerts():
        notes = alert["annotations"]
        assert notes["summary"] and notes["description"], alert["alert"]
        assert alert["labels"]["severity"] in ("info", "warning", "critical")
        page, _, anchor = notes["runbook"].partition("#")
        assert page == OPERATIONS.name and anchor in anchors, notes["runbook"]


def test_the_operators_rules_are_the_same():
    operator = load_yaml(DEPLOY / "kubernetes/overlays/prometheus-operator/prometheusrule.yaml")
    assert operator["spec"] == load_yaml(RULES)


def test_prometheus_takes_the_configuration(tmp_path):
    # Rules are named by the path they have in the container.
    config = (DEPLOY / "compose/prometheus.yml").read_text()
    config = config.replace("/etc/prometheus/ringbinder.rules.yml", str(RULES))
    (tmp_path / "prometheus.yml").write_text(config)
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_the_dashboard_is_sound():
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(titles) == len(set(titles))
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "node"}
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        assert grid["w"] > 0 and 0 <= grid["x"] and grid["x"] + grid["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    provider = load_yaml(DEPLOY / "grafana/provisioning/dashboards/ringbinder.yml")["providers"][0]
    compose = load_yaml(DEPLOY / "compose/compose.yaml")
    mounts = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/{DASHBOARD.name}" in mounts


def test_every_expression_of_the_dashboard_parses(tmp_path):
    found = list(expressions_of_the_dashboard())
    assert len(found) > 30
    # As rules, since that is what promtool reads.
    named = [{"record": f"panel:{n}", "expr": text} for n, (_, text) in enumerate(found)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}))
    promtool("check", "rules", path)


def test_names_are_found_in_expressions():
    text = 'sum by (le, job) (rate(a_total{b="c{d"}[5m])) / 2 * max(e:f > 0.5) and g offset 1h'
    assert metrics_of(text) == {"a_total", "e:f", "g"}


@pytest.fixture
def exported(tmp_path):
    """The names of all metrics of a node that has a ring, TLS and a snapshot, and was used."""
    if "--admin" not in flags():
        missing("this ringbinderd has no admin port")
    openssl = tool("openssl", "openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    run(
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "30", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate),
    )
    taken = set()
    for _ in range(4):
        taken.add(free_port(taken))
    port, secure, peer, admin = sorted(taken)
    ring = tmp_path / "ring.toml"
    ring.write_text(
        f'version = 1\n[[node]]\nname = "a"\naddress = "127.0.0.1:{port}"\n'
        f'[[node]]\nname = "b"\naddress = "127.0.0.1:{peer}"\n'
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        node = subprocess.Popen(
            [ringbinderd(), "-Z", "-o", f"ssl_chain_cert={certificate},ssl_key={key}"]
            + ["-l", f"notls:127.0.0.1:{port},127.0.0.1:{secure}", "--node", "a"]
            + ["--ring", str(ring), "--admin", f"127.0.0.1:{admin}"]
            + ["--snapshot", str(tmp_path / "snapshot"), "--peer-give-up", "100"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:

        def page():
            assert node.poll() is None, log.read_text()
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                    client.sendall(b"get key\r\n" * 1000 + b"quit\r\n")
                    client.makefile("rb").read()
                url = f"http://127.0.0.1:{admin}/metrics"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    text = answer.read().decode()
            except OSError:
                return None
            return text if "ringbinder_request_duration_seconds_bucket" in text else None

        text = wait_until(page, "metrics with latencies")
        yield set(re.findall(r"^([a-zA-Z_:][\w:]*)[ {]", text, re.MULTILINE))
    finally:
        node.send_signal(signal.SIGKILL)
        node.wait()


def test_every_metric_is_one_that_a_node_has(exported):
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = exported | recorded | OF_PROMETHEUS
    asked = {title: metrics_of(text) for title, text in expressions_of_the_dashboard()}
    asked |= {rule.get("alert", rule.get("record")): metrics_of(rule["expr"]) for rule in rules()}
    unknown = {title: names - known for title, names in asked.items() if names - known}
    assert unknown == {}, os.linesep.join(sorted(exported))
