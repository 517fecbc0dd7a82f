"""From the journal into ClickHouse: once per event, whatever is delivered how often."""

import time

import pytest

from libs.common.bus import Bus
from tests.analytics.conftest import ALICE, BOB, booked, report, tell, usage

pytestmark = pytest.mark.anyio


async def test_an_event_is_in_the_costs_within_a_second(bus: Bus, service: None) -> None:
    started = time.monotonic()
    await tell(bus, usage())
    await booked(bus, 1)
    assert time.monotonic() - started < 1.0


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
