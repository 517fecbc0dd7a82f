import asyncio
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.identity import Limits
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.errors import BudgetExceeded, Unavailable
from libs.common.journal import Consumer
from libs.common.settings.load import Loaded
from libs.common.tasks import end
from services.ledger.cli import rebuild_book
from services.ledger.marks import locked
from services.ledger.names import BOOK, LOCK, mark
from services.ledger.rebuild import Rebuilt
from services.ledger.store import Store, open_store
from tests.ledger.conftest import loaded_for, replica
from tests.ledger.support import MEMBER, Client, offer, until
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
HOUR = 3600


async def test_a_row_told_twice_is_booked_once(ledger: Client) -> None:
    await ledger.budget(1000)
    await ledger.reserve("r1", offer(600))
    row = ledger.use("r1", 250)
    for number in range(3):
        ledger.outbox.put(USED, row, f"again.{number}")
    ledger.use("r2", 1, reservation="")
    await ledger.settled(251)


async def test_a_reservation_of_nothing_is_given_back_too(ledger: Client) -> None:
    one = Limits(concurrency=1)
    await ledger.budget(1000)
    for number in range(3):
        await ledger.reserve(f"r{number}", offer(0), limits=one)
        ledger.use(f"r{number}", 5)
        await ledger.settled(5 * number + 5)


async def test_a_cost_above_the_reservation_is_booked_in_full(ledger: Client) -> None:
    await ledger.budget(1000)
    await ledger.reserve("r1", offer(600))
    ledger.use("r1", 700)
    await ledger.settled(700)


async def test_a_row_that_cost_nothing_releases_what_was_reserved(ledger: Client) -> None:
    await ledger.budget(1000)
    await ledger.reserve("r1", offer(600))
    ledger.use("r1", 0, outcome="error", status=529)
    await ledger.settled(0)


async def test_a_row_without_a_reservation_counts(ledger: Client) -> None:
    await ledger.budget(1000)
    ledger.use("r1", 70, reservation="")
    await ledger.settled(70)


async def test_attempts_of_one_request_are_booked_each(ledger: Client) -> None:
    await ledger.budget(1000)
    await ledger.reserve("r1", offer(300))
    await ledger.reserve("r1", offer(300), attempt=2)
    ledger.use("r1", 10)
    ledger.use("r1", 200, attempt=2, reservation="r1.2")
    await ledger.settled(210)


async def test_a_row_of_an_earlier_window_is_booked_there(ledger: Client) -> None:
    await ledger.budget(1000, window="hourly")
    await ledger.budget(1000, window="total")
    await ledger.reserve("r1", offer(600))
    ledger.use("r1", 250, at=time.time() - HOUR)

    async def booked() -> bool:
        hourly, total = sorted(await ledger.states(), key=lambda s: s.budget.window)
        return (hourly.spent, hourly.reserved, total.spent) == (0, 0, 250)

    await until(booked)


