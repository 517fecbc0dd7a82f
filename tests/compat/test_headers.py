"""Headers, betas and errors (rows 37 to 43)."""

import httpx
import pytest

from tests.compat.cases import covers
from tests.compat.conftest import OTHER
from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, broken, fail, say
from tests.support.stack import KEYS, Place

pytestmark = pytest.mark.anyio


@covers(37)
async def test_betas_go_to_anthropic_and_to_nobody_else(mux: Place, provider: Provider) -> None:
    async with mux.http(**{"anthropic-beta": "brand-new-2027-01-01"}) as http:
        assert (await http.post("/v1/messages", json=ask())).status_code == 200
        assert provider.last.header("anthropic-beta") == "brand-new-2027-01-01"
        assert (await http.post("/v1/messages", json=ask(model=OTHER))).status_code == 200
    assert not provider.last.header("anthropic-beta")


@covers(38)
async def test_a_field_and_its_beta_arrive_together(mux: Place, provider: Provider) -> None:
    body = ask(context_management={"edits": []})
    headers = [
        ("x-api-key", KEYS["plain"]),
        ("anthropic-beta", "effort-2025-11-24"),
        ("anthropic-beta", "context-management-2025-06-27"),
    ]
    async with httpx.AsyncClient(base_url=mux.url) as http:
        answer = await http.post("/v1/messages", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


@covers(39)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_providers_advice_on_waiting_comes_back(
    mux: Place, provider: Provider, stream: bool
) -> None:
    unified = {"anthropic-ratelimit-unified-status": "rejected", "x-should-retry": "false"}
    provider.always = fail(429, retry_after=31, headers=unified)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(stream=stream))
    assert answer.status_code == 429 and answer.headers["retry-after"] == "31"
    for name, value in unified.items():
        assert answer.headers[name] == value


@covers(40)
async def test_the_context_length_error_keeps_its_words(mux: Place, provider: Provider) -> None:
    words = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
    provider.always = fail(400, words)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == words


@covers(41)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_an_answer(mux: Place, provider: Provider, stream: bool) -> None:
    provider.script(say("I cannot help with that.", stop="refusal"))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(stream=stream))
    assert answer.status_code == 200 and b'"stop_reason": "refusal"' in answer.content
    assert answer.content == provider.last.sent


@covers(42)
async def test_an_overload_before_the_first_word_is_an_error_and_booked_as_one(
    mux: Place, provider: Provider
) -> None:
    provider.always = broken("error", at=0)
    before = len(await mux.rows(0))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.status_code == 529, answer.text
    rows = (await mux.rows(before + 1))[before:]
    assert rows and all(row.outcome == "error" for row in rows)


@covers(43)
async def test_a_subscription_passes_and_costs_nothing(mux: Place, provider: Provider) -> None:
    before = len(await mux.rows(0))
    headers = {
        "x-api-key": "sk-mm-subscriber-00000000001",
        "authorization": f"Bearer {provider.bearer}",
        "anthropic-beta": "oauth-2025-04-20",
        "anthropic-version": "2023-06-01",
    }
    async with httpx.AsyncClient(base_url=mux.url) as http:
        answer = await http.post("/v1/messages", json=ask(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert provider.last.header("authorization") == f"Bearer {provider.bearer}"
    row = (await mux.rows(before + 1))[-1]
    assert row.cost == 0 and row.list_cost == provider.bill.total
