"""Tokens are counted at entry and corrected; a request above the limit is no exception."""

import pytest

from libs.common.contracts.identity import Limits
from libs.common.contracts.spending import SET_LIMITS, SetLimits
from libs.common.contracts.usage import Tokens
from libs.common.errors import LimitExceeded
from tests.ledger.support import ADMIN, Client, offer

pytestmark = pytest.mark.anyio


async def test_a_request_estimated_above_the_limit_counts_what_it_used(ledger: Client) -> None:
    ask = SetLimits(principal=ADMIN, scope="team", scope_id="core", limits=Limits(tpm=1000))
    await ledger.bus.ask(SET_LIMITS, ask)
    await ledger.budget(10_000)
    await ledger.reserve("r1", offer(1), input_tokens=5000)
    ledger.use("r1", 1, tokens=Tokens(input=900))
    await ledger.settled(1)
    with pytest.raises(LimitExceeded) as refused:
        await ledger.reserve("r2", offer(1), input_tokens=200)
    assert refused.value.data["used"] == 900
    assert (await ledger.reserve("r3", offer(1), input_tokens=100)).reserved == 1
