"""The official libraries for Node at our doors, on models of every provider."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.clients.installed import OPENAI_NODE, TS_SDK, Client
from tests.clients.session import run
from tests.flow.test_other_providers import CONFIG
from tests.support.provider import Provider
from tests.support.servers import Server
from tests.support.stack import KEYS, Stack, stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PROGRAMS = Path(__file__).parent / "programs"
OTHERS = ("gpt-6.1-terra", "chat/gpt-6-luna", "gemini-3.8-flash", "mistral-medium-3-5")


@pytest.fixture(scope="module")
async def opened(place: Path, stores: tuple[Server, Server]) -> AsyncIterator[Stack]:
    async with stack(place, *stores, more=CONFIG) as services:
        yield services


def program(client: Client, name: str) -> list[str]:
    """Node resolves modules from the folder of the program."""
    return ["node", str(shutil.copy(PROGRAMS / name, client.folder))]


@pytest.mark.parametrize("client", [OPENAI_NODE], ids=lambda c: c.name)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", *OTHERS])
async def test_openais_library_asks_streams_runs_tools_and_lists(
    mux: Stack, home: Path, model: str, client: Client, need: Callable[[Client], None]
) -> None:
    need(client)
    ran = await run([*program(client, "openai.mjs"), mux.url, KEYS["plain"], model], home)
    assert ran.code == 0, ran.err
    found = ran.json
    assert (found["whole"], found["streamed"], found["tool"]) == ("whole", "streamed", "sunny")
    assert (found["response"], found["live"]) == ("responded", "live")
    assert found["usage"] > 0 and "claude-sonnet-5-5" in found["models"]
    assert found["error"] == [400, "BadRequestError"]


@pytest.mark.parametrize("client", [TS_SDK], ids=lambda c: c.name)
@pytest.mark.parametrize("model", OTHERS)
async def test_anthropics_library_works_on_models_of_others(
    mux: Stack, provider: Provider, home: Path, model: str, client: Client,
    need: Callable[[Client], None],
) -> None:  # fmt: skip
    need(client)
    ran = await run([*program(client, "sdk.mjs"), mux.url, KEYS["plain"], model], home)
    assert ran.code == 0, ran.err
    found = ran.json
    assert (found["whole"], found["streamed"], found["tool"]) == ("whole", "streamed", "sunny")
    assert found["counted"] > 0 and found["error"] == [429, "req_"]
    assert {call.path for call in provider.messages} & {"/v1/messages"} == set()
