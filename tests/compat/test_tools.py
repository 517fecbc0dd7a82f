"""Tools, messages and caching (rows 22 to 36)."""

from typing import Any

import pytest

from tests.compat.cases import covers
from tests.compat.conftest import OTHER
from tests.flow.asks import WEATHER, ask
from tests.support.provider import Provider, say
from tests.support.stack import KEYS, Place

pytestmark = pytest.mark.anyio
MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
HOUR: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
GEMINI = "gemini-3.8-flash"
others = pytest.mark.parametrize("model", [OTHER, GEMINI])
CALL = {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"city": "Bern"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "21 °C"}
LOOP = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": [CALL]},
    {"role": "user", "content": [RESULT]},
]


async def sent(mux: Place, provider: Provider, body: dict[str, Any], **headers: str) -> Any:
    """What the provider got of a request that was answered."""
    async with mux.http(**headers) as http:
        answer = await http.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    return provider.last.json


@covers(22)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", OTHER, GEMINI])
async def test_one_call_has_one_result(mux: Place, provider: Provider, model: str) -> None:
    await sent(mux, provider, ask(model=model, tools=[WEATHER], messages=LOOP))
    assert (
        provider.last.body.count("21 °C".encode()) + provider.last.body.count(b"21 \\u00b0C") == 1
    )


@covers(23, 24)
async def test_four_cache_marks_stay_four(mux: Place, provider: Provider) -> None:
    marked = [{"type": "text", "text": f"part {n}", **MARK} for n in range(4)]
    body = ask(system=marked, messages=[*LOOP], tools=[WEATHER])
    assert await sent(mux, provider, body) == body


@covers(25)
async def test_masked_text_is_never_empty(mux: Place, provider: Provider) -> None:
    block = {"type": "text", "text": "ada.lovelace@gmx.net", **MARK}
    body = ask(messages=[{"role": "user", "content": [block]}])
    got = await sent(mux, provider, body, **{"x-api-key": KEYS["masked"]})
    found = got["messages"][0]["content"][0]
    assert found["text"].strip() and "ada" not in found["text"] and found["cache_control"]


@covers(26)
@others
async def test_blank_text_does_not_reach_who_refuses_it(
    mux: Place, provider: Provider, model: str
) -> None:
    blank = [{"type": "text", "text": ""}, CALL]
    turns = [LOOP[0], {"role": "assistant", "content": blank}, LOOP[2]]
    await sent(mux, provider, ask(model=model, tools=[WEATHER], messages=turns))


@covers(27)
@others
async def test_a_search_that_a_provider_cannot_do_is_refused_in_words(
    mux: Place, provider: Provider, model: str
) -> None:
    body = ask(
        model=model,
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
        tool_choice={"type": "tool", "name": "web_search"},
    )
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=body)
    assert answer.status_code == 400 and "tools" in answer.json()["error"]["message"]
    assert not provider.messages


@covers(28)
@others
async def test_tool_history_needs_no_tools(mux: Place, provider: Provider, model: str) -> None:
    await sent(mux, provider, ask(model=model, messages=LOOP))


@covers(29)
@others
async def test_a_system_message_inside_a_conversation_is_taken(
    mux: Place, provider: Provider, model: str
) -> None:
    turns = [*LOOP, {"role": "system", "content": "Mind the gap."}]
    await sent(mux, provider, ask(model=model, tools=[WEATHER], messages=turns))
    assert b"Mind the gap." in provider.last.body


@covers(30)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", OTHER])
async def test_a_system_message_stays_where_it_was(
    mux: Place, provider: Provider, model: str
) -> None:
    turns = [LOOP[0], {"role": "system", "content": "Mind the gap."}, *LOOP[1:]]
    body = ask(model=model, tools=[WEATHER], messages=turns)
    await sent(mux, provider, body, **{"anthropic-beta": "mid-conversation-system-2026-04-07"})
    raw = provider.last.body
    assert 0 < raw.index(b"Weather?") < raw.index(b"Mind the gap.") < raw.index(b"21 ")


@covers(31)
async def test_gemini_gets_schemas_in_its_own_words(mux: Place, provider: Provider) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "city": {"type": "string", "const": "Bern"},
            "days": {"type": "integer", "exclusiveMinimum": 0},
        },
        "additionalProperties": False,
    }
    empty = {"name": "now", "description": "The time", "input_schema": {"type": "object"}}
    tools = [WEATHER | {"input_schema": schema}, empty]
    await sent(mux, provider, ask(model=GEMINI, tools=tools))


@covers(32)
@others
async def test_alternatives_at_the_top_of_a_schema_are_taken(
    mux: Place, provider: Provider, model: str
) -> None:
    schema = {
        "anyOf": [
            {"type": "object", "properties": {"city": {"type": "string"}}},
            {"type": "object", "properties": {"zip": {"type": "string"}}},
        ]
    }
    tools = [WEATHER | {"input_schema": schema | {"type": "object"}}]
    await sent(mux, provider, ask(model=model, tools=tools))


@covers(33)
async def test_cache_marks_stay_on_tool_blocks(mux: Place, provider: Provider) -> None:
    turns = [
        LOOP[0],
        {"role": "assistant", "content": [CALL | MARK]},
        {"role": "user", "content": [RESULT | MARK]},
    ]
    body = ask(messages=turns, tools=[WEATHER | MARK])
    assert await sent(mux, provider, body) == body


@covers(34)
async def test_an_hour_is_an_hour_and_is_paid_as_one(mux: Place, provider: Provider) -> None:
    before = len(await mux.rows(0))
    body = ask(system=[{"type": "text", "text": "s" * 9000, **HOUR}])
    assert await sent(mux, provider, body) == body
    row = (await mux.rows(before + 1))[-1]
    assert row.tokens.cache_write_1h > 2000 and row.cost == provider.bill.total


@covers(35)
async def test_the_attribution_block_goes_to_anthropic_alone(
    mux: Place, provider: Provider
) -> None:
    words = "x-anthropic-billing-header: cc_version=2.1.197.abc;"
    system = [{"type": "text", "text": words}, {"type": "text", "text": "Be brief."}]
    got = await sent(mux, provider, ask(system=system))
    assert got["system"] == system
    await sent(mux, provider, ask(model=OTHER, system=system))
    assert b"billing-header" not in provider.last.body and b"Be brief." in provider.last.body


@covers(36)
async def test_a_cache_mark_of_the_whole_request_passes(mux: Place, provider: Provider) -> None:
    body = ask(**MARK)
    assert await sent(mux, provider, body) == body
    provider.always = say("ok")
    await sent(mux, provider, ask(model=OTHER, **MARK))
