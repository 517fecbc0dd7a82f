import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from libs.common.contracts.spending import Reservation
from libs.common.errors import BudgetExceeded, Forbidden, MuxError
from tests.ledger.conftest import loaded_for, replica
from tests.ledger.support import MEMBER, Client, offer
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
PRICE = 1000


@pytest.fixture
async def three(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> AsyncIterator[Client]:
    """A client of three replicas, each with a connection and a folder of its own."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(3):
            loaded = loaded_for(tmp_path / f"replica{number}", nats, redis)
            await stack.enter_async_context(replica(loaded))
        yield client


async def attempt(client: Client, id: str, run: str = "") -> Reservation | None:
    try:
        return await client.reserve(id, offer(PRICE), by=replace(MEMBER, run=run))
    except BudgetExceeded:
        return None


@pytest.mark.parametrize("room", [0, 1, 37, 200])
async def test_two_hundred_at_once_admit_exactly_what_there_is_room_for(
    three: Client, room: int
) -> None:
    await three.budget(room * PRICE + PRICE - 1)
    results = await asyncio.gather(*(attempt(three, f"r{n}") for n in range(200)))
    admitted = [result for result in results if result]
    assert len(admitted) == room
    costs = [random.Random(room).randrange(PRICE) for _ in admitted]
    for result, cost in zip(admitted, costs, strict=True):
        three.use(result.id.removesuffix(".1"), cost)
    await three.settled(sum(costs))


async def test_a_run_shared_by_replicas_has_one_budget(three: Client) -> None:
    by = replace(MEMBER, run="s1")
    await three.budget(10 * PRICE, by=by, scope="run", scope_id="s1", window="total")
    results = await asyncio.gather(*(attempt(three, f"r{n}", "s1") for n in range(60)))
    assert len([result for result in results if result]) == 10


async def test_a_budget_set_at_one_replica_holds_at_all_from_then_on(three: Client) -> None:
    for limit in range(1, 20):
        state = await three.budget(limit * PRICE)
        assert (await three.states())[0].budget == state.budget
        assert await attempt(three, f"r{limit}")
        assert await attempt(three, f"x{limit}") is None


async def test_an_administrators_budget_set_at_one_replica_binds_members_at_all(
    three: Client,
) -> None:
    for limit in range(1, 20):
        await three.budget(limit * PRICE)
        with pytest.raises(Forbidden):
            await three.budget(limit * PRICE + 1, by=MEMBER)


async def test_the_same_request_sent_to_all_replicas_is_reserved_once(three: Client) -> None:
    await three.budget(10 * PRICE)
    results = await asyncio.gather(*(attempt(three, "r1") for _ in range(30)))
    assert {result and result.id for result in results} == {"r1.1"}
    assert await three.spent() == (0, PRICE)


async def test_all_limits_hold_over_replicas(three: Client) -> None:
    from libs.common.contracts.identity import Limits

    async def one(number: int) -> bool:
        try:
            return bool(await three.reserve(f"r{number}", offer(1), limits=Limits(rpm=25)))
        except MuxError:
            return False

    assert sum(await asyncio.gather(*(one(n) for n in range(100)))) == 25


async def test_fast_sweepers_of_all_replicas_book_a_lost_call_once(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(3):
            folder = tmp_path / f"replica{number}"
            loaded = loaded_for(folder, nats, redis, MODELMUXER_LEDGER__SWEEP_EVERY="0.02")
            await stack.enter_async_context(replica(loaded))
        await client.budget(100 * PRICE)
        for number in range(20):
            await client.reserve(f"r{number}", offer(PRICE, input_cost=100), ttl=0.05)
        await client.settled(2000)
        await asyncio.sleep(0.2)
        assert await client.spent() == (2000, 0)
