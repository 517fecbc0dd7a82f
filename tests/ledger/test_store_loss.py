"""A Redis that comes back without its last moments, as after a crash or a change of primary."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from libs.common.errors import BudgetExceeded, Unavailable
from services.ledger import names
from services.ledger.recent import SECONDS
from services.ledger.store import open_store
from tests.ledger.conftest import loaded_for, replica
from tests.ledger.support import MEMBER, Client, offer, until
from tests.support.servers import Server, redis_server, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with running(redis_server(tmp_path / "redis")) as server:
        yield server


async def forget_what_follows(redis: Server) -> None:
    """From now on nothing more gets to the disk."""
    async with Redis.from_url(redis.url) as store:
        await store.config_set("appendonly", "no")
        await store.save()


def crash(redis: Server) -> None:
    end(redis)
    come_back(redis)


def end(redis: Server) -> None:
    for file in redis.cwd.glob("appendonlydir/*"):
        file.unlink()
    redis.kill()


def come_back(redis: Server) -> None:
    redis.argv = [*redis.argv, "--appendonly", "no"]
    redis.start()
    redis.argv = redis.argv[:-2]


async def test_reservations_that_redis_lost_still_hold_their_room(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    async with AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(replica(loaded_for(tmp_path / name, nats, redis)))
        await client.budget(1000, window="total")
        await forget_what_follows(redis)
        for number in range(8):
            await client.reserve(f"r{number}", offer(100))
        crash(redis)
        await client.settled(0, reserved=800)
        with pytest.raises(BudgetExceeded):
            await client.reserve("too much", offer(300))
        client.use("r0", 70)
        await client.settled(70, reserved=700)


@pytest.mark.slow
async def test_reservations_hold_their_room_however_long_redis_was_away(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    async with replica(loaded_for(tmp_path / "a", nats, redis)):
        await client.budget(1000, window="total")
        await forget_what_follows(redis)
        await client.reserve("r0", offer(800))
        end(redis)
        await asyncio.sleep(SECONDS + 1)
        come_back(redis)
        await client.settled(0, reserved=800)


async def test_a_budget_that_redis_lost_still_holds(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    async with replica(loaded_for(tmp_path / "a", nats, redis)):
        await client.reserve("r0", offer(1))
        await forget_what_follows(redis)
        await client.budget(100, window="total")
        crash(redis)
        assert await refused(client)


async def test_rows_that_redis_lost_are_booked_again(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    loaded = loaded_for(tmp_path / "a", nats, redis, MODELMUXER_LEDGER__SWEEP_EVERY="0.2")
    async with replica(loaded):
        await client.budget(1000, window="total")
        await forget_what_follows(redis)
        client.use("r0", 70)
        await client.settled(70)
        crash(redis)
        await client.settled(70)


async def test_rows_lost_while_no_ledger_ran_are_booked_at_its_start(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    async with replica(loaded_for(tmp_path / "a", nats, redis)):
        await client.budget(1000, window="total")
        await forget_what_follows(redis)
        client.use("r0", 70)
        await client.settled(70)
    crash(redis)
    async with replica(loaded_for(tmp_path / "b", nats, redis)):
        assert await client.spent() == (70, 0)


async def test_a_clean_restart_warns_of_nothing(
    tmp_path: Path,
    nats: Server,
    redis: Server,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with replica(loaded_for(tmp_path / "a", nats, redis)):
        await client.budget(1000, window="total")
        client.use("refused", 0, attempt=0, reservation="", outcome="refused")
        client.use("r0", 70)
        await client.settled(70)
    redis.kill(signal.SIGTERM)
    client.use("told by a gateway that drains", 5)
    redis.start()
    async with replica(loaded_for(tmp_path / "b", nats, redis)):
        await client.settled(75)
    assert warnings(caplog) == []


async def test_only_rows_that_were_booked_are_told_to_be_lost(
    tmp_path: Path,
    nats: Server,
    redis: Server,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with replica(loaded_for(tmp_path / "a", nats, redis)):
        await client.budget(1000, window="total")
        client.use("kept", 1)
        await client.settled(1)
        await forget_what_follows(redis)
        for number in range(3):
            client.use(f"lost{number}", 10)
        client.use("refused", 0, attempt=0, reservation="", outcome="refused")
        await client.settled(31)
    crash(redis)
    client.use("never booked", 5)
    async with replica(loaded_for(tmp_path / "b", nats, redis)):
        await client.settled(36)
    assert warnings(caplog) == ["redis had lost 3 rows that were booked; they are again"]


async def test_what_is_booked_is_noted_only_of_the_redis_that_has_it(redis: Server) -> None:
    async with open_store(redis.url, 1.0) as store:
        run = await store.run_name()
        assert await store.run("reached", [names.REACHED], [run, 7]) == 1
        assert await store.run("reached", [names.REACHED], ["another", 8]) == 0
        assert await store.redis.get(names.REACHED) == f"{run} 7".encode()


async def test_every_replica_hears_of_a_budget_set_after_the_bus_came_back(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    async with AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(replica(loaded_for(tmp_path / name, nats, redis)))
        await client.reserve("r0", offer(1))
        nats.kill()
        nats.start()

        async def is_set() -> bool:
            try:
                await client.budget(100, window="total")
            except Unavailable:
                return False
            return True

        await until(is_set)
        await asyncio.sleep(0.1)
        redis.kill()
        for number in range(12):
            with pytest.raises((Unavailable, BudgetExceeded)):
                await client.reserve(f"big{number}", offer(500), by=MEMBER)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the ledger says aloud."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("services.ledger") and record.levelno >= logging.WARNING
    ]


async def refused(client: Client) -> bool:
    """Whether a call over the budget is, once there is an answer."""
    outcome: list[bool] = []

    async def answered() -> bool:
        try:
            await client.reserve("big", offer(500))
        except Unavailable:
            return False
        except BudgetExceeded:
            outcome.append(True)
        return True

    await until(answered)
    return bool(outcome)
