"""ClickHouse stops for a minute while the gateway is busy: no client notices, no row is lost or
doubled, and the lag says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.analytics.store import Store
from tests.analytics.conftest import until
from tests.analytics.http_clickhouse import ClickHouseHttp
from tests.flow.asks import ask
from tests.support.servers import Server, free_port
from tests.support.stack import IN_LOOP, ProcessStack, process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
AWAY_SECONDS, CLIENTS = 60.0, 4
DATABASE = '[analytics]\ndatabase = "test"\nlinger = 0.1\n'
BUDGET = {"budget_type": "daily", "budget_limit": 50.0}


@pytest.fixture
def probe() -> int:
    return free_port()


@pytest.fixture
async def mux(
    tmp_path: Path,
    nats: Server,
    redis: Server,
    clickhouse: ClickHouseHttp,
    store: Store,
    probe: int,
) -> AsyncIterator[ProcessStack]:
    top = f'clickhouse_url = "{clickhouse.url}"'
    places = process_stack(tmp_path, nats, redis, IN_LOOP, top=top, more=DATABASE)
    async with places as place:
        shared = place.config
        place.config = tmp_path / "analytics.toml"
        place.config.write_text(f"probe_port = {probe}\n{shared.read_text()}")
        await place.start("analytics").ready()
        async with place.http() as http:
            assert (await http.post("/v1/analytics/budgets", json=BUDGET)).status_code == 200
        yield place


@asynccontextmanager
async def traffic(place: ProcessStack, answers: list[int]) -> AsyncIterator[None]:
    """Requests of several clients until the context exits; then all are answered."""
    ended = asyncio.Event()

    async def client(number: int) -> None:
        async with place.http() as http:
            while not ended.is_set():
                body = ask(f"item {len(answers)} of {number}")
                answers.append((await http.post("/v1/messages", json=body)).status_code)
                await asyncio.sleep(0.05)

    clients = [asyncio.ensure_future(client(number)) for number in range(CLIENTS)]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*clients)


async def lag(probe: int) -> float:
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{probe}/metrics")).text
    name = "modelmuxer_analytics_lag_events "
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))


async def test_clickhouse_away_under_traffic_fails_loses_and_doubles_nothing(
    mux: ProcessStack, clickhouse: ClickHouseHttp, probe: int
) -> None:
    answers: list[int] = []
    lags: list[float] = []

    async def level() -> bool:
        return await lag(probe) == 0

    async with traffic(mux, answers):
        await asyncio.sleep(1)
        clickhouse.stop()
        for _ in range(4):
            await asyncio.sleep(AWAY_SECONDS / 4)
            lags.append(await lag(probe))
        clickhouse.start()
        await asyncio.sleep(1)
    assert lags[0] >= 20 and lags == sorted(set(lags))
    await until(level, 60)
    assert set(answers) == {200}
    bill = mux.provider.bill.total
    assert await mux.spent(bill, seconds=30) == await mux.booked(bill, seconds=30) == bill
    async with mux.http("admin") as http:
        found = (await http.get("/v1/analytics/costs")).json()
    assert found["attempts"] == found["requests"] == len(answers)
