"""Analytics: what happened, into ClickHouse; reports, out of it.

It consumes the journal (usage, decisions, alerts, audit) and answers REPORT. Nothing that a
request needs depends on it: while it or ClickHouse is away, the journal waits.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from nats.js.errors import APIError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.exchange import EXCHANGED
from libs.common.contracts.reports import LIVE, LIVE_ROWS, REPORT, Answer, Report, Written
from libs.common.contracts.routing import DECIDED, FEEDBACK
from libs.common.contracts.spending import ALERTED, AUDITED, Audit
from libs.common.contracts.usage import USED, Usage
from libs.common.journal import Consumer, ensure_streams
from libs.common.settings.load import Loaded
from libs.common.tasks import end
from libs.common.telemetry import ANALYTICS_EVENTS, ANALYTICS_LAG, ANALYTICS_SECONDS
from services.analytics import migrations, reports
from services.analytics.audit import Trail
from services.analytics.dead import Burial
from services.analytics.rollups import Rollups
from services.analytics.store import Store
from services.analytics.writer import Writer

DURABLE, BODIES = "analytics", "analytics_bodies"
EVENTS = (USED, DECIDED, FEEDBACK, ALERTED, AUDITED)
LAG_SECONDS = 1.0
BODIES_AT_ONCE = 128  # they are large
# What an administrator does with one person's records is itself audited.
PERSONAL = ("export", "delete")


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    settings = loaded.settings
    store = Store.of(settings)
    try:
        await ensure_streams(bus, settings.journal)
        if not settings.clickhouse_url:
            await migrations.migrate(store, settings)
        trail = Trail(bus, store)
        rollups = Rollups(store)
        writer = Writer(store, rollups.mark, trail.append, Burial(bus, DURABLE).bury)
        bodies = Writer(store, rollups.mark, trail.append, Burial(bus, BODIES).bury)
        schema = migrations.Gate(store)

        async def take(events: list[object]) -> None:
            await schema.passed()
            with ANALYTICS_SECONDS.time():
                await writer.take(events)
            for kind, count in Counter(map(type, events)).items():
                ANALYTICS_EVENTS.labels(kind.__name__.lower()).inc(count)
            await _tell_pages(bus, events)

        async def take_bodies(events: list[object]) -> None:
            await schema.passed()
            await bodies.take(events)

        async def report(asked: Report) -> Answer:
            await schema.passed()
            if reports.is_summed(asked.name):
                await rollups.freshen()
            answer = await reports.answer(store, trail.head, asked)
            if asked.name in PERSONAL and not asked.query.get("cursor"):
                await trail.append([_personal(asked)])
            return answer

        await bus.serve(REPORT, report)
        async with (
            _beside(_watch_lag(bus)),
            _beside(rollups.run()),
            _consuming(
                Consumer(
                    bus,
                    DURABLE,
                    EVENTS,
                    take,
                    batch=settings.analytics.batch,
                    linger=settings.analytics.linger,
                )
            ),
            _consuming(Consumer(bus, BODIES, (EXCHANGED,), take_bodies, batch=BODIES_AT_ONCE)),
        ):
            yield
    finally:
        await store.close()


async def _tell_pages(bus: Bus, events: list[object]) -> None:
    used = tuple(event for event in events if isinstance(event, Usage))
    if used:
        await bus.tell(LIVE, Written(used=used[-LIVE_ROWS:]))


def _personal(asked: Report) -> Audit:
    person = asked.query.get("user") or asked.query.get("key", "")
    return Audit(
        id=f"aud_{uuid.uuid4().hex}",
        at=time.time(),
        org=asked.principal.org,
        actor=asked.principal.key_id,
        action=f"records.{asked.name}",
        target=person,
    )


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs until the context exits."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end(task)


async def _watch_lag(bus: Bus) -> None:
    """Keep the gauge of what waits in the journal; it must rise while ClickHouse is away."""
    while True:
        try:
            info = await bus.client.jetstream().consumer_info(EVENTS_STREAM, DURABLE)
            ANALYTICS_LAG.set((info.num_pending or 0) + (info.num_ack_pending or 0))
        except (*LOST, APIError):
            pass  # the bus says itself when it is away
        await asyncio.sleep(LAG_SECONDS)


@asynccontextmanager
async def _consuming(consumer: Consumer) -> AsyncIterator[None]:
    await consumer.start()
    try:
        yield
    finally:
        await consumer.stop()
