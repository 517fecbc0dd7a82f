"""docker-compose.yml and the Dockerfile, as far as they can be read without an engine."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = {"gateway", "router", "pii", "ledger", "analytics"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def environment(name: str) -> dict[str, str]:
    return dict(compose()["services"][name]["environment"])


def test_the_gateways_container_has_the_name_the_guide_uses() -> None:
    assert compose()["services"]["gateway"]["container_name"] == "modelmuxer-app"


def test_only_the_gateway_has_a_fixed_name_so_that_the_others_scale() -> None:
    named = {n for n, service in compose()["services"].items() if "container_name" in service}
    assert named == {"gateway"}


def test_what_stands_in_the_env_file_reaches_the_gateway() -> None:
    passed = environment("gateway")
    providers = (f"{name}_API_KEY" for name in ("ANTHROPIC", "OPENAI", "GEMINI", "MISTRAL"))
    for name in ("API_KEYS", *providers):
        assert f"${{{name}" in passed[name]
    assert "${MODELMUXER_DEBUG" in passed["MODELMUXER_DEBUG"]


def test_only_the_gateway_gets_provider_keys() -> None:
    for name in SERVICES - {"gateway"}:
        assert not [key for key in environment(name) if key.endswith("_API_KEY")]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_runs_with_the_least_rights(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] and service["user"] == "65532:65532"
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_everything_but_the_migration_has_a_health_check() -> None:
    without = {
        name
        for name, service in compose()["services"].items()
        if "test" not in service.get("healthcheck", {})
    }
    assert without == {"migrate"}


def test_ports_are_open_to_this_machine_only() -> None:
    published = [p for s in compose()["services"].values() for p in s.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_docker_waits_for_the_longest_answer() -> None:
    grace = compose()["services"]["gateway"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= 660


def test_images_are_pinned() -> None:
    stores = [s["image"] for s in compose()["services"].values() if "build" not in s]
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.M)
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in (*stores, base))
    assert len(re.findall(r"^FROM \$\{PYTHON_IMAGE\}", DOCKERFILE, re.M)) == 2


def test_everything_starts_with_one_command() -> None:
    stores = {"nats", "redis", "clickhouse", "prometheus", "grafana"}
    assert set(compose()["services"]) == SERVICES | stores | {"migrate"}
    assert not [name for name, service in compose()["services"].items() if "profiles" in service]


def test_what_is_mounted_exists() -> None:
    mounts = [v for s in compose()["services"].values() for v in s.get("volumes", [])]
    for source in (m.split(":")[0] for m in mounts if m.startswith("./")):
        assert (ROOT / source).exists(), source


def test_each_image_installs_the_lock_of_its_service_with_hashes() -> None:
    assert "--require-hashes" in DOCKERFILE
    for name in SERVICES:
        assert compose()["services"][name]["build"]["args"] == {"SERVICE": name}
        lock = (ROOT / f"requirements-{name}.lock").read_text()
        pins = re.findall(r"^[a-z0-9._-]+==[^\n]+ \\\n    --hash=sha256:", lock, re.M)
        assert len(pins) == len(re.findall(r"^[a-z0-9._-]+==", lock, re.M))


def test_only_the_pii_image_carries_presidio() -> None:
    locks = {name: (ROOT / f"requirements-{name}.lock").read_text() for name in SERVICES}
    assert {name for name, lock in locks.items() if "presidio" in lock} == {"pii"}


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.search(r"^USER 65532:65532$", DOCKERFILE, re.M)


def test_nats_takes_messages_as_large_as_the_contracts_promise() -> None:
    from libs.common.contracts.base import MAX_PAYLOAD

    for file in ("nats.conf", "compose.conf"):
        text = (ROOT / "deploy/k8s/base/nats" / file).read_text()
        size = re.search(r"max_payload: (\d+)MB", text)
        assert size and int(size[1]) * 1024 * 1024 == MAX_PAYLOAD


class Override(yaml.SafeLoader):
    """Reads compose's `!reset` and `!override` as what they leave."""


Override.add_constructor("!reset", lambda loader, node: None)
Override.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def test_several_gateways_share_a_secret_and_neither_name_nor_port() -> None:
    text = (ROOT / "deploy/compose/gateways.yml").read_text()
    gateway = yaml.load(text, Override)["services"]["gateway"]
    assert gateway["container_name"] is None
    assert gateway["ports"] == ["127.0.0.1:8000-8009:8000"]
    assert "${MODELMUXER_SECRET:?" in gateway["environment"]["MODELMUXER_SECRET"]
    assert "volumes" not in gateway


@pytest.mark.parametrize("name", ["gateway", "router", "ledger"])
def test_what_a_service_has_spooled_outlives_its_container(name: str) -> None:
    assert compose()["services"][name]["volumes"] == [f"{name}:/data"]
    assert name in compose()["volumes"]


def test_grafana_reads_clickhouse_by_its_plugin_as_a_user_that_only_reads() -> None:
    grafana, clickhouse = (compose()["services"][name] for name in ("grafana", "clickhouse"))
    assert grafana["environment"]["GF_PLUGINS_PREINSTALL"].startswith("grafana-clickhouse-")
    assert any(
        "grafana-user.xml:/etc/clickhouse-server/users.d/" in v for v in clickhouse["volumes"]
    )
    for file in ("clickhouse/grafana-user.xml", "k8s/base/clickhouse/users.xml"):
        users = ElementTree.parse(ROOT / "deploy" / file).getroot()
        assert users.findtext("profiles/grafana/readonly") == "2", file
        assert [q.text for q in users.iterfind("users/grafana/grants/query")] == [
            "GRANT SELECT ON modelmuxer.*"
        ], file


@pytest.mark.parametrize("more", [[], ["-f", "deploy/compose/gateways.yml"]])
def test_docker_compose_takes_the_files(more: list[str]) -> None:
    docker = ["docker", "compose"]
    try:
        subprocess.run([*docker, "version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the compose plugin of docker is not installed")
    argv = [*docker, "-f", "docker-compose.yml", *more, "config", "--quiet"]
    given = {**os.environ, "API_KEYS": "sk-one", "MODELMUXER_SECRET": "secret"}
    done = subprocess.run(argv, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
