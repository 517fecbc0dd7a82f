"""The embedded engine opens one folder per process: one for all tests, a database for each."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from libs.common.bus import Bus
from libs.common.contracts.base import Event
from libs.common.contracts.identity import Principal
from libs.common.contracts.reports import REPORT, Answer, Report
from libs.common.contracts.routing import Candidate, Decision, Features, Plan, Rejected
from libs.common.contracts.spending import Alert, Budget
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.settings import Settings
from libs.common.settings.analytics import AnalyticsSettings
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import Loaded
from services.analytics.main import open_service
from services.analytics.migrations import migrate
from services.analytics.store import Store
from tests.analytics.http_clickhouse import ClickHouseHttp
from tests.support.servers import Server

ALICE = Principal(key_id="key_alice", key_name="alice", team="red", user="alice", run="run-a")
BOB = Principal(key_id="key_bob", key_name="bob", team="blue", user="bob")
ADMIN = Principal(key_id="key_root", admin=True)


@pytest.fixture(scope="package")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("analytics")


@pytest.fixture(scope="package")
def engine(data_dir: Path) -> Iterator[Client]:
    """A client kept open, since the engine takes a second to start."""
    client = clickhouse_connect.get_client(interface="chdb", path=str(data_dir / "clickhouse"))
    yield client
    client.close()


@pytest.fixture
def settings(data_dir: Path, engine: Client) -> Settings:
    """One database for all tests, emptied before each: making it takes a while."""
    filled = engine.query(
        """SELECT name FROM system.tables
        WHERE database = 'test' AND total_rows > 0 AND name != 'schema_steps'"""
    )
    for (name,) in filled.result_rows:
        engine.command(f"TRUNCATE TABLE test.{name}")
    analytics = AnalyticsSettings(database="test", linger=0.1)
    return Settings(data_dir=str(data_dir), analytics=analytics)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = Store.of(settings)
    await migrate(store, settings)
    yield store
    await store.close()


@pytest.fixture
async def bus(nats: Server) -> AsyncIterator[Bus]:
    bus = await Bus.connect(BusSettings(url=nats.url), "test")
    yield bus
    await bus.close()


@asynccontextmanager
async def serving(nats: Server, settings: Settings) -> AsyncIterator[None]:
    bus = await Bus.connect(BusSettings(url=nats.url), "analytics")
    try:
        async with open_service(bus, Loaded(settings, {}, {}, "")):
            yield
            await bus.stop_serving()
    finally:
        await bus.close()


@pytest.fixture
async def service(nats: Server, settings: Settings) -> AsyncIterator[None]:
    async with serving(nats, settings):
        yield


def usage(number: int = 1, who: Principal = ALICE, **fields: Any) -> Usage:
    """A plausible attempt that cost 1 000 micro-dollars where the baseline costs 5 000."""
    given: dict[str, Any] = {
        "request_id": f"req_{number:06d}",
        "attempt": 1,
        "at": time.time(),
        "principal": who,
        "asked": "claude-opus-5",
        "model": "claude-haiku-4-5",
        "provider": "anthropic",
        "deployment": "anthropic",
        "reason": "simple",
        "tokens": Tokens(input=100, cache_read=300, output=50),
        "cost": 1000,
        "baseline_model": "claude-opus-5",
        "baseline_cost": 5000,
        "seconds": 1.5,
        "first_token": 0.3,
    }
    return Usage(**(given | fields))


def decision(number: int = 1, who: Principal = ALICE) -> Decision:
    plan = Plan(
        decision_id=f"dec_{number}",
        candidates=(
            Candidate(deployment="a", provider="a", model="small", dialect="a", estimate=1),
        ),
        reason="simple",
        rejected=(Rejected(model="tiny", why="too small"),),
    )
    return Decision(
        decision_id=f"dec_{number}",
        request_id=f"req_{number:06d}",
        at=time.time(),
        principal=who,
        features=Features(model="claude-opus-5"),
        plan=plan,
    )


def alert() -> Alert:
    budget = Budget(id="b", scope="key", scope_id="key_alice", window="daily", limit=5_000_000)
    return Alert(
        id="al", at=time.time(), budget=budget, threshold=80.0, spent=4_000_000, window_start=0.0
    )


async def publish(bus: Bus, event: Event[Any], body: object) -> None:
    await bus.client.jetstream().publish(event.subject, msgspec.json.encode(body))


async def tell(bus: Bus, *events: Usage, repeat: str = "") -> None:
    """Put events on the journal; with `repeat` JetStream itself does not see the repetition."""
    js = bus.client.jetstream()
    for event in events:
        headers = {"Nats-Msg-Id": event.id + repeat}
        await js.publish(USED.subject, msgspec.json.encode(event), headers=headers)


async def ask(bus: Bus, name: str, who: Principal = ADMIN, **query: str) -> Answer:
    return await bus.ask(REPORT, Report(principal=who, name=name, query=query), timeout=20)


async def report(bus: Bus, name: str, who: Principal = ADMIN, **query: str) -> Any:
    return msgspec.json.decode((await ask(bus, name, who, **query)).body)


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.05)


async def booked(bus: Bus, attempts: int, who: Principal = ADMIN, seconds: float = 10.0) -> None:
    """Wait until so many attempts are in the reports."""

    async def there() -> bool:
        return bool((await report(bus, "costs", who))["attempts"] >= attempts)

    await until(there, seconds)


@pytest.fixture
def clickhouse(data_dir: Path) -> Iterator[ClickHouseHttp]:
    """The same engine behind ClickHouse's HTTP protocol."""
    server = ClickHouseHttp(data_dir / "clickhouse").start()
    yield server
    server.stop()