class Hands:
    """A clock that tests turn."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


async def test_what_is_open_at_a_windows_edge_takes_room_in_the_next_one(
    loaded: Loaded, client: Client
) -> None:
    edge = (int(time.time()) // HOUR + 2) * HOUR
    clock = Hands(edge - 1)
    async with replica(loaded, clock):
        await client.budget(1000, window="hourly")
        await client.reserve("r1", offer(600), ttl=10_000)
        clock.at = edge + 1
        assert await client.spent() == (0, 600)
        client.use("r1", 400, at=edge + 2)
        await client.settled(400)


async def test_a_clock_that_jumps_ahead_and_back_loses_nothing(
    loaded: Loaded, client: Client
) -> None:
    now = time.time()
    clock = Hands(now)
    async with replica(loaded, clock):
        await client.budget(1000)
        client.use("r1", 400, at=now)
        await client.settled(400)
        clock.at = now + 3 * 86400
        client.use("r2", 50, at=clock.at)
        await client.settled(50)
        clock.at = now
        assert await client.spent() == (400, 0)


async def test_a_reservation_nobody_settles_is_booked_at_its_input(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    rows: list[Usage] = []

    async def take(batch: list[Usage]) -> None:
        rows.extend(batch)

    consumer = Consumer(client.bus, "test", [USED], take)
    loaded = loaded_for(tmp_path, nats, redis, MODELMUXER_LEDGER__SWEEP_EVERY="0.05")
    async with replica(loaded):
        await consumer.start()
        await client.budget(1000)
        await client.reserve("r1", offer(600, "opus", input_cost=120), ttl=0.05)
        await client.settled(120)
        await consumer.stop()
    assert [(row.id, row.cost, row.outcome, row.model) for row in rows] == [
        ("r1.1", 120, "reconciled", "opus")
    ]
    assert rows[0].principal == MEMBER


async def test_the_providers_figures_replace_a_guess_and_not_the_other_way_round(
    ledger: Client,
) -> None:
    await ledger.budget(1000)
    await ledger.reserve("r1", offer(600))
    row = ledger.row("r1", 250)
    guess = replace(row, cost=100, outcome="reconciled")
    for number, told in enumerate([guess, guess, row, row, guess]):
        ledger.outbox.put(USED, told, f"told.{number}")
    await ledger.settled(250)
    ledger.use("r2", 1, reservation="")
    await ledger.settled(251)


async def test_an_absent_store_delays_booking_and_loses_nothing(
    ledger: Client, redis: Server
) -> None:
    await ledger.budget(1000)
    await ledger.reserve("r1", offer(600))
    redis.kill()
    ledger.use("r1", 250)
    ledger.use("r2", 30, reservation="")
    redis.start()
    await ledger.settled(280)


async def test_a_wiped_store_is_rebuilt_before_anything_is_admitted(
    ledger: Client, redis: Server
) -> None:
    await ledger.budget(1000, window="total")
    for number in range(5):
        ledger.use(f"r{number}", 100, tokens=Tokens(output=5), reservation="")
    await ledger.settled(500)
    await wipe(redis)

    async def refused() -> bool:
        return await outcome(ledger) == "BudgetExceeded"

    assert await outcome(ledger) in ("Unavailable", "BudgetExceeded")
    await until(refused)
    assert await ledger.spent() == (500, 0)


async def test_a_total_outlives_the_rows_it_was_summed_from(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    loaded = loaded_for(tmp_path, nats, redis, MODELMUXER_LEDGER__SWEEP_EVERY="0.05")
    clock = Hands(1_792_800_000.0)  # the 24th of October 2026
    async with replica(loaded, clock):
        await client.budget(10_000, window="total")
        client.use("old", 700, reservation="", at=clock.at)
        await client.settled(700)
        clock.at += 25 * 86400
        client.use("new", 50, reservation="", at=clock.at)
        await client.settled(750)
        await asyncio.sleep(0.2)  # the month is closed
    await forget_row(client, 1)
    await wipe(redis)
    async with replica(loaded, clock):
        assert await client.spent() == (750, 0)
    async with replica(loaded, clock):
        assert await client.spent() == (750, 0)


async def forget_row(client: Client, place: int) -> None:
    """As the journal does with rows that are too old."""
    await client.bus.client.jetstream().delete_msg(EVENTS_STREAM, place)


async def test_what_a_crash_of_the_store_lost_is_booked_again(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    loaded = loaded_for(tmp_path / "data", nats, redis, MODELMUXER_LEDGER__SWEEP_EVERY="0.1")
    async with replica(loaded):
        await client.budget(1000)
        client.use("r1", 100, reservation="")
        await client.settled(100)
        await asyncio.sleep(0.2)
        before = {log: log.read_bytes() for log in redis.cwd.rglob("*.aof")}
        client.use("r2", 30, reservation="")
        await client.settled(130)
        redis.kill()
        for log, written in before.items():
            log.write_bytes(written)
        redis.start()
        await client.settled(130)


async def outcome(ledger: Client) -> str:
    try:
        await ledger.reserve("big", offer(501))
    except Exception as error:  # noqa: BLE001  the kind of refusal is the answer
        return type(error).__name__
    return "admitted"


async def wipe(redis: Server) -> None:
    async with Redis.from_url(redis.url) as store:
        await store.flushall()
        assert not await store.exists(LOCK)


async def test_a_replica_that_starts_on_an_empty_store_has_the_same_numbers(
    loaded: Loaded, client: Client, redis: Server
) -> None:
    async with replica(loaded):
        for window in "daily", "monthly", "total":
            await client.budget(1_000_000, window=window)
        await client.budget(1_000_000, scope="team", scope_id="core")
        for number in range(40):
            client.use(f"r{number}", number, reservation="")
        await client.settled(780)
        await client.budget(1000)
        with pytest.raises(BudgetExceeded):
            await client.reserve("big", offer(900))
        await asyncio.sleep(0.1)  # the alerts of the refusal are journaled
        before = await client.states()
        assert any(state.passed for state in before)
    await wipe(redis)
    async with replica(loaded):
        assert await client.states() == before


async def test_rows_that_arrive_during_a_rebuild_are_booked_once(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    """Everybody rebuilds: whoever asks for it, and each replica that found no book."""
    environ = [loaded_for(tmp_path / name, nats, redis) for name in ("a", "b")]
    async with replica(environ[0]), replica(environ[1]):
        await client.budget(10**9, window="total")
        for number in range(600):
            client.use(f"r{number}", 1 + number, reservation="")
            if number % 100 == 50:
                works = [asyncio.to_thread(rebuild_by_hand, each) for each in environ]
                await asyncio.gather(*works)
        await client.settled(600 * 601 // 2, seconds=30.0)


async def test_a_rebuild_that_another_took_over_books_nothing_more(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    loaded = loaded_for(tmp_path, nats, redis)
    async with replica(loaded), Redis.from_url(redis.url) as store:
        await client.budget(10**9, window="total")
        for number in range(3000):
            client.use(f"r{number}", 1, reservation="")
        await client.settled(3000)
        late = asyncio.create_task(asyncio.to_thread(rebuild_by_hand, loaded))
        await until(lambda: begun(store), 5.0)
        await store.delete(LOCK)  # as if it had been silent for half a minute
        await asyncio.to_thread(rebuild_by_hand, loaded)
        with pytest.raises(Unavailable):
            await late
        assert await client.spent() == (3000, 0)


# redis-py leaves a connection that was cut short while it opened to the garbage collector.
@pytest.mark.slow
async def test_a_rebuild_cut_short_at_any_moment_forgets_no_reservation(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    loaded = loaded_for(tmp_path, nats, redis)
    async with replica(loaded):
        await client.budget(10**6, window="total")
        for number in range(300):
            await client.reserve(f"r{number}", offer(10))
        for number in range(100):
            client.use(f"r{number}", 1)
        await client.settled(100, 2000)
        async with Redis.from_url(redis.url) as store:
            for centiseconds in range(20):
                task = asyncio.create_task(rebuild_book(loaded.settings, wipe=True))
                await until(lambda task=task: begun_or_done(store, task), 5.0)
                await asyncio.sleep(centiseconds / 100)
                await end(task)
        await client.settled(100, 2000)
    async with replica(loaded):
        assert await client.spent() == (100, 2000)


@pytest.mark.slow
async def test_a_rebuild_that_is_stopped_while_it_asks_for_its_turn_keeps_nobody_waiting(
    redis: Server,
) -> None:
    async with open_store(redis.url, 5.0) as store:
        for number in range(800):
            task = asyncio.create_task(hold(store, str(number)))
            for _ in range(4 + number % 8):  # steps of the loop: it is asked, and has not heard
                await asyncio.sleep(0)
            await end(task)
            assert not await store.redis.exists(LOCK)


async def hold(store: Store, name: str) -> None:
    async with locked(store, name):
        await asyncio.Event().wait()


@pytest.mark.parametrize("key", [mark(MEMBER.org), BOOK])
async def test_nobody_lists_or_sets_budgets_by_a_book_that_is_not_whole(
    loaded: Loaded, client: Client, redis: Server, key: str
) -> None:
    async with replica(loaded), Redis.from_url(redis.url) as store:
        standing = await client.budget(100)
        await client.reserve("r1", offer(0))
        whole = await store.get(key)
        await store.set(key, "a rebuild") if key != BOOK else await store.delete(key)
        with pytest.raises(Unavailable, match="being rebuilt"):
            await client.states()
        with pytest.raises(Unavailable, match="being rebuilt"):
            await client.budget(100_000, by=MEMBER)
        await store.set(key, whole)
        assert [state.budget for state in await client.states()] == [standing.budget]


async def test_a_book_left_to_a_rebuild_that_is_gone_is_made_anew(
    loaded: Loaded, client: Client, redis: Server
) -> None:
    async with replica(loaded), Redis.from_url(redis.url) as store:
        await client.budget(1000, window="total")
        client.use("r1", 100, reservation="")
        await client.settled(100)
        await store.set(mark(MEMBER.org), "a replica that slept too long")
        client.use("r2", 30, reservation="")
        await client.settled(130)


async def begun(store: Redis) -> bool:
    return bool(await store.exists(LOCK)) and not await store.exists(BOOK)


async def begun_or_done(store: Redis, task: "asyncio.Task[Rebuilt]") -> bool:
    return task.done() or await begun(store)


def rebuild_by_hand(loaded: Loaded) -> None:
    asyncio.run(rebuild_book(loaded.settings, wipe=True))
