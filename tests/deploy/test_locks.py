"""The locks match what pyproject.toml asks for; `make lock` renews them."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[._-]+", "-", name[0]).lower()


@pytest.mark.parametrize("service", ["gateway", "router", "pii", "ledger", "analytics"])
def test_a_lock_holds_everything_its_service_asks_for(service: str) -> None:
    lock = (ROOT / f"requirements-{service}.lock").read_text()
    locked = {name_of(line) for line in re.findall(r"^\S+==", lock, re.M)}
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"][service]
    assert {name_of(one) for one in asked} - locked == set()
