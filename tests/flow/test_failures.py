"""Parts of the product die, and nothing is lost: real processes, real signals."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flow.asks import WEATHER, ask, streamed
from tests.support.provider import say, use
from tests.support.servers import Server
from tests.support.stack import ProcessStack, process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BUDGET = {"budget_type": "daily", "budget_limit": 5.0}


@pytest.fixture
async def mux(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[ProcessStack]:
    async with process_stack(tmp_path, nats, redis) as processes:
        async with processes.http() as http:
            answer = await http.post("/v1/analytics/budgets", json=BUDGET)
            assert answer.status_code == 200, answer.text
        yield processes


async def spend(mux: ProcessStack, count: int) -> list[httpx.Response]:
    async with mux.http() as http:
        bodies = [ask(f"item {n}", stream=bool(n % 2)) for n in range(count)]
        return [await http.post("/v1/messages", json=body) for body in bodies]


async def equal(mux: ProcessStack) -> None:
    """Ledger, analytics and the provider's bill say the same, to the micro-dollar."""
    bill = mux.provider.bill.total
    assert await mux.spent(bill, seconds=60) == bill
    assert await mux.booked(bill, seconds=60) == bill


async def test_a_killed_ledger_books_everything_once_when_it_is_back(mux: ProcessStack) -> None:
    await spend(mux, 4)
    mux.provider.always = say("word " * 40, deltas=40, delay=0.03)
    async with mux.http() as http:
        late = asyncio.ensure_future(http.post("/v1/messages", json=streamed()))
        await mux.provider.arrived(5)
        mux.stop("ledger", signal.SIGKILL)
        assert b"message_stop" in (await late).content
        refused = await http.post("/v1/messages", json=ask())
        assert refused.status_code == 503 and "retry-after" in refused.headers
    mux.provider.always = None
    await mux.start("ledger").ready()
    assert all(answer.status_code == 200 for answer in await spend(mux, 3))
    await equal(mux)


async def test_a_killed_analytics_delays_no_request_and_misses_no_row(mux: ProcessStack) -> None:
    await spend(mux, 3)
    mux.stop("analytics", signal.SIGKILL)
    assert all(answer.status_code == 200 for answer in await spend(mux, 5))
    await mux.start("analytics").ready()
    await spend(mux, 2)
    await equal(mux)


async def test_a_gateway_killed_between_two_turns_is_not_missed(mux: ProcessStack) -> None:
    mux.provider.script(use("get_weather", {"city": "Bern"}))
    first_ask = ask("Weather?", tools=[WEATHER])
    async with mux.http() as http:
        call = (await http.post("/v1/messages", json=first_ask)).json()["content"][0]
    # What dies within milliseconds of an answer is booked as `reconciled`, much later.
    assert len(await mux.rows(1)) == 1
    mux.stop("gateway", signal.SIGKILL)
    await mux.start("gateway").ready()
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "21 °C"}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    async with mux.http() as http:
        body = first_ask | {"messages": [*first_ask["messages"], *turns]}
        answer = await http.post("/v1/messages", json=body)
    assert answer.status_code == 200
    await equal(mux)


@pytest.mark.parametrize("name", ["gateway", "ledger", "router", "pii"])
async def test_a_graceful_stop_answers_what_is_in_flight(mux: ProcessStack, name: str) -> None:
    mux.provider.always = say("word " * 30, deltas=30, delay=0.03)
    async with mux.http("masked") as http:
        asks = [asyncio.ensure_future(http.post("/v1/messages", json=streamed())) for _ in range(8)]
        await mux.provider.arrived(8)
        code = await asyncio.to_thread(mux.stop, name)
        answers = await asyncio.gather(*asks)
    assert code == 0
    assert all(b"message_stop" in answer.content for answer in answers)


async def test_without_the_bus_every_request_waits_and_all_recovers_by_itself(
    mux: ProcessStack,
) -> None:
    await spend(mux, 2)
    mux.nats.kill()
    await asyncio.sleep(0.3)
    refused = (await spend(mux, 1))[0]
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
    assert refused.json()["type"] == "error"
    mux.nats.start()
    assert await recovered(mux)
    await spend(mux, 2)
    await equal(mux)


async def test_a_bus_that_stands_still_is_told_within_seconds(mux: ProcessStack) -> None:
    await spend(mux, 1)
    os.kill(mux.nats.pid, signal.SIGSTOP)
    async with mux.http("admin") as http:
        for path in ("/v1/analytics/costs", "/v1/analytics/budgets"):
            start = time.monotonic()
            refused = await http.get(path)
            assert time.monotonic() - start < 6, path
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert "service did not answer within" in refused.json()["error"]["message"]
    os.kill(mux.nats.pid, signal.SIGCONT)
    assert await recovered(mux)
    await equal(mux)


async def test_without_the_router_the_asked_model_answers(mux: ProcessStack) -> None:
    mux.stop("router", signal.SIGKILL)
    answer = (await spend(mux, 1))[0]
    assert answer.status_code == 200
    assert answer.headers["x-modelmuxer-model"] == "claude-sonnet-5-5"
    assert "router" in answer.headers["x-modelmuxer-reason"]


async def test_without_pii_a_masked_key_is_refused_and_another_is_not(mux: ProcessStack) -> None:
    mux.stop("pii", signal.SIGKILL)
    async with mux.http("masked") as http:
        refused = await http.post("/v1/messages", json=ask())
    assert refused.status_code == 503 and "retry-after" in refused.headers
    assert (await spend(mux, 1))[0].status_code == 200


async def test_without_the_store_of_the_ledger_requests_wait(mux: ProcessStack) -> None:
    await spend(mux, 1)
    mux.redis.kill()
    refused = (await spend(mux, 1))[0]
    assert refused.status_code == 503 and "retry-after" in refused.headers
    mux.redis.start()
    assert await recovered(mux)
    await equal(mux)


async def test_replicas_share_the_work_and_one_may_die(mux: ProcessStack) -> None:
    for name in ("router", "pii", "ledger"):
        await mux.start(f"{name}-2").ready()
    await spend(mux, 6)
    for name in ("router", "pii", "ledger"):
        mux.stop(name, signal.SIGKILL)
    await asyncio.sleep(0.2)
    answers: list[Any] = await spend(mux, 6)
    assert [answer.status_code for answer in answers] == [200] * 6
    await equal(mux)


async def recovered(mux: ProcessStack) -> bool:
    """Whether a request is answered again within ten seconds."""
    for _ in range(40):
        if (await spend(mux, 1))[0].status_code == 200:
            return True
        await asyncio.sleep(0.25)
    return False


async def test_a_batch_is_not_sent_while_what_settles_it_cannot_be_kept(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with process_stack(tmp_path, nats, redis) as mux, mux.http("masked") as http:
        await spend(mux, 1)
        sent = len(mux.provider.calls)
        mux.redis.kill()
        asked = {"requests": [{"custom_id": "a", "params": ask("one")}]}
        refused = await http.post("/v1/messages/batches", json=asked)
        mux.redis.start()
        assert refused.status_code == 503, refused.text
        assert len(mux.provider.calls) == sent
