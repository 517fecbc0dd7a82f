"""What is booked (rows 51 to 54)."""

import asyncio

import pytest

from tests.compat.cases import covers
from tests.compat.conftest import OTHER
from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, say
from tests.support.stack import Place

pytestmark = pytest.mark.anyio


@covers(51)
async def test_a_cancelled_stream_is_cancelled_and_booked(mux: Place, provider: Provider) -> None:
    before = len(await mux.rows(0))
    provider.script(say("word " * 100, deltas=100, delay=0.05))
    async with mux.http() as http, http.stream("POST", "/v1/messages", json=streamed()) as answer:
        async for piece in answer.aiter_bytes():
            if b"text_delta" in piece:
                break
    await provider.idle(2)
    assert provider.last.outcome == "gone"
    row = (await mux.rows(before + 1))[-1]
    assert row.tokens.input > 0 and row.tokens.output > 0 and row.cost > 0


@covers(52)
@pytest.mark.parametrize("stream", [False, True])
async def test_cached_tokens_are_counted_once(mux: Place, provider: Provider, stream: bool) -> None:
    before = len(await mux.rows(0))
    provider.script(say(usage={"input": 400, "read": 600}))
    async with mux.http() as http:
        await http.post("/v1/messages", json=ask(model=OTHER, stream=stream))
    row = (await mux.rows(before + 1))[-1]
    assert (row.tokens.input, row.tokens.cache_read) == (400, 600)
    assert row.cost == provider.bill.total


@covers(53)
async def test_every_answer_counts_against_the_budget(mux: Place, provider: Provider) -> None:
    headers = {"x-api-key": "sk-mm-budgeted-000000000001"}
    async with mux.http(**headers) as http:
        limit = {"budget_type": "daily", "budget_limit": 5.0}
        await http.post("/v1/analytics/budgets", json=limit)
        for stream in (False, True):
            await http.post("/v1/messages", json=ask(stream=stream))
        for _ in range(100):
            state = (await http.get("/v1/analytics/budgets")).json()["budgets"][0]
            if state["spent"] == f"{provider.bill.total / 1e6:.6f}":
                break
            await asyncio.sleep(0.05)
    assert state["spent"] == f"{provider.bill.total / 1e6:.6f}" != "0.000000"


@covers(54)
async def test_counting_has_a_rate_of_its_own(mux: Place, provider: Provider) -> None:
    body = {name: value for name, value in ask().items() if name != "max_tokens"}
    async with mux.http(**{"x-api-key": "sk-mm-limited-0000000000001"}) as http:
        counts = [
            await http.post("/v1/messages/count_tokens", json=body | {"system": f"{n}"})
            for n in range(50)
        ]
        answer = await http.post("/v1/messages", json=ask())
    assert {count.status_code for count in counts} == {200} and answer.status_code == 200
