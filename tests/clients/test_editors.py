"""opencode, aider and Cline: other people's agents that speak to Claude."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.installed import AIDER, CLINE, OPENCODE, Client
from tests.clients.session import run
from tests.support.provider import Provider, say
from tests.support.stack import KEYS, Stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
MODEL = "claude-sonnet-5"


async def test_opencode_answers(
    mux: Stack, provider: Provider, home: Path, need: Callable[[Client], None]
) -> None:
    need(OPENCODE)
    options = {"baseURL": f"{mux.url}/v1", "apiKey": KEYS["plain"]}
    config = {"provider": {"anthropic": {"options": options, "models": {MODEL: {}}}}}
    work = home / "work"
    work.mkdir(parents=True)
    (work / "opencode.json").write_text(json.dumps(config | {"autoupdate": False}))
    provider.always = say("OPENCODE-DONE")
    argv = [str(OPENCODE.path), "run", "--model", f"anthropic/{MODEL}", "say it"]
    ran = await run(argv, home, OPENCODE_DISABLE_MODELS_FETCH="1")
    assert "OPENCODE-DONE" in ran.out, ran
    assert all(call.status == 200 for call in provider.messages)


async def test_aider_edits_a_file(
    mux: Stack, provider: Provider, home: Path, need: Callable[[Client], None]
) -> None:
    need(AIDER)
    work = home / "work"
    work.mkdir(parents=True)
    (work / "hello.py").write_text('print("hello")\n')
    old, new = 'print("hello")', 'print("goodbye")'
    edit = f"hello.py\n```\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n```"
    provider.always = say(edit)
    argv = [str(AIDER.path), "--model", f"anthropic/{MODEL}", "--edit-format", "diff"]
    argv += ["--no-git", "--yes-always", "--no-check-update", "--no-show-model-warnings"]
    argv += ["--no-analytics", "--no-show-release-notes", "--map-tokens", "0"]
    argv += ["--message", "Say goodbye.", "hello.py"]
    base = {"ANTHROPIC_API_BASE": mux.url, "ANTHROPIC_API_KEY": KEYS["plain"]}
    ran = await run(argv, home, 120, LITELLM_LOCAL_MODEL_COST_MAP="True", **base)
    assert "goodbye" in (work / "hello.py").read_text(), ran
    assert all(call.status == 200 for call in provider.messages)


async def test_cline_answers(
    mux: Stack, provider: Provider, home: Path, need: Callable[[Client], None]
) -> None:
    need(CLINE)
    settings = {"apiKey": KEYS["plain"], "model": MODEL, "baseUrl": mux.url}
    file = home / ".cline/data/settings/providers.json"
    file.parent.mkdir(parents=True)
    anthropic = {
        "settings": {"provider": "anthropic", **settings},
        "updatedAt": "2026-11-22T00:00:00.000Z",
        "tokenSource": "manual",
    }
    known = {"version": 1, "lastUsedProvider": "anthropic", "providers": {"anthropic": anthropic}}
    file.write_text(json.dumps(known))
    provider.always = say("CLINE-DONE")
    argv = [str(CLINE.path), "--json", "-P", "anthropic", "-m", MODEL, "say it"]
    ran = await run(argv, home, 90)
    assert "CLINE-DONE" in ran.out, ran
    assert all(call.status == 200 for call in provider.messages)
