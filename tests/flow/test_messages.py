"""A request through five services to the provider and back, as real clients send it."""

import asyncio
import gzip
import json

import anthropic
import httpx
import pytest

from tests.flow.asks import SMALL, WEATHER, ask, streamed
from tests.support.provider import Provider, fail, say, think, use, uses
from tests.support.stack import KEYS, Stack

pytestmark = pytest.mark.anyio


async def test_the_official_client_gets_the_providers_answer(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say("Good morning."))
    async with mux.sdk() as sdk:
        answer = await sdk.messages.create(**SMALL)
    assert answer.content[0].text == "Good morning."
    assert provider.last.json["model"] == SMALL["model"]


async def test_the_official_synchronous_client_works_too(mux: Stack, provider: Provider) -> None:
    provider.script(say("Good morning."))
    with anthropic.Anthropic(base_url=mux.url, api_key=KEYS["plain"], max_retries=0) as sdk:
        answer = await asyncio.to_thread(lambda: sdk.messages.create(**SMALL))
    assert answer.content[0].text == "Good morning."


async def test_the_official_client_streams(mux: Stack, provider: Provider) -> None:
    provider.script(think("Let me see: 6 times 7.", "It is 42.", deltas=7))
    async with mux.sdk() as sdk, sdk.messages.stream(**SMALL) as stream:
        texts = [text async for text in stream.text_stream]
        answer = await stream.get_final_message()
    assert len(texts) > 3 and "".join(texts) == "It is 42."
    assert answer.usage.output_tokens == provider.bill.lines[0].used.output


async def test_a_tool_loop_of_the_official_client_ends_in_an_answer(
    mux: Stack, provider: Provider
) -> None:
    provider.script(use("get_weather", {"city": "Zürich"}, "Let me look."), say("Sunny."))
    async with mux.sdk() as sdk:
        first = await sdk.messages.create(**SMALL, tools=[WEATHER])
        call = first.content[-1]
        assert first.stop_reason == "tool_use" and call.input == {"city": "Zürich"}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 °C"}
        turns = [
            *SMALL["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        answer = await sdk.messages.create(**SMALL | {"messages": turns}, tools=[WEATHER])
    assert answer.content[0].text == "Sunny."


async def test_parallel_tool_calls_arrive_apart(mux: Stack, provider: Provider) -> None:
    cities = [{"city": name} for name in ("Bern", "Rome", "Oslo")]
    provider.script(uses(*(("get_weather", city) for city in cities)))
    async with mux.sdk() as sdk, sdk.messages.stream(**SMALL, tools=[WEATHER]) as stream:
        answer = await stream.get_final_message()
    assert [block.input for block in answer.content] == cities


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/v1/v1/messages"])
@pytest.mark.parametrize("query", ["", "?beta=true"])
async def test_every_path_of_the_messages_api_answers(
    mux: Stack, provider: Provider, path: str, query: str
) -> None:
    async with mux.http() as http:
        answer = await http.post(path + query, json=SMALL)
    assert answer.status_code == 200 and answer.json()["type"] == "message"
    assert (provider.last.path, provider.last.query) == ("/v1/messages", query.lstrip("?"))


@pytest.mark.parametrize("name", ["x-api-key", "authorization", "both"])
async def test_a_key_is_taken_from_either_header_or_both(mux: Stack, name: str) -> None:
    key = KEYS["plain"]
    headers = {"x-api-key": key, "authorization": f"Bearer {key}"}
    chosen = headers if name == "both" else {name: headers[name]}
    async with httpx.AsyncClient(base_url=mux.url) as http:
        answer = await http.post("/v1/messages", json=SMALL, headers=chosen)
    assert answer.status_code == 200


async def test_the_stream_is_the_providers_byte_for_byte(mux: Stack, provider: Provider) -> None:
    provider.script(say("Grüße 👋🏽", cut=1, pings=True, unknown=True, deltas=9))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.content == provider.last.sent
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_the_whole_answer_is_the_providers_byte_for_byte(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say("Grüße 👋🏽", gzip=True))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask())
    assert answer.content == provider.last.sent


async def test_the_body_reaches_the_provider_as_it_was_sent(mux: Stack, provider: Provider) -> None:
    body = (
        b'{ "max_tokens":64,"odd":{"n":1.50,"e":1E2,"big":12345678901234567890},\n'
        b' "model":"claude-sonnet-5-5","messages":[{"content":"\\ud83d \\u00fc","role":"user"}]}'
    )
    async with mux.http() as http:
        answer = await http.post("/v1/messages", content=body)
    assert answer.status_code == 200, answer.text
    assert provider.last.body == body


async def test_the_providers_headers_come_back_beside_ours(mux: Stack, provider: Provider) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=SMALL)
    assert answer.headers["request-id"] == provider.last.request_id
    assert answer.headers["anthropic-ratelimit-requests-limit"] == "4000"
    assert answer.headers["x-modelmuxer-model"] == SMALL["model"]


