"""A second candidate is asked where the first is slow, or where it refuses; both are booked."""

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from libs.common.contracts.routing import Candidate
from libs.common.contracts.usage import Usage
from services.gateway.kit import Kit
from services.gateway.upstream import Upstreams
from tests.flow.asks import ask, streamed
from tests.flow.test_own_faults import gateway
from tests.flow.test_spending import make_key, set_budget, settled
from tests.support.provider import KEY, Provider, Scene, fail, hang, running, say
from tests.support.servers import Server, paused
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
CONFIG = """
[providers.openai]
api_key = "{key}"
base_url = "{second}/openai/v1"
[routing.fallbacks]
"claude-sonnet-5-5" = ["gpt-6.1-terra"]
"""
FIRST, SECOND = "claude-sonnet-5-5", "gpt-6.1-terra"
ENOUGH = 20
CANDIDATE = Candidate(
    deployment="anthropic", provider="anthropic", model=FIRST, dialect="anthropic", estimate=0
)


@pytest.fixture(scope="module")
async def other() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


@pytest.fixture(scope="module")
def config(other: Provider) -> dict[str, str]:
    more = CONFIG.format(key=KEY, second=other.url)
    return {"more": more, "gateway": 'hedge = "p95"\nfallback_on_refusal = true'}


@pytest.fixture(scope="module")
async def warmed(opened: Stack) -> None:
    """So many answers that it is known how long the first one usually takes."""
    async with opened.http() as http:
        for _ in range(ENOUGH):
            await http.post("/v1/messages", json=streamed())


@pytest.fixture
def second(warmed: None, mux: Stack, other: Provider) -> Provider:
    mux.provider.reset()
    other.reset()
    return other


async def rows_of(mux: Stack, answer: httpx.Response, count: int) -> list[Usage]:
    id = answer.headers["x-modelmuxer-request-id"]
    async with asyncio.timeout(5):
        while len(rows := [r for r in await mux.rows(0) if r.request_id == id]) < count:
            await asyncio.sleep(0.02)
    return sorted(rows, key=lambda row: row.attempt)


async def test_a_slow_first_candidate_loses_to_the_second_and_both_are_booked(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(hang())
    second.always = say("the quick one")
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.headers["x-modelmuxer-model"] == SECOND and "message_stop" in answer.text
    lost, won = await rows_of(mux, answer, 2)
    assert (lost.model, lost.outcome, won.model, won.outcome) == (FIRST, "cancelled", SECOND, "ok")
    assert won.cost == second.bill.total > 0 and lost.reservation != won.reservation
    assert lost.tokens.input and 0 < lost.cost <= lost.reserved and not lost.billed
    await provider.idle(3)
    assert provider.last.outcome == "gone"


async def test_a_slow_second_candidate_is_let_go_when_the_first_answers(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(say("better late", first=0.5))
    second.always = hang()
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.headers["x-modelmuxer-model"] == FIRST
    won, lost = await rows_of(mux, answer, 2)
    assert (won.outcome, won.cost) == ("ok", provider.bill.total)
    assert lost.outcome == "cancelled"
    await second.idle(3)


async def test_both_beginning_at_once_leaves_one_answer_and_two_rows(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.always = say("one of two", first=0.15, deltas=1)
    second.always = say("one of two", deltas=1)
    async with mux.http() as http:
        answers = await asyncio.gather(
            *(http.post("/v1/messages", json=streamed(f"race {n}")) for n in range(8))
        )
    for answer in answers:
        assert answer.text.count("event: message_stop") == 1
        await rows_of(mux, answer, 2)
    await provider.idle(5)
    await second.idle(5)


class SlowToLeave(httpx.AsyncBaseTransport):
    """Never answers, and takes its time when it is stopped."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.Event().wait()
        finally:
            self.leaving.set()
            await asyncio.sleep(0.5)
        raise AssertionError("unreachable")


async def test_a_client_that_leaves_as_the_second_wins_has_both_booked(
    mux: Stack, second: Provider
) -> None:
    first, before = SlowToLeave(), len(await mux.rows(0))

    def raced(kit: Kit) -> Kit:
        for _ in range(ENOUGH):
            kit.first_tokens.note(CANDIDATE, 0.01)
        ways = Upstreams(lambda url: way if "openai" in url else first, first)
        return msgspec.structs.replace(kit, upstreams=ways)

    async with httpx.AsyncHTTPTransport() as way, gateway(mux, raced) as http:
        asked = asyncio.create_task(http.post("/v1/messages", json=streamed()))
        await first.leaving.wait()
        asked.cancel()
        rows = (await mux.rows(before + 2))[before:]
    assert sorted((row.model, row.outcome) for row in rows) == [
        (FIRST, "cancelled"), (SECOND, "cancelled")
    ]  # fmt: skip


async def test_if_both_fail_neither_is_tried_again(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(fail(529, "we are full", first=0.4))
    second.script(fail(500, "we fell over"))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.status_code in (500, 529) and answer.json()["type"] == "error"
    assert len(provider.messages) == len(second.messages) == 1
    assert [row.outcome for row in await rows_of(mux, answer, 2)] == ["error", "error"]


async def test_a_large_request_or_a_whole_answer_is_not_hedged(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.always = say("late", first=0.4)
    async with mux.http() as http:
        await http.post("/v1/messages", json=ask())
        await http.post("/v1/messages", json=streamed("long words " * 20_000))
    assert not second.calls


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_moves_on_where_the_policy_says_so(
    mux: Stack, provider: Provider, second: Provider, stream: bool
) -> None:
    provider.script(Scene(parts=(), stop="refusal"))
    second.always = say("With pleasure.", deltas=1)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(stream=stream))
    assert answer.headers["x-modelmuxer-model"] == SECOND and "pleasure" in answer.text
    refused, served = await rows_of(mux, answer, 2)
    assert refused.cost == provider.bill.total > 0 and served.cost == second.bill.total > 0


async def test_a_refusal_after_the_first_words_stays_the_answer(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(say("I am sorry to say no", stop="refusal", delay=0.02))
    second.always = say("Too late, if asked at all.", first=2.0)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.headers["x-modelmuxer-model"] == FIRST and '"refusal"' in answer.text


async def test_a_second_try_that_nobody_could_reserve_leaves_nothing_reserved(
    mux: Stack,
    provider: Provider,
    second: Provider,
    stores: tuple[Server, Server],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "modelmuxer.request")
    key = await make_key(mux)
    async with mux.http(**{"x-api-key": key["secret"]}) as http:
        await set_budget(http, "500")
        provider.always = say("slow", first=2.0)
        asked = asyncio.create_task(http.post("/v1/messages", json=streamed()))
        while not provider.calls:
            await asyncio.sleep(0.001)
        with paused(stores[1]):
            await asyncio.sleep(1.5)
        assert (await asked).status_code == 200 and not second.calls
        await settled(http)
    rows = await rows_of(mux, await asked, 2)
    assert [(row.attempt, row.outcome) for row in rows] == [(1, "ok"), (2, "refused")]
    (told,) = [each for each in caplog.messages if each.startswith(FIRST)]
    assert "refused" not in told
