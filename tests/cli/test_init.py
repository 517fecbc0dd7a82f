"""Three questions give settings that work."""

import io
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.common.settings.load import load

Run = Callable[..., int]


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """What the user types. The questions read standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@pytest.fixture(autouse=True)
def no_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "MISTRAL_API_KEY",
        "API_KEYS",
    ):
        monkeypatch.delenv(name, raising=False)


def written() -> dict[str, object]:
    return tomllib.loads(Path("modelmuxer.toml").read_text())


def test_the_defaults_work_at_once(mux: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "", "", "")
    assert mux("init") == 0
    assert written() == {"gateway": {"host": "127.0.0.1", "port": 8000}}
    assert mux("config", "check") == 0


def test_keys_that_are_there_are_offered(mux: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("GOOGLE_API_KEY=real\n")
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test-claude-dev")
    answer(monkeypatch, "", "within-family", "machine")
    assert mux("init") == 0
    providers = written()["providers"]
    assert providers == {
        "openai": {"api_key": "env:OPENAI_API_KEY"},
        "gemini": {"api_key": "env:GOOGLE_API_KEY"},
    }
    assert load("modelmuxer.toml").settings.keys["me"].routing == "within-family"


def test_for_the_network_it_makes_a_key(
    mux: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("OTHER=1")
    answer(monkeypatch, "anthropic", "wrong", "auto", "network")
    assert mux("init") == 0
    lines = Path(".env").read_text().splitlines()
    assert lines[0] == "OTHER=1" and lines[1].startswith("CLIENT_KEY=sk-mm-")
    assert Path(".env").stat().st_mode & 0o777 == 0o600
    assert lines[1].partition("=")[2] not in Path("modelmuxer.toml").read_text()
    assert mux("config", "check") == 0
    assert "put ANTHROPIC_API_KEY=… into .env" in capsys.readouterr().err


def test_options_replace_the_questions(mux: Run) -> None:
    words = ("--providers", "none", "--routing", "respect", "--reach", "machine", "--port", "8123")
    assert mux("init", *words) == 0
    assert load("modelmuxer.toml").settings.gateway.port == 8123
    assert mux("init", "--yes") == 1 and mux("init", "--yes", "--force") == 0


def test_an_unknown_provider_is_named(mux: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert mux("init", "--providers", "anthropik", "--yes") == 2
    assert "anthropik" in capsys.readouterr().err
    assert not Path("modelmuxer.toml").exists()
