"""Each component on the base alone: it renders, its custom resources are valid, and it does what it
is for."""

import copy
import importlib.util
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.common.telemetry import IN_FLIGHT
from tests.deploy.test_manifests import K8S, LONGEST_ANSWER, SERVICES, named, pods

COMPONENTS = sorted(p.name for p in (K8S / "components").iterdir())
pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


def test_each_service_scales_on_cpu_and_the_asked_ones_on_work_in_hand_too() -> None:
    for name, scaler in named("dev", "HorizontalPodAutoscaler").items():
        (metric,) = scaler["spec"]["metrics"]
        assert metric["resource"]["name"] == "cpu"
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert scaler["spec"]["minReplicas"] >= 2
    scalers = [i for i in with_component("in-flight-metrics") if "Autoscaler" in i["kind"]]
    counted = {
        scaler["metadata"]["name"]: metric["pods"]["metric"]["name"]
        for scaler in scalers
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert counted == dict.fromkeys(SERVICES - {"analytics"}, "modelmuxer_in_flight")
    assert IN_FLIGHT.describe()[0].name == "modelmuxer_in_flight"


@cache
def with_component(component: str) -> list[dict[str, Any]]:
    """What the base renders to with one component."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(K8S.parent, Path(place) / "deploy")
        overlay = Path(place) / "deploy" / "k8s" / "overlays" / "one"
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(
            f"resources: [../../base]\ncomponents: [../../components/{component}]\n"
        )
        argv = ["kubectl", "kustomize", str(overlay)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def only(component: str, kind: str, name: str = "") -> dict[str, Any]:
    found = [item for item in with_component(component) if item["kind"] == kind]
    return next(item for item in found if name in ("", item["metadata"]["name"]))


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_renders_on_the_base_and_its_custom_resources_are_valid(
    component: str,
) -> None:
    items = with_component(component)
    assert [fault for item in items for fault in custom_resources().faults(item)] == []


@pytest.mark.parametrize(
    ("component", "kind", "path", "value"),
    [
        ("keda", "ScaledObject", "spec.maxReplicaCout", 3),
        ("keda", "ScaledObject", "spec.triggers", []),
        ("external-secrets", "ExternalSecret", "spec.refreshInterval", "often"),
        ("service-monitors", "ServiceMonitor", "spec.selectors", {}),
        ("gateway-api", "HTTPRoute", "spec.rules", [{"timeouts": {"requests": "660s"}}]),
        ("certificates", "Certificate", "spec.usages", ["clientAuth"]),
        ("clickhouse-operator", "ClickHouseInstallation", "spec.template", {}),
    ],
)
def test_a_slip_of_the_pen_in_a_custom_resource_is_found(
    component: str, kind: str, path: str, value: object
) -> None:
    slipped = copy.deepcopy(only(component, kind))
    *parents, last = path.split(".")
    inner = slipped
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    assert custom_resources().faults(slipped)


def test_a_custom_resource_without_a_schema_is_found() -> None:
    stranger = {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "one"}}
    assert custom_resources().faults(stranger) == ["Thing one: no schema in .ci/schemas"]


@cache
def custom_resources() -> Any:
    place = K8S.parents[1] / ".ci" / "custom_resources.py"
    spec = importlib.util.spec_from_file_location("custom_resources", place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clickhouse_by_its_operator_is_the_same_to_everybody_else() -> None:
    items = with_component("clickhouse-operator")
    installation = only("clickhouse-operator", "ClickHouseInstallation")["spec"]
    assert not [i for i in items if i["metadata"]["name"] == "clickhouse"]
    templates = installation["templates"]
    assert templates["serviceTemplates"][0]["generateName"] == "clickhouse"
    assert [p["port"] for p in templates["serviceTemplates"][0]["spec"]["ports"]] == [8123]
    shipped = pods("dev")["clickhouse"]
    pod = templates["podTemplates"][0]["spec"]
    assert pod["securityContext"] == shipped["securityContext"]
    assert pod["containers"][0]["securityContext"] == shipped["containers"][0]["securityContext"]
    assert pod["containers"][0]["image"] == shipped["containers"][0]["image"]
    assert {key.split("/")[0] for key in installation["configuration"]["users"]} == {
        "default", "grafana", "modelmuxer"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("store", "users", "port"),
    [("redis", {"gateway", "ledger"}, 6379), ("clickhouse", {"analytics", "migrate"}, 8123)],
)
def test_a_store_of_ones_own_takes_the_place_of_ours(
    store: str, users: set[str], port: int
) -> None:
    items = with_component(f"external-{store}")
    names = [i["metadata"]["name"] for i in items]
    assert [n for n in names if store in n.split("-")] == [f"out-to-external-{store}"]
    key, asked = f"{store.upper()}_URL", set()
    for item in items:
        if item["kind"] in ("Deployment", "Job"):
            (main,) = item["spec"]["template"]["spec"]["containers"]
            env = {e["name"]: e for e in main.get("env", [])}
            assert f"{store.upper()}_PASSWORD" not in env
            if given := env.get(f"MODELMUXER_{key}"):
                source = {"secretKeyRef": {"name": "modelmuxer", "key": key}}
                assert given == {"name": f"MODELMUXER_{key}", "valueFrom": source}
                asked.add(item["metadata"]["name"])
    policy = only(f"external-{store}", "NetworkPolicy", f"out-to-external-{store}")["spec"]
    assert set(policy["podSelector"]["matchExpressions"][0]["values"]) == users == asked
    assert port in [each["port"] for each in policy["egress"][0]["ports"]]


def test_grafana_runs_with_the_least_rights_and_what_compose_provisions() -> None:
    deployment = only("grafana", "Deployment", "grafana")
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    services = pods("dev")["gateway"]
    assert pod["securityContext"] == services["securityContext"]
    assert container["securityContext"] == services["containers"][0]["securityContext"]
    assert container["image"] == "grafana/grafana:12.1.1"
    compose = (K8S.parent / "grafana/provisioning/datasources/modelmuxer.yml").read_text()
    here = (K8S / "components/grafana/datasources.yml").read_text()
    assert here == compose.replace("prometheus:9090", "prometheus-operated.monitoring:9090")


def test_the_operators_alerts_are_the_shipped_ones() -> None:
    shipped = yaml.safe_load((K8S.parent / "prometheus/alerts.yml").read_text())
    assert only("service-monitors", "PrometheusRule")["spec"] == shipped


def test_the_route_of_the_gateway_api_waits_for_long_answers() -> None:
    (rule,) = only("gateway-api", "HTTPRoute")["spec"]["rules"]
    assert {int(v.removesuffix("s")) for v in rule["timeouts"].values()} == {LONGEST_ANSWER}
