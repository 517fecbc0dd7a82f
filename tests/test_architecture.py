"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("gateway", "router", "pii", "ledger", "analytics", "launcher", "cli")
# What libs.common may use besides the standard library.
COMMON_NEEDS = {"msgspec", "nats", "prometheus_client", "genai_prices", "uvloop", "libs"}
# Where each package of the product's shape does its work: what is called there, `.name` on what
# the package made.
USES = {
    "fastapi": {"services/gateway/app.py": "fastapi.FastAPI .include_router"},
    "uvicorn": {"services/gateway/main.py": "uvicorn.Config .serve"},
    "nats-py": {"libs/common/bus.py": "nats.aio.client.Client .connect .subscribe .publish"},
    "httpx": {
        "services/gateway/upstream.py": "httpx.Request .handle_async_request",
        "services/ledger/webhooks.py": "httpx.AsyncClient .post",
    },
    "redis": {
        "services/ledger/store.py": "redis.asyncio.Redis .aclose",
        "services/ledger/budgets.py": ".hvals .pipeline",
    },
    "clickhouse-connect": {
        "services/analytics/store.py": "clickhouse_connect.get_client .insert .query"
    },
    "presidio-analyzer": {"services/pii/engine.py": "presidio_analyzer.AnalyzerEngine .analyze"},
    "prometheus-client": {
        "libs/common/telemetry.py": "prometheus_client.Histogram prometheus_client.Counter",
        "services/gateway/report.py": ".observe .inc",
        "services/gateway/routes/health.py": "prometheus_client.exposition.generate_latest",
    },
    "pytest": {"tests/support/fixtures.py": "pytest.fixture"},
    "testcontainers": {
        "tests/deploy/test_containers.py": "testcontainers.core.container.DockerContainer "
        ".with_exposed_ports"
    },
}
MAX_FILE, MAX_FUNCTION = 500, 60
# Tables of facts have no more to read than their rows.
TABLES = {"libs/common/catalogue_data.py"}
DOUBLES = re.compile(r"\b(MagicMock|AsyncMock|Mock\(|mocker\b|patch\(|unittest\.mock)")


def tracked(*folders: str) -> Iterator[Path]:
    """The Python files of the tree; a file that git ignores is not ours."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split() if done.returncode == 0 else _walked(folders)
    for name in names:
        if name.endswith(".py") and (ROOT / name).exists():
            yield ROOT / name


def _walked(folders: tuple[str, ...]) -> list[str]:
    """The same from a source archive, which has no git."""
    return [str(p.relative_to(ROOT)) for f in folders for p in (ROOT / f).rglob("*.py")]


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_only_itself_and_common(service: str) -> None:
    foreign = [
        f"{name_of(file)} imports {module}"
        for file in tracked(f"services/{service}")
        for module in imports(file)
        if module.startswith(("services.", "libs."))
        and not module.startswith((f"services.{service}", "libs.common"))
    ]
    assert foreign == []


def test_libs_never_import_services() -> None:
    wrong = [name_of(f) for f in tracked("libs") for m in imports(f) if m.startswith("services")]
    assert wrong == []


def test_common_needs_little() -> None:
    import sys

    allowed = COMMON_NEEDS | sys.stdlib_module_names
    foreign = {
        f"{name_of(file)} imports {module}"
        for file in tracked("libs/common")
        for module in imports(file)
        if module.split(".")[0] not in allowed
    }
    assert foreign == set()


def test_only_the_command_knows_all_services() -> None:
    """By name: `services/__main__.py` and the launcher import no service."""
    files = [*tracked("services/launcher"), ROOT / "services/__main__.py"]
    wrong = [m for f in files for m in imports(f) if re.match(rf"services\.({_others()})\b", m)]
    assert wrong == []


def _others() -> str:
    return "|".join(service for service in SERVICES if service != "launcher")


def test_files_are_short() -> None:
    long = {
        name_of(file): lines
        for file in tracked("services", "libs", "tests", "scripts")
        if (lines := len(file.read_text().splitlines())) > MAX_FILE and name_of(file) not in TABLES
    }
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(file)}:{node.lineno} {node.name}": length
        for file in tracked("services", "libs", "tests", "scripts")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := _length(node)) > MAX_FUNCTION
    }
    assert long == {}


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines without the docstring."""
    documented = ast.get_docstring(function) is not None
    first = function.body[1] if documented and len(function.body) > 1 else function.body[0]
    assert function.end_lineno
    return function.end_lineno - first.lineno + 1


def test_nothing_is_mocked() -> None:
    here = Path(__file__)
    wrong = [name_of(f) for f in tracked("tests") if f != here and DOUBLES.search(f.read_text())]
    assert wrong == []


def test_blanket_excepts_stay_where_something_must_go_on() -> None:
    allowed = {
        "libs/common/bus.py",
        "libs/common/journal.py",
        "libs/common/service.py",
        "services/__main__.py",
    }
    found = {
        name_of(file)
        for file in tracked("services", "libs")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ExceptHandler) and _swallows_anything(node)
    }
    assert found <= allowed


def _swallows_anything(handler: ast.ExceptHandler) -> bool:
    names = {"Exception", "BaseException"}
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    return caught in names and not isinstance(handler.body[-1], ast.Raise)


@pytest.mark.parametrize("package", USES)
def test_each_package_does_its_work_where_it_belongs(package: str) -> None:
    for file, calls in USES[package].items():
        missing = set(calls.split()) - called(ROOT / file)
        assert not missing, f"{package} does not do its work in {file}"


def called(file: Path) -> set[str]:
    """What a file calls: imported things by their full name, methods as `.name`."""
    tree = ast.parse(file.read_text())
    names = dict(pair for node in ast.walk(tree) for pair in _imported(node))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = {f".{call.attr}" for call in calls if isinstance(call, ast.Attribute)}
    written = [ast.unparse(call).partition(".") for call in calls]
    return methods | {names[first] + dot + rest for first, dot, rest in written if first in names}


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that an import makes, and what each stands for."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        before = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            yield alias.asname or alias.name, before + alias.name


@pytest.mark.parametrize("package", USES)
def test_each_package_is_declared(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    assert any(re.match(rf"{package}\b(?!-)", line) for line in declared)
