import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from libs.common.bus import Bus
from libs.common.contracts.pii import EXPLAIN_PII, SCAN, Explain, Scan
from libs.common.errors import Unavailable
from libs.common.settings import Settings
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import Loaded
from libs.common.settings.pii import PiiSettings
from services.pii.main import open_service
from services.pii.pool import Pool
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def service(nats: Server, settings: PiiSettings, replicas: int = 1) -> AsyncIterator[Bus]:
    """The service on a real bus, and a bus to ask it."""
    loaded = Loaded(Settings(pii=settings), {}, {}, "")
    async with AsyncExitStack() as stack:
        buses = [await Bus.connect(BusSettings(url=nats.url), "pii") for _ in range(replicas)]
        asker = await Bus.connect(BusSettings(url=nats.url), "test")
        for bus in buses:
            await stack.enter_async_context(open_service(bus, loaded))
        yield asker
        for bus in (*buses, asker):
            await bus.close()


async def test_texts_go_in_and_findings_come_back_in_order(nats: Server) -> None:
    async with service(nats, PiiSettings()) as bus:
        texts = ("mail anna@northwind.io", "nothing", "DB_PASSWORD=Tr0ub4dor!x9")
        found = await bus.ask(SCAN, Scan(request_id="r", texts=texts), 10)
    assert [[f.type for f in each] for each in found.texts] == [["EMAIL"], [], ["SECRET"]]
    assert found.rules


async def test_no_value_travels_back(nats: Server) -> None:
    async with service(nats, PiiSettings()) as bus:
        reasons = await bus.ask(EXPLAIN_PII, Explain(text="DB_PASSWORD=Tr0ub4dor!x9"), 10)
    assert "password" in reasons.reasons[0].why
    assert "Tr0ub4dor" not in str(reasons)


async def test_two_replicas_share_the_work(nats: Server) -> None:
    async with service(nats, PiiSettings(), replicas=2) as bus:
        scan = Scan(request_id="r", texts=("anna@northwind.io",))
        replies = await asyncio.gather(*(bus.ask(SCAN, scan, 10) for _ in range(20)))
    assert all(len(reply.texts[0]) == 1 for reply in replies)


async def test_the_loop_goes_on_while_a_large_text_is_scanned(nats: Server) -> None:
    async with service(nats, PiiSettings()) as bus:
        text = "key = value, call x, password: none " * 100_000
        scan = asyncio.ensure_future(bus.ask(SCAN, Scan(request_id="r", texts=(text,)), 60))
        longest = 0.0
        while not scan.done():
            started = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - started)
        assert (await scan).texts == ((),)
    assert longest < 0.75


@pytest.mark.slow
async def test_worker_processes_answer_and_a_killed_one_is_replaced() -> None:
    async with Pool.open(PiiSettings(workers=1)) as pool:
        assert len((await pool.scan(["anna@northwind.io"])).texts[0]) == 1
        os.kill(next(iter(pool._executor._processes)), signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(Unavailable):
            while True:
                await pool.scan(["x"])
                await asyncio.sleep(0.01)
        assert len((await pool.scan(["anna@northwind.io"])).texts[0]) == 1
