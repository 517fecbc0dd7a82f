"""The response cache: asked for, exact, per tenant, masked, and never for what went wrong."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.flow.asks import WEATHER, ask, streamed
from tests.support.provider import Provider, fail, say, use
from tests.support.servers import Server
from tests.support.stack import Place, Stack, process_stack

pytestmark = pytest.mark.anyio
OTHER = """
[keys.other]
key = "sk-mm-other-000000000000001"
org = "elsewhere"
routing = "respect"
pii = "off"
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": OTHER}


async def post(mux: Place, body: dict[str, Any], key: str = "plain", **more: str) -> httpx.Response:
    headers = {"x-modelmuxer-cache": "read-write"} | more
    async with mux.http(key, **headers) as http:
        answer = await http.post("/v1/messages", json=body)
    await asyncio.sleep(0.1)  # the store is written off the way of the client
    return answer


async def test_nothing_is_cached_unless_it_is_asked_for(mux: Stack, provider: Provider) -> None:
    for _ in range(2):
        answer = await post(mux, ask("uncached"), **{"x-modelmuxer-cache": "off"})
        assert "x-modelmuxer-cache" not in answer.headers
    assert len(provider.bill.lines) == 2


async def test_an_answer_from_the_cache_says_the_mode_too(mux: Stack, provider: Provider) -> None:
    for model, mode in (("modelmuxer-auto", "auto"), ("claude-sonnet-5-5", "respect")):
        for kept in ("miss", "hit"):
            answer = await post(mux, ask(f"the mode of {model}", model=model))
            told = (answer.headers["x-modelmuxer-cache"], answer.headers["x-modelmuxer-routing"])
            assert told == (kept, mode)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("then", [False, True])
async def test_the_same_request_is_answered_from_the_cache_in_either_form(
    mux: Stack, provider: Provider, first: bool, then: bool
) -> None:
    body = ask(f"tell me {first} {then}", tools=[WEATHER])
    provider.script(use("get_weather", {"city": "Bern"}, "Let me look."))
    missed = await post(mux, body | {"stream": first})
    hit = await post(mux, body | {"stream": then})
    assert (missed.headers["x-modelmuxer-cache"], hit.headers["x-modelmuxer-cache"]) == (
        "miss",
        "hit",
    )
    assert len(provider.bill.lines) == 1
    assert ("message_stop" in hit.text) == then and '"tool_use"' in hit.text


async def test_a_hit_costs_nothing_and_books_what_it_saved(mux: Stack, provider: Provider) -> None:
    before = len(await mux.rows(0))
    for _ in range(2):
        await post(mux, ask("what did it cost?"))
    row = (await mux.rows(before + 2))[-1]
    assert (row.outcome, row.cost) == ("cached", 0)
    assert row.list_cost == provider.bill.total > 0


async def test_errors_are_not_cached(mux: Stack, provider: Provider) -> None:
    provider.script(fail(400, "no"), say("yes"))
    assert (await post(mux, ask("again"))).status_code == 400
    assert (await post(mux, ask("again"))).status_code == 200


async def test_another_tenant_gets_nothing_of_it(mux: Stack, provider: Provider) -> None:
    await post(mux, ask("ours"))
    theirs = await post(mux, ask("ours"), **{"x-api-key": "sk-mm-other-000000000000001"})
    assert theirs.headers["x-modelmuxer-cache"] == "miss"
    assert len(provider.bill.lines) == 2


async def test_identical_requests_at_once_ask_the_provider_once(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say("once", first=0.3, deltas=1)
    answers = await asyncio.gather(*(post(mux, streamed("all together")) for _ in range(8)))
    assert all("once" in answer.text for answer in answers)
    assert len(provider.bill.lines) == 1


async def test_what_is_stored_holds_no_masked_value(mux: Stack, provider: Provider) -> None:
    body = ask("write to anna.schmidt@initech.io")
    provider.always = say("I read: {{user}}")
    first = await post(mux, body, key="masked")
    again = await post(mux, body, key="masked")
    assert again.headers["x-modelmuxer-cache"] == "hit" and again.json() == first.json()
    redis: Redis = Redis.from_url(mux.redis.url)
    stored = [await redis.get(name) async for name in redis.scan_iter("gateway:answer:*")]
    await redis.aclose()
    assert stored and all(b"anna.schmidt" not in value for value in stored)


@pytest.mark.slow
async def test_what_pii_has_not_seen_is_not_stored(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    names, gateway = (
        ("ledger", "router", "pii", "gateway"),
        'pii_down = "open"\ntimeouts.scan = 1.0',
    )
    async with process_stack(tmp_path, nats, redis, names, gateway=gateway) as mux:
        mux.stop("pii", signal.SIGKILL)
        for _ in range(2):
            answer = await post(mux, ask("write to anna.schmidt@initech.io"), key="masked")
            assert answer.headers["x-modelmuxer-cache"] == "miss"
        assert len(mux.provider.messages) == 2


async def test_an_unknown_mode_is_refused_by_name(mux: Stack) -> None:
    answer = await post(mux, ask("x"), **{"x-modelmuxer-cache": "always"})
    assert answer.status_code == 400 and "x-modelmuxer-cache" in answer.text


@pytest.mark.parametrize("key", ["plain", "admin"])
async def test_similar_questions_need_a_model_on_this_machine(mux: Stack, key: str) -> None:
    answer = await post(mux, ask("x"), key, **{"x-modelmuxer-cache": "semantic"})
    assert answer.status_code == 400
    assert "pip install 'modelmuxer[semantic]'" in answer.text
    assert "gateway.cache.semantic.model" in answer.text
