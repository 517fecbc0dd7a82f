import pytest

from libs.common.errors import Unavailable
from libs.common.settings.load import Loaded
from tests.ledger.conftest import replica
from tests.ledger.support import Client, member, offer, until
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["block", "downgrade"])
async def test_a_budget_that_must_hold_refuses_with_a_time_to_retry(
    ledger: Client, redis: Server, mode: str
) -> None:
    await ledger.budget(1000, mode=mode)
    redis.kill()
    with pytest.raises(Unavailable, match="daily budget of key") as caught:
        await ledger.reserve("r1", offer(1))
    assert caught.value.data["retry_after"] > 0


async def test_advice_and_the_absence_of_budgets_let_through_and_say_so(
    ledger: Client, redis: Server
) -> None:
    await ledger.budget(1000, mode="advise")
    redis.kill()
    assert (await ledger.reserve("r1", offer(1))).degraded
    assert (await ledger.reserve("r2", offer(1), by=member(2))).degraded


async def test_a_ledger_starts_without_its_store_and_recovers_with_it(
    loaded: Loaded, client: Client, redis: Server
) -> None:
    async with replica(loaded):
        await client.budget(1000)
    redis.kill()
    async with replica(loaded):
        with pytest.raises(Unavailable):
            await client.reserve("r1", offer(1))
        redis.start()
        await until(lambda: admitted(client))


async def admitted(client: Client) -> bool:
    try:
        return bool(await client.reserve("r1", offer(1)))
    except Unavailable:
        return False


async def test_budgets_cannot_change_while_they_cannot_be_written_down(
    ledger: Client, nats: Server
) -> None:
    nats.kill()
    with pytest.raises(Unavailable):
        await ledger.budget(1000)
    nats.start()
    await until(lambda: defined(ledger), 10)


async def defined(ledger: Client) -> bool:
    try:
        return bool(await ledger.budget(1000))
    except Unavailable:
        return False
