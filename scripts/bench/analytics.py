"""How fast analytics takes events and answers `costs`, on the embedded engine of this machine.

    python scripts/bench/analytics.py                       # 1 million in, reports over 10 million
    python scripts/bench/analytics.py --events 100000 --rows 1000000

The first figure is the way of an event into the store: encoding, insert, rollups. The last is the
whole service, out of a full journal. For the reports, rows are made inside the engine and rolled up
once.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.identity import Principal
from libs.common.contracts.reports import Report
from libs.common.contracts.spending import Audit
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.journal import ensure_streams
from libs.common.settings import Settings
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import Loaded
from services.analytics.audit import Head
from services.analytics.main import DURABLE, open_service
from services.analytics.migrations import migrate
from services.analytics.reports import answer
from services.analytics.rollups import Rollups, roll_up
from services.analytics.store import Store
from services.analytics.writer import Writer
from tests.support.servers import nats_server, running

DAYS = 30
KEYS, RUNS, MODELS = 200, 20_000, 6
ADMIN = Principal(key_id="key_root", admin=True)

# The same shape as `event`, made by the engine: runs of 500 attempts, each of one key.
SYNTHETIC = """
INSERT INTO usage (id, request_id, attempt, at, org, user, key_id, run, asked, model, provider,
    reason, input, cache_read, output, cost, baseline_model, baseline_cost, status, outcome,
    seconds, first_token)
WITH intDiv(number, 500) % 20000 AS run
SELECT concat('syn_', toString(number), '.1'), concat('syn_', toString(number)), 1,
    toDateTime64({since:Float64} + number * {step:Float64}, 6, 'UTC'), 'default',
    concat('user', toString(run % 50)), concat('key_', toString(run % 200)),
    concat('run', toString(run)), 'claude-opus-5',
    concat('model', toString(intHash32(number + 1) % 6)), 'anthropic', 'simple',
    100, 3000, 200, 1000 + number % 777, 'claude-opus-5', 5000, 200, 'ok', 1.5, 0.4
