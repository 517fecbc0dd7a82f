"""The real Claude Code, whose provider dies half-way through: another one finishes the work."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.clients.installed import CLAUDE_CODE, Client
from tests.clients.session import claude
from tests.support.provider import KEY, Provider, broken, running, say
from tests.support.provider.scene import from_marker
from tests.support.servers import Server
from tests.support.stack import Stack, stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CONFIG = """
[providers.openai]
api_key = "{key}"
base_url = "{second}/openai/v1"
[routing.fallbacks]
"claude-opus-4-8" = ["gpt-6.1-sol"]
"""


@pytest.fixture(autouse=True, scope="module")
def installed(need: Callable[[Client], None]) -> None:
    need(CLAUDE_CODE)


@pytest.fixture(scope="module")
async def other() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


@pytest.fixture(scope="module")
async def opened(
    place: Path, stores: tuple[Server, Server], other: Provider
) -> AsyncIterator[Stack]:
    more = CONFIG.format(key=KEY, second=other.url)
    async with stack(place, *stores, more=more) as services:
        yield services


async def test_a_session_outlives_its_provider(
    mux: Stack, provider: Provider, other: Provider, home: Path
) -> None:
    agent = f"agent dir={home}/work think=1"
    turns = (from_marker(agent, 0), from_marker(agent, 1))
    provider.script(*turns, broken("drop", at=2), say(fault="drop-first", times=500))
    ran = await claude(mux, home, f"[[stand-in: {agent}]]", "--model", "claude-opus-4-8")
    assert ran.code == 0 and ran.json["result"] == "AGENT-DONE", ran
    assert (home / "work/greeting.txt").read_text().startswith("goodbye world")
    assert len(provider.bill.lines) == 3 and len(other.bill.lines) >= 3
    assert all(call.status == 200 for call in other.messages), other.last.why
    rows = await mux.rows(len(provider.messages) + len(other.messages))
    assert {row.provider for row in rows if row.outcome == "ok"} == {"anthropic", "openai"}
    told = [row.cost for row in rows if row.outcome == "ok"]
    assert sum(told) == provider.bill.complete + other.bill.complete
