"""Workflows only call scripts that also run by hand."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
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


@pytest.fixture
def released(tmp_path: Path) -> list[dict[str, str]]:
    """The images of the production overlay after two releases, with a registry's stand-in."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/pin-images", tmp_path / ".ci")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for number, name in enumerate(("gateway", "router", "pii", "ledger", "analytics"), 1):
        (tmp_path / f"digest-{name}").write_text(f"sha256:{number:064x}\n")
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho sha256:{'e' * 64}\n")
    docker.chmod(0o755)
    argv = ["bash", str(tmp_path / ".ci/pin-images"), "ghcr.io/us", str(tmp_path)]
    for _ in range(2):
        subprocess.run(argv, check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    file = tmp_path / "deploy/k8s/overlays/prod/kustomization.yaml"
    return list(yaml.safe_load(file.read_text())["images"])


def test_digests_of_a_release_end_in_the_production_overlay(
    released: list[dict[str, str]],
) -> None:
    ours = [image for image in released if image["name"].startswith("modelmuxer-")]
    assert [i["digest"] for i in ours] == [f"sha256:{n:064x}" for n in range(1, 6)]
    assert ours[2]["newName"] == "ghcr.io/us/modelmuxer-pii"


def test_a_release_pins_the_images_of_the_stores_too(released: list[dict[str, str]]) -> None:
    theirs = {i["name"]: i["digest"] for i in released if not i["name"].startswith("modelmuxer-")}
    assert set(theirs) == {"nats", "redis", "clickhouse/clickhouse-server"}
    assert set(theirs.values()) == {f"sha256:{'e' * 64}"}
    assert len(released) == 8


DOCKER = """#!/bin/sh
echo "$@" > {folder}/arguments
for argument; do
  [ "$last" = --metadata-file ] && echo '{{"containerimage.digest": "sha256:abc"}}' > "$argument"
  last=$argument
done
"""


def test_an_image_is_pushed_with_its_provenance_and_its_bill(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/image", tmp_path / ".ci")
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(folder=tmp_path))
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    argv = ["bash", str(tmp_path / ".ci/image"), "pii", "ghcr.io/us", "v1"]
    subprocess.run(argv, check=True, env={"PATH": path})
    said = (tmp_path / "arguments").read_text()
    for wanted in ("SERVICE=pii", "--provenance=mode=max", "--sbom=true", "--push"):
        assert wanted in said
    assert "--tag ghcr.io/us/modelmuxer-pii:v1" in said
    assert (tmp_path / "build/digest-pii").read_text() == "sha256:abc\n"


def test_a_night_is_committed_if_it_brought_news(tmp_path: Path) -> None:
    def git(*words: str, at: Path = tmp_path) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
        argv = ["git", *who, "-C", str(at), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet", "--bare", "--initial-branch=main", "origin")
    git("clone", "--quiet", "origin", "work")
    work = tmp_path / "work"
    for name in (".ci/commit-compatibility", "docs/compatibility.md"):
        (work / name).parent.mkdir()
        shutil.copy(ROOT / name, work / name)
    git("add", ".", at=work)
    git("commit", "--quiet", "-m", "first", at=work)
    git("push", "--quiet", "origin", "HEAD", at=work)
    for text in ("as it was tonight", "as it was tonight"):
        (work / "docs/compatibility.md").write_text(text)
        subprocess.run(["bash", str(work / ".ci/commit-compatibility")], check=True)
    assert len(git("log", "--format=%s", "main", at=tmp_path / "origin").splitlines()) == 2


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