FROM numbers({first:UInt64}, {count:UInt64})
"""


def event(number: int, at: float) -> Usage:
    return Usage(
        request_id=f"req_{number:012d}",
        attempt=1,
        at=at,
        principal=Principal(
            key_id=f"key_{number // 500 % KEYS}",
            user=f"user{number // 500 % 50}",
            run=f"run{number // 500 % RUNS}",
        ),
        asked="claude-opus-5",
        model=f"model{number % MODELS}",
        provider="anthropic",
        reason="simple",
        tokens=Tokens(input=100, cache_read=3000, output=200),
        cost=1000 + number % 777,
        baseline_model="claude-opus-5",
        baseline_cost=5000,
        seconds=1.5,
        first_token=0.4,
    )


async def no_audit(events: Sequence[Audit]) -> None:
    assert not events


async def no_grave(event: object, why: str) -> None:
    raise AssertionError(why)


async def no_head() -> Head:
    return Head()


async def ingest(store: Store, events: int, batch: int, span: float) -> tuple[float, float, float]:
    """Rows per second and per second of CPU, with the events spread over so many seconds of the
    last days, and the seconds after the last row until the sums were right. Making the events
    is not counted."""
    rollups = Rollups(store)
    writer = Writer(store, rollups.mark, no_audit, no_grave)
    computing = asyncio.create_task(rollups.run())
    start = time.time() - span
    numbers = iter(range(events))
    spent = busy = 0.0
    while chunk := [event(n, start + span * n / events) for n in itertools.islice(numbers, batch)]:
        began, worked = time.perf_counter(), time.process_time()
        await writer.take(chunk)
        spent += time.perf_counter() - began
        busy += time.process_time() - worked
    began = time.perf_counter()
    computing.cancel()
    await rollups.settle()
    return events / spent, events / busy, time.perf_counter() - began


async def through_journal(events: int, folder: Path) -> float:
    """Rows per second of the whole service: out of a full stream of a nats-server of its own,
    decoded, inserted, acknowledged."""
    with running(nats_server(folder / "nats")) as nats:
        settings = Settings(data_dir=str(folder), nats_url=nats.url)
        teller = await Bus.connect(BusSettings(url=nats.url), "teller")
        await ensure_streams(teller, settings.journal)
        for number in range(events):
            row = event(number, time.time() - 3600 * number / events)
            headers = {"Nats-Msg-Id": row.id}
            await teller.client.publish(USED.subject, msgspec.json.encode(row), headers=headers)
            if number % 5000 == 0:
                await teller.client.flush()
        await teller.client.flush()
        bus = await Bus.connect(BusSettings(url=nats.url), "analytics")
        async with open_service(bus, Loaded(settings, {}, {}, "")):
            began = time.perf_counter()
            while await behind(teller):  # noqa: ASYNC110  the server does not tell
                await asyncio.sleep(0.05)
            spent = time.perf_counter() - began
            await bus.stop_serving()
        await bus.close()
        await teller.close()
        return events / spent


async def behind(bus: Bus) -> int:
    """Events that are not in ClickHouse yet."""
    info = await bus.client.jetstream().consumer_info(EVENTS_STREAM, DURABLE)
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def fill(store: Store, rows: int) -> None:
    step = (DAYS - 1) * 86400 / rows
    since = time.time() - (DAYS - 1) * 86400
    for first in range(0, rows, 1_000_000):
        count = min(1_000_000, rows - first)
        await store.write(SYNTHETIC, since=since, step=step, first=first, count=count)
        sys.stdout.write(f"\r  made {first + count:,} rows")
        sys.stdout.flush()
    began = time.perf_counter()
    for day in range(DAYS + 1):
        at = time.time() - day * 86400
        hours = [at // 86400 * 86400 + hour * 3600 for hour in range(24)]
        await roll_up(store, {"default"}, hours)
    print(f"\n  rolled up in {time.perf_counter() - began:.1f} s")


async def ask(store: Store, name: str, **query: str) -> float:
    """The median of five answers, in seconds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        await answer(store, no_head, Report(principal=ADMIN, name=name, query=query))
        times.append(time.perf_counter() - began)
    return sorted(times)[2]


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="modelmuxer-bench-") as folder:
        settings = Settings(data_dir=folder)
        store = Store.of(settings)
        await migrate(store, settings)
        for name, span in (("an hour", 3600.0), ("ten days", 10 * 86400.0)):
            rate, per_cpu, late = await ingest(store, options.events, options.batch, span)
            print(f"ingest of {options.events:,} events over {name}: {rate:,.0f} rows/s ", end="")
            print(f"({per_cpu:,.0f} per CPU second), sums right {late:.2f} s after the last")
            await store.write("TRUNCATE TABLE usage")
            await store.write("TRUNCATE TABLE usage_hourly")
            await store.write("TRUNCATE TABLE usage_daily")
        print(f"reports over {options.rows:,} rows of {DAYS} days:")
        await fill(store, options.rows)
        for name, query in (
            ("costs", {"days": "30"}),
            ("costs", {"days": "30", "group_by": "run"}),
            ("costs", {"days": "30", "tz": "Europe/Berlin"}),
            ("savings", {"days": "30"}),
            ("latency", {"days": "1"}),
            ("requests", {"days": "30", "limit": "100"}),
        ):
            words = "&".join(f"{key}={value}" for key, value in query.items())
            print(f"  {name}?{words}: {await ask(store, name, **query) * 1000:.0f} ms")
        await store.close()
    with tempfile.TemporaryDirectory(prefix="modelmuxer-bench-") as folder:
        rate = await through_journal(options.journal, Path(folder))
        print(f"the service, {options.journal:,} events out of the journal: {rate:,.0f} rows/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--journal", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=10_000)
    asyncio.run(main(parser.parse_args()))
