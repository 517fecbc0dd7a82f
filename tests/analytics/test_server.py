"""The same service against a ClickHouse server, which may be away for a while."""

import asyncio

import msgspec
import pytest
from prometheus_client import REGISTRY

from libs.common.bus import Bus
from libs.common.errors import Unavailable
from libs.common.settings import Settings
from services.analytics.migrations import Gate, migrate, steps, version
from services.analytics.store import Store
from tests.analytics.conftest import booked, report, serving, tell, until, usage
from tests.analytics.http_clickhouse import ClickHouseHttp
from tests.support.servers import Server

pytestmark = pytest.mark.anyio

SYNC = "SETTINGS mutations_sync = 2"


@pytest.fixture
def settings(settings: Settings, clickhouse: ClickHouseHttp) -> Settings:
    return msgspec.structs.replace(settings, clickhouse_url=clickhouse.url)


async def test_the_service_works_on_a_server(
    nats: Server, bus: Bus, settings: Settings, store: Store, clickhouse: ClickHouseHttp
) -> None:
    async with serving(nats, settings):
        await tell(bus, usage(1), usage(2), usage(1))
        await booked(bus, 2)
        found = await report(bus, "costs", group_by="day", tz="Asia/Kolkata")
        assert found["total_cost"] == "0.002000"
        assert len((await report(bus, "requests", user="alice"))["rows"]) == 2
    assert clickhouse.statements > 20


async def test_nothing_is_lost_or_doubled_while_the_server_is_away(
    nats: Server, bus: Bus, settings: Settings, store: Store, clickhouse: ClickHouseHttp
) -> None:
    async with serving(nats, settings):
        await tell(bus, usage(1))
        await booked(bus, 1)
        clickhouse.stop()
        await tell(bus, *(usage(n) for n in range(2, 200)))
        with pytest.raises(Unavailable):
            await report(bus, "costs")
        waiting = await bus.client.jetstream().consumer_info("MODELMUXER_EVENTS", "analytics")
        assert (waiting.num_pending or 0) + (waiting.num_ack_pending or 0) == 198
        await until(lambda: lag_is(198))
        clickhouse.start()
        await booked(bus, 199)
        assert (await report(bus, "costs"))["total_cost"] == "0.199000"
        await until(lambda: lag_is(0))


async def lag_is(events: int) -> bool:
    return REGISTRY.get_sample_value("modelmuxer_analytics_lag_events") == events


async def test_a_service_starts_without_its_server_and_catches_up(
    nats: Server, bus: Bus, settings: Settings, store: Store, clickhouse: ClickHouseHttp
) -> None:
    clickhouse.stop()
    async with serving(nats, settings):
        await tell(bus, usage(1))
        await asyncio.sleep(0.3)
        clickhouse.start()
        await booked(bus, 1)


async def test_a_service_stopped_while_its_server_is_away_leaves_the_events(
    nats: Server, bus: Bus, settings: Settings, store: Store, clickhouse: ClickHouseHttp
) -> None:
    clickhouse.stop()
    async with serving(nats, settings):
        await tell(bus, usage(1), usage(2))
        await asyncio.sleep(0.3)
    clickhouse.start()
    async with serving(nats, settings):
        await booked(bus, 2)


async def test_two_replicas_count_each_event_once(
    nats: Server, bus: Bus, settings: Settings, store: Store
) -> None:
    async with serving(nats, settings), serving(nats, settings):
        for start in range(0, 300, 100):
            await tell(bus, *(usage(n) for n in range(start, start + 100)))
        await booked(bus, 300)
        assert (await report(bus, "costs"))["total_cost"] == "0.300000"


async def test_a_statement_that_waits_long_is_in_the_log(
    settings: Settings,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.query("SELECT 1")
    assert "ClickHouse: a read took" not in caplog.text
    monkeypatch.setattr("services.analytics.store.SLOW_SECONDS", 0.2)
    await store.query("SELECT sleep(0.3)")
    assert "ClickHouse: a read took 0." in caplog.text


async def test_a_service_waits_for_a_schema_that_is_too_old(
    nats: Server, bus: Bus, settings: Settings
) -> None:
    fresh = msgspec.structs.replace(settings.analytics, database="fresh")
    settings = msgspec.structs.replace(settings, analytics=fresh)
    store = Store.of(settings)
    await store.create_database()
    async with serving(nats, settings):
        with pytest.raises(Unavailable):
            await report(bus, "costs")
        await tell(bus, usage(1))
        assert len(await migrate(store, settings)) == len(steps())
        await booked(bus, 1)
    await store.close()


async def test_a_migration_that_was_cut_short_before_its_record_runs_again(
    settings: Settings, store: Store
) -> None:
    """After each step in turn: it was done, and nobody wrote that down."""
    tables = await store.read_own_writes("SHOW TABLES")
    for number, name, _ in steps():
        await store.write(f"ALTER TABLE schema_steps DELETE WHERE number >= {number} {SYNC}")
        assert (await migrate(store, settings))[0] == name
        assert await version(store) == len(steps())
    assert await store.read_own_writes("SHOW TABLES") == tables


async def test_migrations_run_once_and_are_recorded(settings: Settings, store: Store) -> None:
    assert await migrate(store, settings) == []
    rows = await store.query("SELECT number, name FROM schema_steps ORDER BY number")
    assert [(row["number"], row["name"]) for row in rows] == [step[:2] for step in steps()]
    assert await version(store) == steps()[-1][0]
    await Gate(store).passed()


async def test_rows_are_kept_as_long_as_the_settings_say(settings: Settings, store: Store) -> None:
    sql = """SELECT create_table_query AS ddl FROM system.tables
        WHERE database = currentDatabase() AND name = 'usage'"""

    async def ttl() -> str:
        return str((await store.query(sql))[0]["ddl"])

    assert "toIntervalDay(400)" in await ttl()
    for_ever = msgspec.structs.replace(settings.analytics, usage_days=0)
    await migrate(store, msgspec.structs.replace(settings, analytics=for_ever))
    assert "TTL" not in await ttl()
