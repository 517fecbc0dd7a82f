"""The commands of docs/backup.md, on real stores."""

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats as client
import pytest
from redis.asyncio import Redis

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM, STATE_STREAM
from libs.common.journal import ensure_streams
from libs.common.settings import Settings
from libs.common.settings.analytics import AnalyticsSettings
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from services.analytics.migrations import Gate, migrate
from services.analytics.store import Store
from tests.analytics.conftest import booked, report, serving, tell, usage
from tests.analytics.http_clickhouse import ClickHouseHttp
from tests.deploy.snapshots import backup, restore
from tests.support.servers import Server, nats_server, redis_server, running

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/backup.md").read_text()
SQL = re.findall(r"```sql\n(.*?);\n```", PAGE, re.S)
K8S = ROOT / "deploy" / "k8s" / "base"


@contextmanager
def nats_of_the_manifests(folder: Path) -> Iterator[Server]:
    server = nats_server(folder)
    with (folder / "nats.conf").open("a") as config:
        config.write('\ninclude "users.conf"\n')
    for file in ("users.conf", "permissions.conf"):
        (folder / file).write_text((K8S / "nats" / file).read_text())
    with running(server):
        yield server


async def connected(server: Server, user: str) -> client.NATS:
    return await client.connect(server.url, user=user, password="secret")


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("GATEWAY", "ROUTER", "PII", "LEDGER", "ANALYTICS", "OPERATOR"):
        monkeypatch.setenv(f"NATS_PASSWORD_{user}", "secret")


async def filled(server: Server) -> None:
    """Two streams as the ledger makes them, three events, one of them settled."""
    bus = await Bus.connect(BusSettings(url=server.url, user="ledger", password="secret"), "ledger")
    await ensure_streams(bus, JournalSettings())
    js = bus.client.jetstream()
    for number in range(3):
        await js.publish("usage.v1", b"%d" % number)
    await js.publish("state.v1.key.one", b"{}")
    reading = await js.pull_subscribe("usage.v1", "ledger", EVENTS_STREAM)
    (first,) = await reading.fetch(1)
    await first.ack_sync()
    await bus.close()


async def test_streams_come_back_with_what_was_read_of_them(tmp_path: Path) -> None:
    assert re.findall(r"nats stream backup (\w+)", PAGE) == [EVENTS_STREAM, STATE_STREAM]
    with nats_of_the_manifests(tmp_path / "old") as old:
        await filled(old)
        operator = await connected(old, "operator")
        kept = [await backup(operator, name) for name in (EVENTS_STREAM, STATE_STREAM)]
        await operator.close()
    with nats_of_the_manifests(tmp_path / "new") as new:
        operator = await connected(new, "operator")
        states = [(await restore(operator, *one))["state"]["messages"] for one in kept]
        ledger = await operator.jetstream().consumer_info(EVENTS_STREAM, "ledger")
        await operator.close()
    assert states == [3, 1]
    assert ledger.ack_floor and ledger.ack_floor.stream_seq == 1


@pytest.mark.parametrize("user", ["gateway", "router", "pii"])
async def test_who_has_no_business_with_the_journal_cannot_take_a_copy(
    tmp_path: Path, user: str
) -> None:
    with nats_of_the_manifests(tmp_path / "nats") as server:
        await filled(server)
        refused: list[str] = []

        async def noted(error: Exception) -> None:
            refused.append(str(error))

        stranger = await client.connect(
            server.url,
            user=user,
            password="secret",
            error_cb=noted,
            inbox_prefix=f"_INBOX_{user}".encode(),
        )
        await stranger.publish(f"$JS.API.STREAM.SNAPSHOT.{EVENTS_STREAM}", b"{}")
        await stranger.flush()
        await asyncio.sleep(0.1)
        await stranger.close()
    assert "permissions violation" in refused[0].lower()


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouseHttp]:
    """The embedded engine with the shipped server's configuration, its disk in our folder."""
    shipped = re.sub("<logger>.*</logger>", "", (K8S / "clickhouse/config.xml").read_text())
    config = tmp_path / "config.xml"
    config.write_text(shipped.replace("/var/lib/clickhouse", str(tmp_path)))
    folder = Path(f"{tmp_path}/data?config-file={config}")
    server = ClickHouseHttp(folder).start()
    yield server
    server.stop()


@pytest.fixture
def settings(tmp_path: Path, clickhouse: ClickHouseHttp) -> Settings:
    quick = AnalyticsSettings(linger=0.1)
    return Settings(data_dir=str(tmp_path), analytics=quick, clickhouse_url=clickhouse.url)


@pytest.mark.slow
async def test_reports_come_back_and_what_is_delivered_again_counts_once(
    nats: Server, settings: Settings, clickhouse: ClickHouseHttp
) -> None:
    full, difference, back = SQL
    store = Store.of(settings)
    await migrate(store, settings)
    bus = await Bus.connect(BusSettings(url=nats.url), "test")
    async with serving(nats, settings):
        await tell(bus, *(usage(n) for n in range(100)))
        await booked(bus, 100)
        clickhouse.run({}, full.encode())
        await tell(bus, *(usage(n) for n in range(100, 150)))
        await booked(bus, 150)
        clickhouse.run({}, difference.encode())
    clickhouse.run({}, b"DROP DATABASE modelmuxer SYNC")
    clickhouse.run({}, back.encode())
    await Gate(store).passed()
    assert await migrate(store, settings) == []
    async with serving(nats, settings):
        assert (await report(bus, "costs"))["total_cost"] == "0.150000"
        await tell(bus, *(usage(n) for n in range(140, 160)))
        await booked(bus, 160)
        assert (await report(bus, "costs"))["total_cost"] == "0.160000"
    await bus.close()
    await store.close()


async def test_a_copy_of_the_append_only_file_is_a_backup(tmp_path: Path, redis: Server) -> None:
    before, after = re.findall(r"^redis-cli (.*)$", PAGE, re.M)
    async with Redis.from_url(redis.url) as store:
        await store.set("book:one", 5)
        await store.execute_command(*shlex.split(before))
        (copy := tmp_path / "copy").mkdir()
        for file in redis.cwd.glob("appendonly*"):
            (shutil.copytree if file.is_dir() else shutil.copy)(file, copy / file.name)
        await store.execute_command(*shlex.split(after))
        await store.set("book:one", 6)
    with running(redis_server(copy)) as again:
        async with Redis.from_url(again.url) as store:
            assert await store.get("book:one") == b"5"
