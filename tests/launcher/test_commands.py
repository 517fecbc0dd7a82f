from pathlib import Path

import pytest

from services.launcher import place
from tests.launcher.test_command_line import modelmuxer


def test_commands_find_the_stores_of_a_launcher_that_runs(tmp_path: Path) -> None:
    stores = {"MODELMUXER_NATS_URL": "nats://127.0.0.1:1"}
    with place.claim(tmp_path):
        place.tell_stores(tmp_path, stores)
        assert place.running_stores(tmp_path) == stores
        assert (tmp_path / place.STORES).stat().st_mode & 0o077 == 0


def test_the_stores_of_a_launcher_that_has_ended_are_not_looked_for(tmp_path: Path) -> None:
    place.tell_stores(tmp_path, {"MODELMUXER_NATS_URL": "nats://127.0.0.1:1"})
    (tmp_path / "lock").write_text("999999999\n")
    assert place.running_stores(tmp_path) == {}


@pytest.mark.parametrize("name", ["data", "keys", "budgets", "limits", "prices", "config"])
def test_every_group_of_commands_has_help(tmp_path: Path, name: str) -> None:
    code, said = modelmuxer(name, "--help", cwd=tmp_path)
    assert code == 0, said
    assert f"modelmuxer {name}" in said


@pytest.mark.parametrize("name", ["router", "pii", "ledger", "analytics", "gateway", "costs"])
def test_every_command_has_help(tmp_path: Path, name: str) -> None:
    code, said = modelmuxer(name, "--help", cwd=tmp_path)
    assert code == 0, said
    assert f"modelmuxer {name}" in said
