"""The shape of streams (rows 1 to 14)."""

import time
from typing import Any

import pytest

from tests.compat.cases import covers
from tests.compat.conftest import OTHER
from tests.compat.events import Event, blocks, events_of, inputs, of, text
from tests.flow.asks import WEATHER, ask, streamed
from tests.support.provider import Provider, Search, Text, Think, broken, say, think, use, uses
from tests.support.provider.scene import Scene
from tests.support.stack import Place

pytestmark = pytest.mark.anyio
CITIES = [{"city": "Zürich"}, {"city": "Rome"}]
CALLS = uses(*(("get_weather", city) for city in CITIES))
both = pytest.mark.parametrize("model", ["claude-sonnet-5-5", OTHER])


async def events(mux: Place, **more: Any) -> list[Event]:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed(**more))
    assert answer.status_code == 200, answer.text
    return events_of(answer.content)


@covers(1)
@both
async def test_every_block_starts_once_and_stops_once(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(CALLS)
    found = await events(mux, model=model, tools=[WEATHER])
    starts = [event["index"] for event in of(found, "content_block_start")]
    assert starts == [event["index"] for event in of(found, "content_block_stop")]
    assert len(set(starts)) == len(starts) == 2


@covers(2)
@both
async def test_a_tools_arguments_arrive_as_deltas(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(use("get_weather", CITIES[0], deltas=1))
    assert inputs(await events(mux, model=model, tools=[WEATHER])) == CITIES[:1]


@covers(3)
@both
async def test_thinking_and_text_have_blocks_of_their_own(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(think("Let me see.", "It is 42."))
    found = await events(mux, model=model)
    assert len(of(found, "message_start")) == 1
    assert text(found) == "It is 42."
    assert [block["type"] for block in blocks(found).values()] == ["thinking", "text"]


@covers(4)
@both
@pytest.mark.parametrize("stream", [False, True])
async def test_usage_has_every_field_of_anthropics(
    mux: Place, provider: Provider, model: str, stream: bool
) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model=model, stream=stream))
    found = events_of(answer.content)[0]["message"] if stream else answer.json()
    usage = found["usage"]
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens")
    assert all(isinstance(usage[name], int) for name in names)
    parts = usage["cache_creation"]
    assert {"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"} <= set(parts)


@covers(5)
@both
async def test_the_first_event_says_how_much_was_read(
    mux: Place, provider: Provider, model: str
) -> None:
    found = await events(mux, model=model, text="word " * 500)
    usage = of(found, "message_start")[0]["message"]["usage"]
    assert usage["input_tokens"] > 300


@covers(6)
@both
async def test_the_end_tells_usage_and_nothing_comes_after_it(
    mux: Place, provider: Provider, model: str
) -> None:
    async with mux.http() as http:
        raw = (await http.post("/v1/messages", json=streamed(model=model))).content
    found = events_of(raw)
    assert of(found, "message_delta")[-1]["usage"]["output_tokens"] > 0
    assert found[-1]["type"] == "message_stop" and b"[DONE]" not in raw


@covers(7)
@both
async def test_parallel_calls_stay_apart(mux: Place, provider: Provider, model: str) -> None:
    provider.script(CALLS)
    found = await events(mux, model=model, tools=[WEATHER])
    assert inputs(found) == CITIES
    ids = [block["id"] for block in blocks(found).values()]
    assert len(set(ids)) == 2


@covers(8)
async def test_indices_have_no_gaps(mux: Place, provider: Provider) -> None:
    parts = (Text(text="I look."), Search(), Text(text="Sunny."))
    provider.script(Scene(parts=parts))
    found = await events(mux, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    indices = [event["index"] for event in of(found, "content_block_start")]
    assert indices == list(range(4))


async def first_seen(mux: Place, mark: bytes, body: dict[str, Any]) -> tuple[float, float]:
    """Seconds until the mark came, and until the end."""
    start, seen = time.monotonic(), 0.0
    async with mux.http() as http, http.stream("POST", "/v1/messages", json=body) as answer:
        async for piece in answer.aiter_bytes():
            if mark in piece and not seen:
                seen = time.monotonic() - start
    return seen, time.monotonic() - start


@covers(9)
@both
async def test_tool_arguments_flow_as_they_are_made(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(use("get_weather", {"city": "x" * 200}, deltas=12, delay=0.08))
    seen, end = await first_seen(mux, b"input_json_delta", streamed(model=model, tools=[WEATHER]))
    assert 0 < seen < end / 2


@covers(10)
@both
async def test_a_silent_stream_is_kept_alive_by_ping_events(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(say("one two", deltas=2, delay=0.7))
    pings = of(await events(mux, model=model), "ping")
    assert pings


@covers(11)
@both
async def test_pings_come_before_the_provider_says_anything(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(say("late", first=1.5))
    seen, end = await first_seen(mux, b"event: ping", streamed(model=model))
    assert 0 < seen < 1.2 < end


@covers(12)
async def test_the_repetition_of_a_broken_stream_is_answered_in_full(
    mux: Place, provider: Provider
) -> None:
    provider.script(broken("eof", at=2), say("The whole answer."))
    async with mux.http() as http:
        first = await http.post("/v1/messages", json=streamed())
        second = await http.post("/v1/messages", json=ask())
    assert events_of(first.content)[-1]["type"] == "error"
    assert second.json()["content"][0]["text"] == "The whole answer."


@covers(13)
async def test_an_answer_that_is_all_reasoning_is_not_empty(mux: Place, provider: Provider) -> None:
    provider.script(Scene(parts=(Think(text="Only a thought."),)))
    found = await events(mux, model=OTHER)
    assert [block["type"] for block in blocks(found).values()] == ["thinking"]
    assert found[-1]["type"] == "message_stop"


@covers(14)
@both
async def test_a_streamed_request_is_answered_by_a_stream(
    mux: Place, provider: Provider, model: str
) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed(model=model))
    assert answer.headers["content-type"].startswith("text/event-stream")
    opening = events_of(answer.content)[0]["message"]
    assert opening["id"].startswith("msg_") and opening["type"] == "message"
