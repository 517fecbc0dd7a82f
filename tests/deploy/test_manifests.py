"""The rendered Kubernetes objects: every secure default, in every overlay."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.common.settings import Settings

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = ["dev", "prod", "mtls"]
SERVICES = {"gateway", "router", "pii", "ledger", "analytics"}
STORES = {"nats", "redis", "clickhouse"}
LONGEST_ANSWER = 660
# Who may talk to whom, and where.
EDGES = {
    ("gateway", "nats", 4222),
    ("router", "nats", 4222),
    ("pii", "nats", 4222),
    ("ledger", "nats", 4222),
    ("analytics", "nats", 4222),
    ("gateway", "redis", 6379),
    ("ledger", "redis", 6379),
    ("analytics", "clickhouse", 8123),
    ("migrate", "clickhouse", 8123),
    ("nats", "nats", 6222),
}
pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    argv = ["kubectl", "kustomize", str(K8S / "overlays" / overlay)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def of_kind(overlay: str, *kinds: str) -> list[dict[str, Any]]:
    return [item for item in rendered(overlay) if item["kind"] in kinds]


def named(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in of_kind(overlay, kind)}


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """The pod specification of each workload, by its name."""
    workloads = of_kind(overlay, "Deployment", "StatefulSet", "Job")
    return {w["metadata"]["name"]: w["spec"]["template"]["spec"] for w in workloads}


def labels_of(overlay: str) -> dict[str, dict[str, str]]:
    workloads = of_kind(overlay, "Deployment", "StatefulSet", "Job")
    return {w["metadata"]["name"]: w["spec"]["template"]["metadata"]["labels"] for w in workloads}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_runs_with_the_least_rights(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] == 65532, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"], name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_service_may_write_is_memory_and_a_bounded_folder(overlay: str) -> None:
    for name in SERVICES | {"migrate"}:
        pod = pods(overlay)[name]
        mounts = {m["mountPath"]: m["name"] for m in pod["containers"][0]["volumeMounts"]}
        volumes = {v["name"]: v.get("emptyDir") for v in pod["volumes"]}
        assert volumes[mounts["/tmp"]]["medium"] == "Memory", name
        assert volumes[mounts["/tmp"]]["sizeLimit"] and volumes[mounts["/data"]]["sizeLimit"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_touches_its_host(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not [v for v in pod.get("volumes", []) if "hostPath" in v], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_five_services_and_three_stores_are_there(overlay: str) -> None:
    assert set(named(overlay, "Deployment")) == SERVICES
    assert set(named(overlay, "StatefulSet")) == STORES
    assert set(named(overlay, "Job")) == {"migrate"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_rollout_never_takes_a_replica_away_before_its_successor_is_ready(overlay: str) -> None:
    for name, deployment in named(overlay, "Deployment").items():
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        assert rolling == {"maxUnavailable": 0, "maxSurge": 1}, name
        assert deployment["spec"]["replicas"] >= 2, name
        assert deployment["spec"]["template"]["spec"]["topologySpreadConstraints"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_liveness_asks_about_the_process_alone_and_readiness_about_more(overlay: str) -> None:
    for name in SERVICES:
        container = pods(overlay)[name]["containers"][0]
        assert container["livenessProbe"]["httpGet"]["path"] == "/health", name
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready", name
        assert container["startupProbe"]["httpGet"]["path"] == "/health", name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_named_port_of_a_probe_exists(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        for container in pod["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            probes = [probe for key, probe in container.items() if key.endswith("Probe")]
            checks = [p.get("httpGet") or p.get("tcpSocket") for p in probes]
            assert {check["port"] for check in checks if check} <= ports, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateways_grace_outlasts_the_longest_answer(overlay: str) -> None:
    pod = pods(overlay)["gateway"]
    settings = next(m["data"] for m in of_kind(overlay, "ConfigMap") if "LOG_FORMAT" in str(m))
    waits = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    waits += int(settings["MODELMUXER_GATEWAY__DRAIN_WAIT"])
    assert Settings().gateway.drain >= LONGEST_ANSWER
    assert pod["terminationGracePeriodSeconds"] >= waits + Settings().gateway.drain


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nats_has_time_to_send_its_clients_elsewhere(overlay: str) -> None:
    pod = pods(overlay)["nats"]
    (container,) = pod["containers"]
    asked = container["lifecycle"]["preStop"]["exec"]["command"]
    assert asked == ["nats-server", f"-sl=ldm={container['command'][-1]}"]
    waits = re.findall(r'lame_duck_\w+: "(\d+)s"', files_of(overlay, "nats")["nats.conf"])
    assert pod["terminationGracePeriodSeconds"] > sum(map(int, waits)) > 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nats_is_three_nodes_apart_with_jetstream_on_disk(overlay: str) -> None:
    nats = named(overlay, "StatefulSet")["nats"]["spec"]
    (spread,) = nats["template"]["spec"]["topologySpreadConstraints"]
    assert nats["replicas"] == 3 and spread["topologyKey"] == "kubernetes.io/hostname"
    (folder,) = re.findall(r'store_dir: "(\S+)"', files_of(overlay, "nats")["nats.conf"])
    assert claimed(nats)[folder] == "20Gi"
    settings = [m["data"] for m in of_kind(overlay, "ConfigMap")]
    assert "3" in {data.get("MODELMUXER_JOURNAL__REPLICAS") for data in settings}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_redis_keeps_what_it_is_told_and_forgets_nothing(overlay: str) -> None:
    redis = named(overlay, "StatefulSet")["redis"]["spec"]
    command = redis["template"]["spec"]["containers"][0]["command"]
    assert {"--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"} <= set(
        command
    )
    assert claimed(redis)["/data"] and "--dir /data" in command


def claimed(spec: dict[str, Any]) -> dict[str, str]:
    """Where the pod mounts a disk of its own, and its size."""
    sizes = {c["metadata"]["name"]: c["spec"] for c in spec["volumeClaimTemplates"]}
    mounts = spec["template"]["spec"]["containers"][0]["volumeMounts"]
    return {
        m["mountPath"]: sizes[m["name"]]["resources"]["requests"]["storage"]
        for m in mounts
        if m["name"] in sizes
    }


def files_of(overlay: str, name: str) -> dict[str, str]:
    """What the ConfigMap of that name holds, which the overlay adds a hash to."""
    maps = of_kind(overlay, "ConfigMap")
    return next(m["data"] for m in maps if m["metadata"]["name"].rpartition("-")[0] == name)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_meet_the_labels_of_pods(overlay: str) -> None:
    everyone = labels_of(overlay).values()
    for item in of_kind(overlay, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec = item["spec"]
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", selector if item["kind"] == "Service" else {})
        assert any(wanted.items() <= labels.items() for labels in everyone), item["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_disruption_budgets_leave_somebody_running(overlay: str) -> None:
    budgets = named(overlay, "PodDisruptionBudget")
    workloads = named(overlay, "Deployment") | named(overlay, "StatefulSet")
    assert set(budgets) == SERVICES | {"nats"}
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] < workloads[name]["spec"]["replicas"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_talks_but_along_its_edges(overlay: str) -> None:
    policies = named(overlay, "NetworkPolicy")
    denied = policies["default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    out = {edge for p in policies.values() for edge in edges_of(p, "egress", "to")}
    into = {
        (b, a, port) for p in policies.values() for a, b, port in edges_of(p, "ingress", "from")
    }
    assert out == EDGES
    assert into == EDGES
    rules = [(n, r) for n, p in policies.items() for r in p["spec"].get("egress", [])]
    assert [name for name, rule in rules if not (rule.get("to") and rule.get("ports"))] == []
    rules = [(n, r) for n, p in policies.items() for r in p["spec"].get("ingress", [])]
    assert {n for n, rule in rules if not rule.get("from")} == {"clients-to-gateway"}


def edges_of(policy: dict[str, Any], way: str, peers: str) -> list[tuple[str, str, int]]:
    """(policy's pod, named peer pod, port); peers that are no pods of ours are left out."""
    me = policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name", "")
    return [
        (me, peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"], port["port"])
        for rule in policy["spec"].get(way, [])
        for peer in rule.get(peers, [])
        if "podSelector" in peer
        for port in rule["ports"]
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policies_name_ports_that_their_pods_open(overlay: str) -> None:
    for a, b, port in EDGES:
        opened = [p["containerPort"] for p in pods(overlay)[b]["containers"][0]["ports"]]
        assert port in opened, (a, b)


def test_the_gateway_reaches_providers_but_no_private_address() -> None:
    policy = named("prod", "NetworkPolicy")["gateway-to-providers"]["spec"]["egress"][0]
    block = policy["to"][0]["ipBlock"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(
        block["except"]
    )
    assert [port["port"] for port in policy["ports"]] == [443]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_come_from_one_secret_and_only_where_they_are_used(overlay: str) -> None:
    allowed = {
        "router": {"NATS_PASSWORD_ROUTER"},
        "pii": {"NATS_PASSWORD_PII"},
        "ledger": {"NATS_PASSWORD_LEDGER", "REDIS_PASSWORD_LEDGER"},
        "analytics": {"NATS_PASSWORD_ANALYTICS", "CLICKHOUSE_PASSWORD"},
    }
    assert of_kind(overlay, "Secret") == []
    for name, keys in allowed.items():
        env = pods(overlay)[name]["containers"][0].get("env", [])
        used = {e["valueFrom"]["secretKeyRef"]["key"] for e in env if "valueFrom" in e}
        assert used <= keys, name


def test_the_example_secret_names_every_key_that_is_used() -> None:
    named_keys = set(re.findall(r"^([A-Z_]+)=", (K8S / "secret.example.env").read_text(), re.M))
    containers = [c for pod in pods("dev").values() for c in pod["containers"]]
    references = [e["valueFrom"].get("secretKeyRef") for c in containers for e in c.get("env", [])
                  if "valueFrom" in e]  # fmt: skip
    needed = {r["key"] for r in references if r and not r.get("optional")}
    assert needed <= named_keys


def test_one_apply_and_one_secret_are_the_whole_install() -> None:
    assert {item["apiVersion"].split("/")[0] for item in rendered("dev")} <= {
        "v1", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"
    }  # fmt: skip
    text = json.dumps([pod for pod in pods("dev").values()])
    secrets = set(re.findall(r'"secretKeyRef": \{[^}]*"name": "([^"]+)"', text))
    maps = set(re.findall(r'"configMap(?:Ref)?": \{[^{}]*"name": "([^"]+)"', text))
    assert secrets == {"modelmuxer"} and '"secretName"' not in text
    assert maps and maps <= set(named("dev", "ConfigMap"))


def test_production_runs_images_by_digest() -> None:
    ours = [c["image"] for name, pod in pods("prod").items() for c in pod["containers"]
            if name in SERVICES | {"migrate"}]  # fmt: skip
    assert ours
    assert all(re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", image) for image in ours)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_image_is_named_without_a_version(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        for container in pod["containers"]:
            assert re.search(r"(:(?!latest)[\w.-]+|@sha256:\w+)$", container["image"]), name


def test_each_service_scales_and_analytics_by_lag_in_production() -> None:
    assert set(named("dev", "HorizontalPodAutoscaler")) == SERVICES
    assert set(named("prod", "HorizontalPodAutoscaler")) == SERVICES - {"analytics"}
    trigger = named("prod", "ScaledObject")["analytics"]["spec"]["triggers"][0]
    assert trigger["type"] == "nats-jetstream"
    assert trigger["metadata"]["stream"] == "MODELMUXER_EVENTS"


def test_prometheus_finds_every_service_at_a_port_it_may_reach() -> None:
    (monitor,) = of_kind("prod", "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [s for s in of_kind("prod", "Service") if wanted <= s["metadata"]["labels"].items()]
    assert {s["metadata"]["name"] for s in found} == SERVICES
    (endpoint,) = monitor["spec"]["endpoints"]
    (rule,) = named("prod", "NetworkPolicy")["monitoring-to-services"]["spec"]["ingress"]
    for service in found:
        (port,) = [p for p in service["spec"]["ports"] if p["name"] == endpoint["port"]]
        (container,) = pods("prod")[service["metadata"]["name"]]["containers"]
        opened = {p["name"]: p["containerPort"] for p in container["ports"]}
        assert opened[port["targetPort"]] in {p["port"] for p in rule["ports"]}


def test_external_secrets_make_the_secret_that_pods_read() -> None:
    (secret,) = of_kind("prod", "ExternalSecret")
    assert secret["spec"]["target"]["name"] == "modelmuxer"


def test_the_ingress_neither_buffers_nor_cuts_long_answers() -> None:
    ingress = named("prod", "Ingress")["gateway"]
    notes = ingress["metadata"]["annotations"]
    short = {key.rpartition("/")[2]: value for key, value in notes.items()}
    assert short["proxy-buffering"] == "off"
    assert int(short["proxy-read-timeout"]) >= LONGEST_ANSWER
    assert short["proxy-body-size"] == "32m"
    assert ingress["spec"]["tls"]


def test_the_dashboards_of_grafana_are_a_config_map_as_they_are_shipped() -> None:
    shipped = {f.name: f.read_text() for f in (K8S.parent / "grafana/dashboards").glob("*.json")}
    found = [m for m in of_kind("prod", "ConfigMap") if "grafana-dashboards" in str(m["metadata"])]
    assert [m["data"] for m in found] == [shipped]
    assert found[0]["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert all(json.loads(text)["panels"] for text in found[0]["data"].values())


def test_everybody_in_mutual_tls_has_a_certificate_of_its_name() -> None:
    certificates = named("mtls", "Certificate")
    volumes = [v for pod in pods("mtls").values() for v in pod.get("volumes", [])]
    asked = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert asked <= {c["spec"]["secretName"] for c in certificates.values()}
    for name in SERVICES:
        assert certificates[f"nats-tls-{name}"]["spec"]["dnsNames"] == [name]
    assert "*.nats-headless" in certificates["nats-tls-server"]["spec"]["dnsNames"]


def test_with_mutual_tls_no_service_holds_a_nats_password() -> None:
    for name in SERVICES:
        pod = pods("mtls")[name]
        names = {e["name"] for e in pod["containers"][0].get("env", [])}
        assert not {n for n in names if n.startswith("MODELMUXER_NATS__")}, name
        mounts = {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert "/tls" in mounts, name
