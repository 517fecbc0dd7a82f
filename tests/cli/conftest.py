"""A HOME for each test, and commands run as a user runs them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.__main__ import main

Run = Callable[..., int]
NAMES = (
    "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
    "MODELMUXER_URL", "MODELMUXER_KEY", "CLAUDE_CONFIG_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME", "CLINE_DATA_DIR", "HTTP_PROXY", "http_proxy",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME, and a project folder in it to stand in."""
    project = tmp_path / "home" / "project"
    project.mkdir(parents=True)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(project.parent))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(project)
    return project.parent


@pytest.fixture
def mux(home: Path) -> Run:
    """`modelmuxer WORDS…` in this process; returns the exit code."""
    return lambda *words: main([str(word) for word in words])
