"""The real clients in a throw-away HOME: connected they answer through the product, and after
disconnecting their settings are what they were."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_connect import BEFORE, place, put
from tests.clients.installed import AIDER, CLAUDE_CODE, CLINE, OPENCODE, Client, Missing
from tests.clients.session import QUIET
from tests.scripts.terminal import Terminal
from tests.support.product import Product

pytestmark = pytest.mark.slow
Run = Callable[..., int]
QUESTION = "What is the capital of France?"
CAPITAL = "The capital of France is Paris."
OPTIONS = {
    "claude": ["-p", QUESTION, "--output-format", "json"],
    "cline": [QUESTION],
    "opencode": ["run", "--model", "anthropic/claude-sonnet-4-5", QUESTION],
    "aider": [
        "--no-git", "--yes-always", "--no-check-update", "--analytics-disable",
        "--no-show-model-warnings", "--message", QUESTION,
    ],
}  # fmt: skip
CLIENTS = {"claude": CLAUDE_CODE, "cline": CLINE, "opencode": OPENCODE, "aider": AIDER}


def program(client: Client) -> str:
    try:
        return str(client.install())
    except Missing as missing:
        pytest.skip(f"{client.name}: {missing}")


def environment(home: Path, **more: str) -> dict[str, str]:
    return QUIET | {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb"} | more


def ask(name: str, home: Path) -> str:
    """Nothing in the environment says where to go: only the settings do."""
    argv = [program(CLIENTS[name]), *OPTIONS[name]]
    done = subprocess.run(
        argv, cwd=home / "project", env=environment(home), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    end_daemons(home)
    return done.stdout + done.stderr


def end_daemons(home: Path) -> None:
    """Cline leaves a process behind, which names the folder that it was started in."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(home).encode() in file.read_bytes():
                os.kill(int(file.parent.name), signal.SIGTERM)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_connected_client_answers_and_leaves_no_trace(
    name: str, home: Path, mux: Run, product: Product
) -> None:
    program(CLIENTS[name])
    file = put(place(home, name), BEFORE[name])
    requests = product.log.count(" → ")
    assert mux("connect", name, "--url", product.url) == 0
    assert CAPITAL in ask(name, home)
    assert product.log.count(" → ") > requests, "through the product"
    assert mux("disconnect", name) == 0
    assert file.read_bytes() == BEFORE[name]


def test_claude_code_in_one_project_only(home: Path, mux: Run, product: Product) -> None:
    program(CLAUDE_CODE)
    before = put(home / "project/.claude/settings.local.json", b'{ "permissions": {} }')
    assert mux("connect", "claude", "--scope", "project", "--url", product.url) == 0
    answer = json.loads(ask("claude", home).splitlines()[0])
    assert answer["result"] == CAPITAL and not answer["is_error"]
    assert mux("disconnect", "claude", "--scope", "project") == 0
    assert before.read_bytes() == b'{ "permissions": {} }'


def begin(home: Path) -> None:
    """Past the screens of a first start."""
    begun = {"hasCompletedOnboarding": True, "theme": "dark"}
    trust = {str(home / "project"): {"hasTrustDialogAccepted": True}}
    (home / ".claude.json").write_text(json.dumps(begun | {"projects": trust}))


def test_claude_code_draws_the_status_line(home: Path, mux: Run, product: Product) -> None:
    """Interactive, in a pseudo-terminal."""
    begin(home)
    assert mux("connect", "claude", "--status-line", "--url", product.url) == 0
    env = environment(home, TERM="xterm-256color", COLUMNS="150", LINES="40")
    env.pop("CI")
    terminal = Terminal([program(CLAUDE_CODE)], env, home / "project")
    try:
        terminal.expect(r"ModelMuxer", 60)
        terminal.type(QUESTION)
        terminal.expect(r"France", 20)
        terminal.type("\r")
        terminal.expect(r"Paris", 60)
        terminal.expect(r"claude-haiku", 60)
    finally:
        terminal.close()


def test_claude_code_lists_our_models(home: Path, mux: Run, product: Product) -> None:
    """Its other traffic is allowed, but led to a proxy that is not there."""
    begin(home)
    assert mux("connect", "claude", "--discover-models", "--url", product.url) == 0
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
    env = environment(home, TERM="xterm-256color", **proxy)
    for name in ("CI", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"):
        env.pop(name)
    terminal = Terminal([program(CLAUDE_CODE)], env, home / "project")
    file = home / ".claude" / "cache" / "gateway-models.json"
    try:
        terminal.expect(r"\? for shortcuts|Claude Code", 60)
        deadline = time.monotonic() + 20
        while not file.exists() and time.monotonic() < deadline:
            terminal.read(0.2)
        ids = file.read_text()
    finally:
        terminal.close()
    assert "claude-modelmuxer-auto" in ids and "anthropic/gpt-" in ids


def test_claude_code_gets_a_title_for_its_conversation(
    home: Path, mux: Run, product: Product
) -> None:
    """Beside the first turn it asks, with the same large model, for a few words."""
    begin(home)
    assert mux("connect", "claude", "--url", product.url) == 0
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
    env = environment(home, TERM="xterm-256color", **proxy)
    for name in ("CI", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"):
        env.pop(name)
    terminal = Terminal([program(CLAUDE_CODE)], env, home / "project")
    try:
        terminal.expect(r"\? for shortcuts|Claude Code", 60)
        terminal.type(QUESTION)
        terminal.expect(r"France", 20)
        terminal.type("\r")
        terminal.expect(r"Paris", 60)
        deadline = time.monotonic() + 20
        while not (titles := _titles(product)) and time.monotonic() < deadline:
            terminal.read(0.5)
    finally:
        terminal.close()
    assert titles and all(row["status"] == 200 for row in titles)


def _titles(product: Product) -> list[dict[str, Any]]:
    ask = urllib.request.Request(
        f"{product.url}/v1/analytics/requests?limit=20", headers={"x-api-key": product.key}
    )
    with urllib.request.urlopen(ask, timeout=10) as answer:
        rows = json.load(answer)["rows"]
    return [row for row in rows if "title" in row["reason"]]
