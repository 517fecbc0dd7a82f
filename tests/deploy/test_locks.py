"""The locks match what pyproject.toml asks for; `make lock` renews them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What an image installs beside the part of its name.
ALSO = {"gateway": ["bedrock", "vertex"]}
SERVICES = ["gateway", "router", "pii", "ledger", "analytics"]


def asked(service: str) -> list[Requirement]:
    parts = [service, *ALSO.get(service, [])]
    lines = sum((PROJECT["optional-dependencies"][p] for p in parts), PROJECT["dependencies"])
    return [Requirement(line) for line in lines]


def locked(service: str) -> dict[str, str]:
    lock = (ROOT / f"requirements-{service}.lock").read_text()
    return {canonicalize_name(n): v for n, v in re.findall(r"^([\w.-]+)==([^ ;\\]+)", lock, re.M)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_lock_holds_everything_its_service_asks_for_in_the_range_it_asks_for(
    service: str,
) -> None:
    versions = locked(service)
    for requirement in asked(service):
        version = versions.get(canonicalize_name(requirement.name))
        assert version and version in requirement.specifier, requirement


@pytest.mark.parametrize("service", SERVICES)
def test_a_lock_holds_nothing_on_behalf_of_what_is_no_longer_asked_for(service: str) -> None:
    lock = (ROOT / f"requirements-{service}.lock").read_text()
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.M)[1:]
    ours = {entry.split("==")[0] for entry in entries if "modelmuxer (pyproject.toml)" in entry}
    assert ours == {canonicalize_name(requirement.name) for requirement in asked(service)}