async def test_the_clients_headers_reach_the_provider_but_its_key_does_not(
    mux: Stack, provider: Provider
) -> None:
    sent = [
        ("anthropic-beta", "one-2026-01-01"),
        ("anthropic-beta", "two-2026-01-01, three-2026-01-01"),
        ("anthropic-version", "2023-06-01"),
        ("x-app", "cli"),
        ("x-claude-code-session-id", "5e55"),
        ("x-stainless-timeout", "600"),
        ("user-agent", "claude-cli/2.1.197"),
    ]
    async with httpx.AsyncClient(base_url=mux.url) as http:
        key = ("x-api-key", KEYS["plain"])
        await http.post("/v1/messages", json=SMALL, headers=[*sent, key])
    call = provider.last
    betas = [part.strip() for part in call.header("anthropic-beta").split(",")]
    assert betas == ["one-2026-01-01", "two-2026-01-01", "three-2026-01-01"]
    for name, value in sent[2:]:
        assert call.header(name) == value
    assert KEYS["plain"] not in json.dumps(call.headers)
    assert call.header("host") == provider.url.removeprefix("http://")


async def test_a_client_that_leaves_ends_the_providers_call_and_is_booked(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say("word " * 200, deltas=200, delay=0.02))
    before = len(await mux.rows(0))
    async with mux.http() as http, http.stream("POST", "/v1/messages", json=streamed()) as answer:
        async for piece in answer.aiter_bytes():
            if b"text_delta" in piece:
                break
    await provider.idle(3)
    assert provider.last.outcome == "gone"
    row = (await mux.rows(before + 1))[-1]
    assert row.outcome == "cancelled" and row.cost > 0 and row.tokens.output > 0


async def test_a_client_that_leaves_before_the_first_event_ends_the_call_and_pays_its_input(
    mux: Stack, provider: Provider
) -> None:
    before = len(await mux.rows(0))
    for body in (ask(), streamed()):
        provider.script(say(first=30.0))
        with pytest.raises(httpx.ReadTimeout):
            async with mux.http() as http:
                await http.post("/v1/messages", json=body, timeout=0.5)
        await provider.idle(3)
        assert provider.last.outcome == "gone"
    rows = (await mux.rows(before + 2))[before:]
    assert all(row.outcome == "cancelled" and not row.billed for row in rows)
    assert all(0 < row.cost <= row.reserved and row.tokens.input for row in rows)


async def test_the_rows_of_the_journal_sum_to_the_providers_bill(
    mux: Stack, provider: Provider
) -> None:
    before = await mux.rows(0)
    scenes = [say("a" * 100), think(), use("get_weather", {"city": "Bern"}), fail(529)]
    provider.script(*scenes)
    async with mux.http() as http:
        system = [{"type": "text", "text": "s" * 9000, "cache_control": {"type": "ephemeral"}}]
        for stream in (False, True, False, True):
            body = ask(stream=stream, tools=[WEATHER], system=system)
            await http.post("/v1/messages", json=body)
    rows = (await mux.rows(len(before) + 4))[len(before) :]
    assert sum(row.cost for row in rows) == provider.bill.total > 0
    assert {row.upstream_id for row in rows if row.cost} <= {
        name for line in provider.bill.lines for name in (line.message_id, line.request_id)
    }


async def test_fifty_streams_at_once_are_all_complete(mux: Stack, provider: Provider) -> None:
    provider.always = say("word " * 20, deltas=20, delay=0.01)
    async with mux.http() as http:
        asks = (http.post("/v1/messages", json=streamed()) for _ in range(50))
        answers = await asyncio.gather(*asks)
    assert all(b"message_stop" in answer.content for answer in answers)
    assert len(provider.bill.lines) == 50


async def test_a_compressed_request_is_refused_or_read_but_never_a_fault(mux: Stack) -> None:
    body = gzip.compress(json.dumps(SMALL).encode())
    async with mux.http(**{"content-encoding": "gzip"}) as http:
        answer = await http.post("/v1/messages", content=body)
    assert answer.status_code in (200, 400, 415), answer.text
