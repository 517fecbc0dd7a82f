"""Workflows only call scripts that also run by hand."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps() -> list[dict[str, Any]]:
    jobs = [j for w in WORKFLOWS for j in yaml.safe_load(w.read_text())["jobs"].values()]
    return [step for job in jobs for step in job.get("steps", [])]


def test_every_command_of_a_workflow_is_a_script_or_a_target() -> None:
    commands = [step["run"].split()[0] for step in steps() if "run" in step]
    assert commands
    for command in set(commands) - {"make"}:
        assert os.access(ROOT / command, os.X_OK), command


def test_actions_are_named_with_a_version() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert all(re.search(r"@v\d+$", action) for action in used)


def test_every_workflow_says_what_it_may_do() -> None:
    for workflow in WORKFLOWS:
        assert "permissions" in yaml.safe_load(workflow.read_text()), workflow.name


def test_digests_of_a_release_end_in_the_production_overlay(tmp_path: Path) -> None:
    target = tmp_path / "deploy/k8s/overlays/prod"
    target.mkdir(parents=True)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/pin-images").write_text((ROOT / ".ci/pin-images").read_text())
    source = ROOT / "deploy/k8s/overlays/prod/kustomization.yaml"
    (target / "kustomization.yaml").write_text(source.read_text())
    for number, name in enumerate(("gateway", "router", "pii", "ledger", "analytics"), 1):
        (tmp_path / f"digest-{name}").write_text(f"sha256:{number:064x}\n")
    argv = ["bash", str(tmp_path / ".ci/pin-images"), "ghcr.io/us", str(tmp_path)]
    subprocess.run(argv, check=True, env={"PATH": os.environ["PATH"]})
    images = yaml.safe_load((target / "kustomization.yaml").read_text())["images"]
    assert [i["digest"] for i in images] == [f"sha256:{n:064x}" for n in range(1, 6)]
    assert images[2]["newName"] == "ghcr.io/us/modelmuxer-pii"


def test_a_bill_of_materials_names_every_locked_package() -> None:
    place = ROOT / ".ci" / "bill_of_materials.py"
    spec = importlib.util.spec_from_file_location("bill_of_materials", place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = ROOT / "requirements-gateway.lock"
    bill = json.loads(json.dumps(module.bill(lock)))
    assert len(bill["components"]) == len(re.findall(r"^\S+==", lock.read_text(), re.M))
    assert all(component["hashes"] for component in bill["components"])
