"""From the journal into ClickHouse: once per event, whatever is delivered how often."""

import asyncio
import time

import pytest

from libs.common.bus import Bus
from libs.common.contracts.reports import LIVE, Written
from libs.common.contracts.routing import DECIDED, FEEDBACK, Feedback
from libs.common.contracts.spending import ALERTED
from libs.common.contracts.usage import USED, Usage
from services.analytics.dead import Burial, listed, one, replay
from tests.analytics.conftest import (
    ALICE,
    BOB,
    alert,
    booked,
    decision,
    publish,
    report,
    tell,
    until,
    usage,
)

pytestmark = pytest.mark.anyio


async def test_an_event_is_in_the_costs_soon(bus: Bus, service: None) -> None:
    started = time.monotonic()
    await tell(bus, usage())
    await booked(bus, 1)
    assert time.monotonic() - started < 3.0  # 0.3 s on an idle machine


async def test_costs_say_what_was_spent_and_saved(bus: Bus, service: None) -> None:
    await tell(bus, usage(1), usage(2, BOB, model="gpt-6-luna", cost=2500))
    await booked(bus, 2)
    found = await report(bus, "costs", days="7")
    assert found["total_cost"] == "0.003500"
    assert found["currency"] == "USD"
    assert found["by_model"] == {"gpt-6-luna": "0.002500", "claude-haiku-4-5": "0.001000"}
    assert found["saved"] == "0.006500"
    assert found["tokens"]["cache_read"] == 600


async def test_a_redelivered_event_counts_once_everywhere(bus: Bus, service: None) -> None:
    first, second = usage(1), usage(2)
    await tell(bus, first)
    await booked(bus, 1)
    await tell(bus, first, second, first, repeat=".again")
    await booked(bus, 2)
    found = await report(bus, "costs")
    assert (found["attempts"], found["total_cost"]) == (2, "0.002000")


async def test_a_key_sees_its_own_and_an_administrator_all(bus: Bus, service: None) -> None:
    await tell(bus, usage(1), usage(2, BOB, cost=7000))
    await booked(bus, 2)
    assert (await report(bus, "costs", ALICE))["total_cost"] == "0.001000"
    assert (await report(bus, "costs", BOB))["total_cost"] == "0.007000"


async def test_a_poisonous_event_is_put_aside_and_the_rest_is_taken(
    bus: Bus, service: None
) -> None:
    js = bus.client.jetstream()
    await js.publish(USED.subject, b'{"request_id": 7}')
    await tell(bus, usage(1), usage(2, at=1e30), usage(3, cost=2**62), usage(4))
    await booked(bus, 2)

    async def aside() -> bool:
        return len([found async for found in listed(bus.client)]) == 3

    await until(aside, 5.0)
    dead = [found async for found in listed(bus.client)]
    assert {(found.subject, found.consumer) for found in dead} == {("usage.v1", "analytics")}
    whys = sorted(found.why.partition(":")[0] for found in dead)
    assert whys[1:] == ["at", "cost"] and "request_id" in whys[0]


async def test_an_event_of_any_kind_can_be_put_aside(bus: Bus, service: None) -> None:
    said = Feedback(decision_id="d", principal=ALICE, score=1.0, at=1e30)
    await publish(bus, FEEDBACK, said)

    async def aside() -> bool:
        return [found.subject async for found in listed(bus.client)] == [FEEDBACK.subject]

    await until(aside, 5.0)


async def test_a_dead_event_can_be_replayed(bus: Bus, service: None) -> None:
    await Burial(bus, "analytics").bury(usage(1), "it was a bad day")
    (dead,) = [found async for found in listed(bus.client)]
    await replay(bus.client, await one(bus.client, dead.seq))
    await booked(bus, 1)
    assert [found async for found in listed(bus.client)] == []


@pytest.mark.parametrize("first", ["guess", "figure"])
async def test_a_guess_gives_way_to_the_figure(bus: Bus, service: None, first: str) -> None:
    guess = usage(1, outcome="reconciled", cost=9000, at=time.time() - 7200, model="guessed")
    events = [guess, usage(1)] if first == "guess" else [usage(1), guess]
    for event in events:
        await tell(bus, event, repeat=first + event.outcome)
        await asyncio.sleep(0.4)
    await tell(bus, guess, repeat=".again")
    await tell(bus, usage(2))

    async def right() -> bool:
        found = await report(bus, "costs")
        figures = (found["total_cost"], found["attempts"], found["requests"])
        return bool(figures == ("0.002000", 2, 2))

    await until(right)
    await asyncio.sleep(0.3)
    assert await right()


async def test_decisions_and_alerts_are_kept(bus: Bus, service: None) -> None:
    await publish(bus, DECIDED, decision(1))
    await publish(bus, ALERTED, alert())
    await tell(bus, usage(1))
    await booked(bus, 1)
    trail = await report(bus, "request", id="req_000001")
    assert trail["decisions"][0]["rejected"][0]["why"] == "too small"
    assert (await report(bus, "alerts"))["rows"][0]["threshold"] == 80.0
    assert (await report(bus, "decisions", ALICE))["rows"][0]["reason"] == "simple"
    assert (await report(bus, "decisions", BOB))["rows"] == []


async def test_pages_are_told_what_was_written_and_can_read_it_at_once(
    bus: Bus, service: None
) -> None:
    heard: list[Usage] = []

    async def hear(written: Written) -> None:
        heard.extend(written.used)

    await bus.listen(LIVE, hear)
    await tell(bus, usage(1), usage(2, BOB))

    async def all_heard() -> bool:
        return len(heard) == 2

    await until(all_heard)
    assert {row["id"] for row in (await report(bus, "requests"))["rows"]} == {u.id for u in heard}
