"""A provider fails in every way: the next candidate answers, or one error event ends it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from libs.common.contracts.usage import Usage
from tests.flow.asks import ask
from tests.support.provider import KEY, Provider, Scene, broken, fail, hang, running, say
from tests.support.servers import free_port
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
FIRST, SECOND, AWAY = "claude-sonnet-5-5", "gpt-6.1-terra", "mistral-medium-3-5"
CHEAP, DEAR = "claude-haiku-5-5", "gpt-6-astra"
CONFIG = """
[providers.openai]
api_key = "{key}"
base_url = "{second}/openai/v1"
[providers.mistral]
api_key = "{key}"
base_url = "http://127.0.0.1:{nowhere}/v1"
[routing.fallbacks]
"claude-sonnet-5-5" = ["gpt-6.1-terra"]
"mistral-medium-3-5" = ["claude-sonnet-5-5"]
"gpt-6.1-sol" = ["claude-sonnet-5-5"]
"claude-haiku-5-5" = ["gpt-6-astra"]
"claude-opus-5-5" = ["claude-opus-5", "claude-opus-4-8", "claude-sonnet-5", "claude-fable-5-2"]
[[routing.rules]]
tag = "claude-sonnet-5-5"
use = "claude-sonnet-5-5"
[[routing.rules]]
tag = "gpt-6.1-terra"
use = "gpt-6.1-terra"
[keys.subscriber]
key = "sk-mm-subscriber-00000000001"
routing = "respect"
pii = "off"
subscription = true
[keys.poor]
key = "sk-mm-poor-0000000000000001"
routing = "respect"
pii = "off"
"""
SHORT = """
max_attempts = 3
ping_after = 30
[gateway.timeouts]
connect = 1
first_token = 0.6
idle = 0.6
total = 8
"""
either_form = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
async def other() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


@pytest.fixture(scope="module")
def config(other: Provider) -> dict[str, str]:
    more = CONFIG.format(key=KEY, second=other.url, nowhere=free_port())
    return {"more": more, "gateway": SHORT}


@pytest.fixture
async def second(mux: Stack, other: Provider) -> Provider:
    """The second provider; both in good health again, whatever the test before did to them."""
    other.reset()
    await _heal(mux, FIRST)
    await _heal(mux, SECOND)
    mux.provider.reset()
    other.reset()
    return other


async def _heal(mux: Stack, model: str) -> None:
    """An answer closes the circuit of a model, as soon as the router has heard of it."""
    async with mux.http(**{"x-modelmuxer-tag": model}) as http:
        answer = await http.post("/v1/messages", json=ask())
        assert answer.headers["x-modelmuxer-model"] == model, answer.text
        async with asyncio.timeout(5):
            while "circuit" in (plan := (await http.post("/v1/route", json=ask())).text) or (
                "rate limited" in plan or "rejected the key" in plan
            ):
                await asyncio.sleep(0.02)


async def post(mux: Stack, key: str = "plain", **more: Any) -> httpx.Response:
    async with mux.http(key) as http:
        return await http.post("/v1/messages", json=ask(**more))


async def rows_of(mux: Stack, answer: httpx.Response, count: int) -> list[Usage]:
    """The attempts of one request, in their order, once so many are in the journal."""
    request_id = answer.headers["x-modelmuxer-request-id"]
    for _ in range(100):
        rows = [row for row in await mux.rows(0) if row.request_id == request_id]
        if len(rows) >= count:
            break
        await asyncio.sleep(0.02)
    assert [row.attempt for row in rows] == list(range(1, count + 1)), rows
    return rows


def answered_by(answer: httpx.Response, model: str, attempts: int) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-modelmuxer-model"] == model
    assert answer.headers["x-modelmuxer-attempts"] == str(attempts)
    assert "event: error" not in answer.text and "fallback words" in answer.text.replace("\\", "")


def billed(rows: list[Usage], *providers: Provider) -> None:
    """What is booked as billed is what the providers charged, to the micro-dollar."""
    assert sum(row.cost for row in rows) == sum(each.bill.total for each in providers) > 0


@either_form
@pytest.mark.parametrize("status", [401, 402, 403, 408, 429, 500, 502, 503, 504, 520, 529])
async def test_an_http_error_moves_on_to_the_next_candidate(
    mux: Stack, provider: Provider, second: Provider, status: int, stream: bool
) -> None:
    provider.script(fail(status, retry_after=1))
    second.always = say("fallback words", deltas=1)
    answer = await post(mux, stream=stream)
    answered_by(answer, SECOND, attempts=2)
    failed, served = await rows_of(mux, answer, 2)
    assert (failed.outcome, failed.status, failed.cost) == ("error", status, 0)
    assert (served.outcome, served.model) == ("ok", SECOND)
    billed([failed, served], provider, second)


@either_form
@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_the_providers_verdict_on_the_request_goes_back_in_its_own_words(
    mux: Stack, provider: Provider, second: Provider, status: int, stream: bool
) -> None:
    provider.script(fail(status, "prompt is too long"))
    answer = await post(mux, stream=stream)
    assert answer.status_code == status and answer.content == provider.last.sent
    assert not second.calls
    assert (await rows_of(mux, answer, 1))[0].status == status


@either_form
async def test_a_provider_that_nobody_listens_at_is_passed_over(
    mux: Stack, provider: Provider, second: Provider, stream: bool
) -> None:
    provider.always = say("fallback words", deltas=1)
    answer = await post(mux, model=AWAY, stream=stream)
    answered_by(answer, FIRST, attempts=2)
    failed, served = await rows_of(mux, answer, 2)
    assert (failed.provider, failed.error, failed.cost) == ("mistral", "unreachable", 0)
    billed([served], provider)


@either_form
async def test_where_nobody_listens_is_told_plainly_with_what_to_do(
    mux: Stack, stream: bool
) -> None:
    answer = await post(mux, model="mistral-large-4", stream=stream)
    words = answer.json()["error"]["message"]
    assert answer.status_code == 502
    assert words.startswith("mistral: cannot connect to 127.0.0.1:")
    assert words.endswith(": connection refused; `modelmuxer providers test` says what to do")


@pytest.mark.parametrize("status", [401, 403])
async def test_another_providers_rejected_key_moves_on_and_shuts_it(
    mux: Stack, provider: Provider, second: Provider, status: int
) -> None:
    second.script(fail(status, "wrong key"))
    provider.always = say("fallback words", deltas=1)
    answer = await post(mux, model="gpt-6.1-sol")
    answered_by(answer, FIRST, attempts=2)
    assert (await rows_of(mux, answer, 2))[0].status == status
    async with mux.http() as http:
        async with asyncio.timeout(5):
            while "rejected the key" not in (await http.post("/v1/route", json=ask())).text:
                await asyncio.sleep(0.02)


async def test_a_callers_own_expired_subscription_is_nobody_elses_matter(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    own = {"x-api-key": "sk-mm-subscriber-00000000001", "authorization": "Bearer sk-ant-oat01-old"}
    async with mux.http(**own) as http:
        answer = await http.post("/v1/messages", json=ask())
    assert answer.status_code == 401 and answer.content == provider.last.sent
    row = (await rows_of(mux, answer, 1))[0]
    assert (row.outcome, row.error, row.cost) == ("refused", "subscription_401", 0)
    assert not second.calls
    await asyncio.sleep(0.1)
    assert (await post(mux)).headers["x-modelmuxer-model"] == FIRST


BEFORE_CONTENT: dict[str, tuple[Scene, int]] = {
    "hang before content": (broken("hang", at=0), 2),
    "error before content": (broken("error", at=0), 2),
    "rate limit before content": (broken("error", at=0, error_type="rate_limit_error"), 2),
    "drop before content": (broken("drop", at=0), 2),
    "end before content": (broken("eof", at=0), 2),
    "html instead of a stream": (fail(502, html=True), 2),
    # A kept-alive connection may have gone stale: the same provider gets one more chance.
    "drop before the answer": (say(fault="drop-first", times=2), 3),
}


@pytest.mark.parametrize("fault", BEFORE_CONTENT)
async def test_a_stream_that_fails_before_content_moves_on(
    mux: Stack, provider: Provider, second: Provider, fault: str
) -> None:
    scene, attempts = BEFORE_CONTENT[fault]
    provider.script(scene)
    second.always = say("fallback words", deltas=1)
    answer = await post(mux, stream=True)
    answered_by(answer, SECOND, attempts)
    assert answer.text.count("event: message_start") == 1
    *failed, served = await rows_of(mux, answer, attempts)
    assert {row.outcome for row in failed} == {"error"} and served.outcome == "ok"
    billed([*failed, served], provider, second)


@either_form
async def test_a_silent_provider_is_left_and_booked_by_estimate(
    mux: Stack, provider: Provider, second: Provider, stream: bool
) -> None:
    provider.script(hang())
    second.always = say("fallback words", deltas=1)
    answer = await post(mux, stream=stream, max_tokens=5)
    answered_by(answer, SECOND, attempts=2)
    failed, served = await rows_of(mux, answer, 2)
    assert (failed.outcome, failed.billed) == ("error", False) and failed.cost > 0
    billed([served], second)
    await provider.idle(3)
    assert provider.last.outcome == "gone"


AFTER_CONTENT = ["hang", "error", "drop", "eof"]


@pytest.mark.parametrize("fault", AFTER_CONTENT)
async def test_a_stream_that_fails_after_content_ends_with_one_error_event(
    mux: Stack, provider: Provider, second: Provider, fault: str
) -> None:
    provider.script(broken(fault, at=2))
    answer = await post(mux, stream=True)
    assert answer.status_code == 200 and not second.calls
    assert answer.text.count("event: error") == 1 and "message_stop" not in answer.text
    last = answer.text.strip().rpartition("data: ")[2]
    assert json.loads(last)["type"] == "error"
    row = (await rows_of(mux, answer, 1))[0]
    assert row.outcome == "error" and row.cost >= provider.bill.total > 0


async def test_an_estimate_is_never_more_than_was_asked_for(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(broken("eof", at=19, text="abc " * 20, deltas=20))
    answer = await post(mux, stream=True, max_tokens=20)
    (row,) = await rows_of(mux, answer, 1)
    assert not row.billed and row.tokens.output == 20 and row.cost <= row.reserved


async def test_a_rate_limited_provider_is_left_alone_for_as_long_as_it_asks(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(fail(429, retry_after=2))
    second.always = provider.always = say("fallback words")
    first = await post(mux)
    await rows_of(mux, first, 2)
    await asyncio.sleep(0.2)
    answered_by(await post(mux), SECOND, attempts=1)
    await asyncio.sleep(2)
    answered_by(await post(mux), FIRST, attempts=1)


async def test_a_flapping_provider_is_never_seen_by_the_client(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    before = len(await mux.rows(0))
    for _ in range(8):
        provider.script(fail(529), broken("error", at=0), say("fallback words"))
    second.always = provider.always = say("fallback words")
    answers = [await post(mux, stream=bool(turn % 2)) for turn in range(24)]
    assert all(a.status_code == 200 and "event: error" not in a.text for a in answers)
    expected = sum(int(answer.headers["x-modelmuxer-attempts"]) for answer in answers)
    rows = (await mux.rows(before + expected))[before:]
    assert len(rows) == expected > 24
    assert sum(row.cost for row in rows) == provider.bill.total + second.bill.total


@either_form
async def test_if_all_fail_the_first_provider_is_quoted_and_every_attempt_is_booked(
    mux: Stack, provider: Provider, second: Provider, stream: bool
) -> None:
    provider.always, second.always = fail(529, "we are full"), fail(500, "we fell over")
    answer = await post(mux, stream=stream)
    assert answer.status_code in (500, 529) and answer.json()["type"] == "error"
    rows = await rows_of(mux, answer, 2)
    assert [row.status for row in rows] == [529, 500] and sum(row.cost for row in rows) == 0


async def test_no_more_attempts_than_configured_are_made(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.always = fail(529)
    answer = await post(mux, model="claude-opus-5-5")
    assert answer.status_code == 529 and len(provider.messages) == 3
    assert len({row.model for row in await rows_of(mux, answer, 3)}) == 3


async def test_a_dearer_candidate_is_reserved_before_it_is_tried(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(fail(503))
    second.always = say("fallback words")
    answer = await post(mux, model=CHEAP)
    answered_by(answer, DEAR, attempts=2)
    failed, served = await rows_of(mux, answer, 2)
    assert served.reservation != failed.reservation
    assert served.reserved > 10 * failed.reserved and served.cost <= served.reserved


async def test_a_dearer_candidate_that_does_not_fit_the_budget_is_skipped(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(fail(503, "come back later"))
    async with mux.http(**{"x-api-key": "sk-mm-poor-0000000000000001"}) as http:
        limit = {"budget_type": "daily", "budget_limit": 0.005}
        assert (await http.post("/v1/analytics/budgets", json=limit)).status_code == 200
        answer = await http.post("/v1/messages", json=ask(model=CHEAP))
        assert answer.status_code == 503 and "come back later" in answer.text
        assert not second.calls
        await rows_of(mux, answer, 1)
        left = (await http.get("/v1/analytics/budgets")).json()["budgets"][0]
    assert (left["spent"], left["reserved"]) == ("0.000000", "0.000000")


async def test_a_client_that_leaves_during_the_fallback_ends_it(
    mux: Stack, provider: Provider, second: Provider
) -> None:
    provider.script(fail(529))
    second.always = hang()
    with pytest.raises(httpx.ReadTimeout):
        async with mux.http() as http:
            await http.post("/v1/messages", json=ask(), timeout=0.4)
    await second.idle(3)
    assert second.last.outcome == "gone"
