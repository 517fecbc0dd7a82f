import pytest

from libs.common.errors import BudgetExceeded
from tests.ledger.support import MEMBER, Client, offer

pytestmark = pytest.mark.anyio


async def test_what_is_reserved_is_given_back_when_the_cost_is_known(ledger: Client) -> None:
    await ledger.budget(1000)
    reservation = await ledger.reserve("r1", offer(600))
    assert (reservation.offer, reservation.reserved) == (0, 600)
    assert await ledger.spent() == (0, 600)
    ledger.use("r1", 250)
    await ledger.settled(250)


async def test_a_call_that_does_not_fit_is_refused_with_its_reasons(ledger: Client) -> None:
    await ledger.budget(1_000_000, clamp=False)
    await ledger.reserve("r1", offer(600_000))
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.reserve("r2", offer(600_000))
    data = caught.value.data
    assert (data["scope"], data["scope_id"], data["window"]) == ("key", MEMBER.key_id, "daily")
    assert (data["limit"], data["spent"]) == ("1.000000", "0.000000")
    assert (data["reserved"], data["estimate"]) == ("0.600000", "0.600000")
    assert data["resets_at"].endswith("T00:00:00Z")
