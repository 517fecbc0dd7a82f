"""Analytics as a process of its own: killed in the middle, it loses and doubles nothing."""

import asyncio
import signal
from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.journal import ensure_streams
from libs.common.settings.journal import JournalSettings
from tests.analytics.conftest import booked, report, tell, usage
from tests.support.servers import Server
from tests.support.stack import Child

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
EVENTS = 3000


async def test_killed_in_the_middle_it_loses_and_doubles_nothing(
    nats: Server, bus: Bus, tmp_path: Path
) -> None:
    config = tmp_path / "modelmuxer.toml"
    config.write_text(
        f'nats_url = "{nats.url}"\ndata_dir = "{tmp_path / "data"}"\n'
        "[analytics]\nbatch = 50\nlinger = 0.05\n"
    )
    await ensure_streams(bus, JournalSettings())
    telling = asyncio.create_task(tell(bus, *(usage(n) for n in range(EVENTS))))
    for life in range(3):
        child = Child("analytics", config, tmp_path / f"{life}.log").start()
        await child.ready()
        await asyncio.sleep(0.2)
        child.stop(signal.SIGKILL)
    await telling
    waiting = await bus.client.jetstream().consumer_info("MODELMUXER_EVENTS", "analytics")
    assert waiting.num_pending or waiting.num_ack_pending, "it was too fast to be killed at work"
    child = Child("analytics", config, tmp_path / "last.log").start()
    await child.ready()
    await asyncio.wait_for(booked(bus, EVENTS, seconds=60), 60)
    found = await report(bus, "costs")
    assert (found["attempts"], found["total_cost"]) == (EVENTS, "3.000000")
    assert child.stop() == 0
