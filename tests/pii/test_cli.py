import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.pii.cli import app

RUNNER = CliRunner()
ENV = "PORT=1\nDB_PASSWORD=Tr0ub4dor!x9\n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / ".env").write_text(ENV)
    return str(tmp_path / ".env")


def test_scan_shows_type_and_place_but_never_the_value(file: str) -> None:
    shown = RUNNER.invoke(app, ["scan", file]).output
    assert "SECRET" in shown and "2:13" in shown
    assert "Tr0ub4dor" not in shown


def test_scan_as_json_gives_character_offsets(file: str) -> None:
    span = json.loads(RUNNER.invoke(app, ["scan", file, "--json"]).output)["spans"][0]
    assert ENV[span["start"] : span["end"]] == "Tr0ub4dor!x9"


def test_lines_of_json_are_answered_line_by_line() -> None:
    lines = [{"id": "a", "text": "é anna@northwind.io"}, {"id": "b", "text": "\ud83d none"}]
    given = "\n".join(json.dumps(line) for line in lines)
    shown = RUNNER.invoke(app, ["scan", "-", "--jsonl"], input=given).output
    first, second = map(json.loads, shown.splitlines())
    assert first == {"id": "a", "spans": [{"start": 2, "end": 19, "type": "EMAIL", "score": 1.0}]}
    assert second == {"id": "b", "spans": []}


def test_a_broken_line_is_named() -> None:
    result = RUNNER.invoke(app, ["scan", "-", "--jsonl"], input='{"id": "a"}')
    assert result.exit_code == 2
    assert "line 1" in result.stderr and "text" in result.stderr


def test_explain_names_the_rule(file: str) -> None:
    assert "password" in RUNNER.invoke(app, ["explain", file]).output


def test_a_missing_file_is_an_error_of_one_line() -> None:
    result = RUNNER.invoke(app, ["scan", "/nowhere/at/all"])
    assert result.exit_code == 2 and "/nowhere/at/all" in result.stderr
