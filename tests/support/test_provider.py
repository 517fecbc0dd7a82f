"""The stand-in is only worth what it refuses and what it charges: so it is tested itself."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import pytest
from genai_prices import Usage, calc_price

from tests.support.provider import (
    KEY,
    Provider,
    Used,
    broken,
    fail,
    hang,
    running,
    say,
    search,
    think,
    use,
)
from tests.support.provider.bill import PRICES, charge

pytestmark = pytest.mark.anyio
ASK: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "Hi"}],
}
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
CATALOGUE = {"claude": "anthropic", "gpt": "openai", "text": "openai", "gemini": "google"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running() as stand_in:
        yield stand_in


def client(provider: Provider) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=provider.url, api_key=KEY, max_retries=0)


async def post(provider: Provider, body: object, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        url = f"{provider.url}/v1/messages"
        return await http.post(url, json=body, headers=HEADERS | headers)


async def test_the_official_client_reads_a_whole_answer(provider: Provider) -> None:
    async with client(provider) as sdk:
        answer = await sdk.messages.create(**ASK)
    assert answer.content[0].text == "Hello from the stand-in."
    assert provider.bill.total == 5 * answer.usage.output_tokens + answer.usage.input_tokens


async def test_the_official_client_reads_every_kind_of_stream(provider: Provider) -> None:
    scenes = (think(cut=1, pings=True), search(crlf=True), use("t", {"a": "ä"}, unknown=True))
    provider.script(*scenes)
    async with client(provider) as sdk:
        for scene in scenes:
            async with sdk.messages.stream(**ASK) as stream:
                answer = await stream.get_final_message()
            types = [block.type for block in answer.content]
            assert types[-1] in ("text", "tool_use") and len(types) >= len(scene.parts)
    assert provider.bill.total == provider.bill.complete > 0


async def test_errors_have_the_providers_shape_and_headers(provider: Provider) -> None:
    provider.script(fail(529, times=2, retry_after=3))
    for _ in range(2):
        answer = await post(provider, ASK)
        assert (answer.status_code, answer.headers["retry-after"]) == (529, "3")
        assert answer.json()["error"]["type"] == "overloaded_error"
        assert answer.json()["request_id"] == answer.headers["request-id"]
    assert (await post(provider, ASK)).status_code == 200
    assert len(provider.bill.lines) == 1


@pytest.mark.parametrize("fault", ["error", "drop", "eof"])
async def test_a_broken_stream_is_charged_for_what_it_produced(
    provider: Provider, fault: str
) -> None:
    provider.script(broken(fault, at=2))
    try:
        await post(provider, ASK | {"stream": True})
    except httpx.RemoteProtocolError:
        assert fault == "drop"
    await provider.idle()
    line = provider.bill.lines[0]
    assert provider.last.outcome == "broken" and not line.complete
    assert b"message_stop" not in provider.last.sent and line.used.output > 0


async def test_a_client_that_leaves_is_noticed(provider: Provider) -> None:
    provider.script(hang())
    with pytest.raises(httpx.ReadTimeout):
        async with httpx.AsyncClient(timeout=0.2) as http:
            await http.post(f"{provider.url}/v1/messages", json=ASK, headers=HEADERS)
    await provider.idle()
    assert provider.last.outcome == "gone" and not provider.bill.lines


def refusals() -> list[tuple[str, dict[str, Any]]]:
    thought = {"type": "thinking", "thinking": "a", "signature": "forged"}
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
    turn = {"role": "assistant", "content": [call]}
    first = ASK["messages"][0]

    def turns(*more: object) -> dict[str, Any]:
        return {"messages": [first, *more]}

    marked = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5
    return [
        ("Invalid `signature`", turns({"role": "assistant", "content": [thought]})),
        ("single result", turns(turn, {"role": "user", "content": [result, result]})),
        ("without `tool_result`", turns(turn, first)),
        ("unexpected `tool_use_id`", turns({"role": "user", "content": [result]})),
        ("Found 5", {"system": marked}),
        ("must be non-empty", turns({"role": "user", "content": [{"type": "text", "text": ""}]})),
        ("Input should be 'user'", turns({"role": "system", "content": "x"})),
        ("not supported by", {"thinking": {"type": "adaptive"}}),
        ("Extra inputs", {"context_management": {"edits": []}}),
        ("max_tokens", {"max_tokens": 64_001}),
        ("while providing tools", {"tool_choice": {"type": "auto"}}),
    ]


@pytest.mark.parametrize("words, change", refusals(), ids=lambda value: str(value)[:24])
async def test_what_the_api_refuses_is_refused(
    provider: Provider, words: str, change: dict[str, Any]
) -> None:
    answer = await post(provider, ASK | change)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


async def test_the_new_version_takes_no_sampling_fields(provider: Provider) -> None:
    body = ASK | {"temperature": 1}
    assert (await post(provider, body)).status_code == 200
    answer = await post(provider, body, **{"anthropic-version": "2026-10-21"})
    assert answer.status_code == 400


async def test_a_prefix_is_written_once_and_read_afterwards(provider: Provider) -> None:
    system = [{"type": "text", "text": "x" * 8000, "cache_control": {"type": "ephemeral"}}]
    first = (await post(provider, ASK | {"system": system})).json()["usage"]
    second = (await post(provider, ASK | {"system": system})).json()["usage"]
    assert first["cache_creation"]["ephemeral_5m_input_tokens"] > 2000
    assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]


async def test_requests_are_kept_exactly_as_they_arrived(provider: Provider) -> None:
    async with httpx.AsyncClient() as http:
        headers = [*HEADERS.items(), ("Anthropic-Beta", "a-1"), ("anthropic-beta", "b-2")]
        body = b'{"model":"claude-haiku-4-5" , "max_tokens":9,"messages":[{"role":"user","content":"\\ud83d"}]}'  # noqa: E501
        url = f"{provider.url}/v1/messages?beta=true"
        answer = await http.post(url, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert provider.last.body == body and provider.last.query == "beta=true"
    betas = [pair for pair in provider.last.headers if pair[0].lower() == "anthropic-beta"]
    assert betas == [("Anthropic-Beta", "a-1"), ("anthropic-beta", "b-2")]


async def test_a_marker_in_the_users_words_chooses_the_scene(provider: Provider) -> None:
    text = 'go [[stand-in: tool name=Read input=\'{"path": "/x"}\' then="all read"]]'
    ask = ASK | {"messages": [{"role": "user", "content": text}]}
    call = (await post(provider, ask)).json()["content"][0]
    assert (call["name"], call["input"]) == ("Read", {"path": "/x"})
    result = {"type": "tool_result", "tool_use_id": call["id"]}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    answer = await post(provider, ask | {"messages": [*ask["messages"], *turns]})
    assert answer.json()["content"][0]["text"] == "all read"


@pytest.mark.parametrize("model", sorted(PRICES))
@pytest.mark.parametrize("size", [1_000, 400_000])
@pytest.mark.parametrize("day", [date(2026, 11, 22), date(2027, 1, 2)], ids=str)
def test_the_bill_agrees_with_the_public_price_list(model: str, size: int, day: date) -> None:
    writes = model.startswith("claude")
    used = Used(input=size, read=size // 2, write_5m=size // 4 if writes else 0, output=700)
    if "embed" in model:
        used = Used(input=size)
    provider = CATALOGUE.get(model.split("-")[0], "mistral")
    usage = Usage(
        input_tokens=used.all_input,
        cache_read_tokens=used.read,
        cache_write_tokens=used.write_5m,
        output_tokens=used.output,
    )
    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    listed = calc_price(usage, model, provider_id=provider, genai_request_timestamp=now)
    assert 0 <= charge(model, used, on=day) - listed.total_price * 1_000_000 < 1
    assert isinstance(listed.total_price, Decimal)


async def test_the_bill_can_be_read_from_another_process(provider: Provider) -> None:
    provider.script(say("x"))
    await post(provider, ASK)
    async with httpx.AsyncClient() as http:
        bill = (await http.get(f"{provider.url}/__stand_in/bill")).json()
        calls = (await http.get(f"{provider.url}/__stand_in/calls")).json()
    assert bill["total"] == provider.bill.total
    assert [call["path"] for call in calls] == ["/v1/messages"]
