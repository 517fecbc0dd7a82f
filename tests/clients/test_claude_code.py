"""The real Claude Code, in a clean home, streamed through all five services."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from services.gateway.masking import Placeholders
from tests.clients.installed import CLAUDE_CODE, Client
from tests.clients.session import claude
from tests.flow.asks import streamed
from tests.support.provider import Provider, broken, fail, say, think, use
from tests.support.stack import KEYS, Stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
# One red pixel.
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5E"
    "rkJggg=="
)

# Made up, each of a form that a real one has.
SECRETS = ("Tr0ub4dor!x9Qz", "sk_live_51Nw8Kd2eZvKYlo2CqP7rXh4TbM", "v9Kq2mXw7LpR4tYz")
ENV = f"""\
# Local settings
DEBUG=true
DB_PASSWORD={SECRETS[0]}
STRIPE_KEY="{SECRETS[1]}"
DATABASE_URL=postgres://app:{SECRETS[2]}@db.internal:5432/shop
"""


@pytest.fixture(autouse=True, scope="module")
def installed(need: Callable[[Client], None]) -> None:
    need(CLAUDE_CODE)


def _around(body: bytes, word: bytes) -> bytes:
    at = body.index(word)
    return body[max(0, at - 200) : at + 100]


async def test_an_agent_writes_reads_edits_and_runs(
    mux: Stack, provider: Provider, home: Path
) -> None:
    ran = await claude(mux, home, f"[[stand-in: agent dir={home}/work]]")
    assert ran.code == 0, ran
    assert ran.json["result"] == "AGENT-DONE" and ran.json["num_turns"] >= 5
    assert (home / "work/greeting.txt").read_text().startswith("goodbye world")
    turns = [call for call in provider.messages if call.json.get("stream")]
    assert len(turns) >= 5 and all(call.status == 200 for call in turns)
    assert await mux.booked(provider.bill.total) == provider.bill.total


async def test_a_token_in_place_of_a_key_works_too(
    mux: Stack, provider: Provider, home: Path
) -> None:
    token = {"ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": KEYS["plain"]}
    ran = await claude(mux, home, "hi", **token)
    assert ran.json["result"] == "Hello from the stand-in.", ran


async def test_thinking_goes_back_as_it_was_signed(
    mux: Stack, provider: Provider, home: Path
) -> None:
    ran = await claude(mux, home, f"[[stand-in: agent dir={home}/work think=1]]")
    assert ran.json["result"] == "AGENT-DONE", ran
    assert all(call.status == 200 for call in provider.messages)
    last = provider.last.json["messages"]
    kinds = [b["type"] for turn in last if turn["role"] == "assistant" for b in turn["content"]]
    assert kinds.count("thinking") >= 4


async def test_an_image_read_by_a_tool_reaches_the_provider(
    mux: Stack, provider: Provider, home: Path
) -> None:
    path = home / "work" / "dot.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(base64.b64decode(DOT))
    provider.script(use("Read", {"file_path": str(path)}), say("A dot."))
    ran = await claude(mux, home, "What is in the picture?")
    assert ran.json["result"] == "A dot.", ran
    body = provider.last.body.decode()
    assert '"type":"image"' in body and '"media_type":"image/' in body


async def test_a_subagent_works_and_its_calls_are_its_own(
    mux: Stack, provider: Provider, home: Path
) -> None:
    task = {"description": "Look", "prompt": "Say SUB.", "subagent_type": "general-purpose"}
    provider.script(use("Agent", task), say("SUB"), say("MAIN"))
    ran = await claude(mux, home, "Use an agent.")
    assert ran.json["result"] == "MAIN", ran
    agents = {call.header("x-claude-code-agent-id") for call in provider.messages}
    assert len(provider.messages) == 3 and len(agents) == 2


async def test_a_session_is_resumed_with_its_whole_history(
    mux: Stack, provider: Provider, home: Path
) -> None:
    provider.script(think("I see.", "First."), say("Second."))
    first = await claude(mux, home, "one")
    second = await claude(mux, home, "two", "--resume", first.json["session_id"])
    assert second.json["result"] == "Second.", second
    roles = [turn["role"] for turn in provider.last.json["messages"] if turn["role"] != "system"]
    assert roles == ["user", "assistant", "user"]
    assert await mux.booked(provider.bill.total) >= provider.bill.total


async def test_a_session_is_compacted(mux: Stack, provider: Provider, home: Path) -> None:
    provider.script(*(say(f"Answer {n}.") for n in range(3)))
    first = await claude(mux, home, "one")
    again = ("--resume", first.json["session_id"])
    for words in ("two", "three"):
        await claude(mux, home, words, *again)
    provider.script(say("<summary>Nothing happened.</summary>"), say("Fourth."))
    compacted = await claude(mux, home, "/compact", *again)
    assert len(provider.messages) == 4, compacted.out
    fourth = await claude(mux, home, "four", *again)
    assert fourth.json["result"] == "Fourth.", fourth
    assert b"Nothing happened." in provider.last.body


async def test_what_is_masked_is_whole_again_in_the_users_files(
    mux: Stack, provider: Provider, home: Path
) -> None:
    path = home / "work" / "note.txt"
    content = {"file_path": str(path), "content": "{{user}}"}
    provider.script(use("Write", content), say("Done."))
    ran = await claude(mux, home, "Mail ada.lovelace@gmx.net today", key="masked")
    assert ran.json["result"] == "Done.", ran
    assert "ada.lovelace@gmx.net" in path.read_text()
    for call in provider.messages:
        assert b"ada.lovelace" not in call.body, _around(call.body, b"ada.lovelace")


async def test_secrets_of_an_env_file_are_copied_unchanged_and_never_leave(
    mux: Stack, provider: Provider, home: Path
) -> None:
    source, target = home / "work" / ".env", home / "work" / "staging.env"
    source.parent.mkdir(parents=True)
    source.write_text(ENV)
    mask = Placeholders(b"a secret for tests only").of
    seen = ENV
    for value in SECRETS:
        seen = seen.replace(value, mask("SECRET", value))
    copied = {"file_path": str(target), "content": seen}
    provider.script(use("Read", {"file_path": str(source)}), use("Write", copied), say("Done."))
    ran = await claude(mux, home, "Copy .env to staging.env", key="masked")
    assert ran.json["result"] == "Done.", ran
    assert target.read_text() == ENV
    told = provider.messages[1].body.decode()
    assert all(mask("SECRET", value) in told for value in SECRETS)
    for call in provider.messages:
        assert not [value for value in SECRETS if value.encode() in call.body]


async def test_a_wrong_key_ends_at_once(mux: Stack, provider: Provider, home: Path) -> None:
    ran = await claude(mux, home, "hi", ANTHROPIC_API_KEY="sk-wrong")
    assert ran.code != 0 and ran.seconds < 30, ran
    assert "401" in ran.out + ran.err and not provider.messages


async def test_an_empty_budget_ends_at_once_and_says_so(
    mux: Stack, provider: Provider, home: Path
) -> None:
    async with mux.http("auto") as http:
        tiny = {"budget_type": "daily", "budget_limit": 0.000001}
        await http.post("/v1/analytics/budgets", json=tiny)
    ran = await claude(mux, home, "hi", key="auto")
    assert ran.code != 0 and ran.seconds < 30, ran
    assert "402" in ran.out + ran.err and not provider.messages


async def test_a_limit_of_ours_makes_it_wait_and_go_on(
    mux: Stack, provider: Provider, home: Path
) -> None:
    async with mux.http("admin") as http:
        form = {"name": "one at a time", "concurrency": 1, "routing": "respect"}
        key = (await http.post("/v1/admin/keys", json=form)).json()["secret"]
    provider.script(say("word " * 60, deltas=60, delay=0.1), say("At last."))
    async with mux.http(**{"x-api-key": key}) as http:
        first = asyncio.create_task(http.post("/v1/messages", json=streamed("first")))
        await provider.arrived()
        ran = await claude(mux, home, "hi", ANTHROPIC_API_KEY=key)
        assert (await first).status_code == 200
    refused = [row.error for row in await mux.rows(0) if row.outcome == "refused"]
    assert ran.json["result"] == "At last.", ran
    assert "limit_exceeded" in refused


@pytest.mark.parametrize("status", [429, 529, 500])
async def test_a_busy_provider_is_tried_again(
    mux: Stack, provider: Provider, home: Path, status: int
) -> None:
    provider.script(fail(status, retry_after=1, times=2), say("At last."))
    ran = await claude(mux, home, "hi")
    assert ran.json["result"] == "At last.", ran
    assert await mux.booked(provider.bill.total) >= provider.bill.total


@pytest.mark.parametrize("fault", ["drop", "error", "eof"])
async def test_a_stream_that_breaks_is_repeated_and_both_are_booked(
    mux: Stack, provider: Provider, home: Path, fault: str
) -> None:
    before = len(await mux.rows(0))
    provider.script(broken(fault, at=2), say("Whole again."), say("Whole again."))
    ran = await claude(mux, home, "hi")
    assert ran.json["result"] == "Whole again.", ran
    rows = (await mux.rows(before + 2))[before:]
    assert len(rows) >= 2 and all(row.cost > 0 for row in rows)
    assert {row.outcome for row in rows} == {"error", "ok"}


async def test_a_killed_client_ends_the_providers_call(
    mux: Stack, provider: Provider, home: Path
) -> None:
    provider.script(say("word " * 400, deltas=400, delay=0.05))
    await claude(mux, home, "hi", seconds=6)
    await provider.idle(5)
    assert provider.last.outcome == "gone"


async def test_a_long_silence_before_the_answer_is_endured(
    mux: Stack, provider: Provider, home: Path
) -> None:
    provider.script(say("Slow but sure.", first=25.0))
    ran = await claude(mux, home, "hi")
    assert ran.json["result"] == "Slow but sure.", ran
    assert len(provider.messages) == 1
