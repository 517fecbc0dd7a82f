"""The official SDKs: Python before and after its new API version, and TypeScript."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.installed import PYTHON_NEW, PYTHON_OLD, TS_SDK, Client
from tests.clients.session import run
from tests.support.provider import Provider
from tests.support.stack import KEYS, Stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.parametrize("client", [PYTHON_NEW, PYTHON_OLD, TS_SDK], ids=lambda c: c.name)
async def test_an_sdk_asks_streams_calls_tools_counts_and_lists(
    mux: Stack, provider: Provider, home: Path, client: Client, need: Callable[[Client], None]
) -> None:
    need(client)
    argv = [str(client.path), str(PROGRAMS / "sdk.py")]
    if client.kind == "npm":
        # Node resolves modules from the folder of the program.
        argv = ["node", str(shutil.copy(PROGRAMS / "sdk.mjs", client.folder))]
    ran = await run([*argv, mux.url, KEYS["plain"]], home)
    assert ran.code == 0, ran.err
    found = ran.json
    assert (found["whole"], found["streamed"], found["tool"]) == ("whole", "streamed", "sunny")
    assert found["counted"] > 0 and len(found["models"]) == 3
    assert found["error"] == [429, "req_"]
    versions = {call.header("anthropic-version") for call in provider.messages}
    assert versions == {"2023-06-01" if client is PYTHON_OLD else "2026-10-21"}


@pytest.mark.parametrize("key", ["plain", "masked"])
async def test_the_tool_runner_keeps_its_thread_or_goes_on_without(
    mux: Stack, provider: Provider, home: Path, key: str, need: Callable[[Client], None]
) -> None:
    need(PYTHON_NEW)
    argv = [str(PYTHON_NEW.path), str(PROGRAMS / "runner.py"), mux.url, KEYS[key]]
    ran = await run(argv, home)
    assert ran.code == 0, ran.err
    assert ran.json["text"] == "sunny"
    threads = [call.json.get("thread", {}).get("type") for call in provider.messages]
    # With masking the placeholders live in the full history, so threads are declined.
    assert threads == (["create", "continue"] if key == "plain" else [None, None])
