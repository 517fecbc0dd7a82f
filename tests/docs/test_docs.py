"""What the documents say is true: settings, commands, decisions, links, metrics."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import prometheus_client
import pytest

from libs.common import telemetry
from libs.common.settings import Settings

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FIRST_TARGET = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text()


def settings_below(kind: Any, path: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(kind):
        name = f"{path}.{field.name}".lstrip(".")
        nested = field.type
        inner = getattr(nested, "__args__", (None,))[-1]
        if isinstance(nested, type) and issubclass(nested, msgspec.Struct):
            found += settings_below(nested, name)
        elif isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found += settings_below(inner, f"{name}.NAME")
        else:
            found.append(name)
    return found


def default_of(setting: str) -> str:
    """A setting's default as the table shows it."""
    kind: Any = Settings
    default: Any = None
    for part in setting.split("."):
        if part == "NAME":
            kind = kind.__args__[-1]
            continue
        field = next(f for f in msgspec.structs.fields(kind) if f.name == part)
        kind = field.type
        default = field.default if field.default_factory is msgspec.NODEFAULT else "empty"
    shown = {msgspec.NODEFAULT: "", "empty": "empty", "": "empty", None: "", (): "empty"}
    if isinstance(default, str | None) or default is msgspec.NODEFAULT:
        return shown.get(default, f"`{default}`")
    return f"`{json.dumps(default)}`"


def test_every_setting_is_documented_with_its_default() -> None:
    page = text("docs/configuration.md")
    rows = {s: f"| `{s}` | {default_of(s)} | " for s in settings_below(Settings)}
    assert [setting for setting, row in rows.items() if row not in page] == []


def test_no_setting_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `([a-zA-Z_.0-9]+)` \|", text("docs/configuration.md"), re.MULTILINE)
    assert sorted(set(rows) - set(settings_below(Settings))) == []


def test_decisions_are_numbered_without_gaps_and_have_their_sections() -> None:
    numbers = [int(file.name[:4]) for file in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    for file in DECISIONS:
        content = file.read_text()
        for section in ("Status", "Context", "Decision", "Consequences", "Alternatives"):
            assert re.search(rf"^(## |\*\*){section}", content, re.MULTILINE), (file.name, section)


def test_every_dependency_has_its_decision() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    asked = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    names = {re.split(r"[\[<>=;~ ]", line)[0] for line in asked} - {"modelmuxer"}
    decided = " ".join(file.read_text() for file in DECISIONS)
    assert {name for name in names if not re.search(rf"\b{name}\b", decided)} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_is_short_and_its_make_targets_exist() -> None:
    readme = text("README.md")
    targets = set(FIRST_TARGET.findall(text("Makefile")))
    assert len(readme.splitlines()) <= 120
    assert set(re.findall(r"\bmake ([a-z-]+)", readme)) <= targets


def test_every_command_named_in_the_documents_exists() -> None:
    from services.__main__ import SERVICES
    from services.launcher.command_line import PARTS

    words = {w for d in DOCUMENTS for w in re.findall(r"`modelmuxer ([a-z]+)", d.read_text())}
    assert words - set(PARTS) - set(SERVICES) == set()


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"make {t} " in done.stdout for t in FIRST_TARGET.findall(text("Makefile")))


def test_every_metric_is_documented() -> None:
    kinds = prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram
    names = [m._name for m in vars(telemetry).values() if isinstance(m, kinds)]
    documented = text("docs/operations.md") + (
        text("docs/metrics.md") if (ROOT / "docs/metrics.md").exists() else ""
    )
    assert [name for name in names if name not in documented] == []


def test_every_alert_has_its_runbook() -> None:
    alerts = re.findall(r"- alert: (\w+)", text("deploy/prometheus/alerts.yml"))
    assert re.findall(r"^## (\w+)$", text("docs/runbooks.md"), re.MULTILINE) == alerts


def test_no_document_speaks_of_a_package_index_host() -> None:
    files = [*DOCUMENTS, *ROOT.glob("*.lock"), *ROOT.glob("requirements/*"), ROOT / "Dockerfile"]
    hosts = re.compile(r"--(extra-)?index-url|pythonhosted\.org")
    assert [f.name for f in files if f.exists() and hosts.search(f.read_text())] == []


def test_the_version_command_tells_the_version_of_the_project() -> None:
    argv = [sys.executable, "-P", "-m", "services", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    assert re.fullmatch(r"modelmuxer \d+\.\d+\.\d+\n", done.stdout)
