"""The reading side of the journal: overlapping, bounded, and nothing kept by who leaves."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.identity import Principal
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import Unavailable
from libs.common.journal import Consumer

pytestmark = pytest.mark.anyio


async def tell(bus: Bus, count: int) -> None:
    js = bus.client.jetstream()
    who = Principal(key_id="key_a")
    for number in range(count):
        row = Usage(request_id=f"r{number}", attempt=1, at=time.time(), principal=who)
        await js.publish(USED.subject, msgspec.json.encode(row))


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


async def in_hand(bus: Bus) -> tuple[int, int]:
    """Events delivered and not acknowledged, and events that wait."""
    info = await bus.client.jetstream().consumer_info(EVENTS_STREAM, "test")
    return info.num_ack_pending or 0, info.num_pending or 0


class Blocked:
    """A handler that is busy, or whose store is away, until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.free, self.error = asyncio.Event(), error
        self.batches: list[list[str]] = []
        self.calls = 0

    async def take(self, batch: list[Usage]) -> None:
        self.calls += 1
        if self.error and not self.free.is_set():
            raise self.error
        await self.free.wait()
        self.batches.append([row.request_id for row in batch])


async def test_the_next_batch_is_read_while_one_is_in_hand_and_no_more(bus: Bus) -> None:
    await tell(bus, 10)
    handler = Blocked()
    consumer = Consumer(bus, "test", [USED], handler.take, batch=3)
    await consumer.start()

    async def two_batches() -> bool:
        return await in_hand(bus) == (6, 4)

    await until(two_batches)
    await asyncio.sleep(0.2)
    assert await two_batches() and handler.calls == 1
    handler.free.set()

    async def none() -> bool:
        return await in_hand(bus) == (0, 0)

    await until(none)
    assert sum(handler.batches, []) == [f"r{number}" for number in range(10)]
    await consumer.stop()


async def test_who_stops_while_its_store_is_away_gives_back_what_it_holds(bus: Bus) -> None:
    await tell(bus, 5)
    away = Blocked(Unavailable("away"))
    leaving = Consumer(bus, "test", [USED], away.take, batch=2)
    await leaving.start()

    async def tried() -> bool:
        return away.calls > 0 and (await in_hand(bus))[0] == 4

    await until(tried)
    await leaving.stop()
    handler = Blocked()
    handler.free.set()
    staying = Consumer(bus, "test", [USED], handler.take)
    await staying.start()

    async def all_five() -> bool:
        return len(set(sum(handler.batches, []))) == 5

    await until(all_five, 5.0)  # acknowledgements time out after half a minute only
    await staying.stop()


async def test_of_events_that_travelled_together_only_the_bad_ones_are_buried(bus: Bus) -> None:
    who = Principal(key_id="key_a")
    rows = [
        msgspec.json.encode(Usage(request_id=f"r{n}", attempt=1, at=0.0, principal=who))
        for n in range(4)
    ]
    await bus.client.jetstream().publish(USED.subject, b"\n".join([*rows[:2], b"{bad", *rows[2:]]))
    seen: set[str] = set()

    async def take(batch: list[Usage]) -> None:
        if any(row.request_id == "r2" for row in batch):
            raise ValueError("cannot be booked")
        seen.update(row.request_id for row in batch)

    consumer = Consumer(bus, "test", [USED], take, max_deliver=1)
    await consumer.start()

    async def handled() -> bool:
        return seen == {"r0", "r1", "r3"} and await in_hand(bus) == (0, 0)

    await until(handled)
    await consumer.stop()
    assert await buried(bus) == {b"{bad", rows[2]}


async def test_of_events_that_travelled_together_none_is_lost_at_a_stop(bus: Bus) -> None:
    who = Principal(key_id="key_a")
    rows = [Usage(request_id=f"r{n}", attempt=1, at=0.0, principal=who) for n in range(2)]
    lines = b"\n".join(msgspec.json.encode(row) for row in rows)
    await bus.client.jetstream().publish(USED.subject, lines)
    waits = asyncio.Event()

    async def take(batch: list[Usage]) -> None:
        if batch[0].request_id == "r0":
            raise ValueError("cannot be booked")
        waits.set()
        raise Unavailable("the store is away")

    consumer = Consumer(bus, "test", [USED], take, max_deliver=1)
    await consumer.start()
    await asyncio.wait_for(waits.wait(), 5)
    await consumer.stop()
    assert sum(await in_hand(bus)) == 1


async def buried(bus: Bus) -> set[bytes]:
    js = bus.client.jetstream()
    pull = await js.pull_subscribe("dead.v1.test", stream=EVENTS_STREAM)
    return {message.data for message in await pull.fetch(10, timeout=0.5)}
