"""What a batch has cost, from the lines of its results."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from libs.common.contracts.identity import Principal
from libs.common.contracts.usage import Tokens, Usage
from libs.common.prices import PriceTable
from libs.common.settings.load import load
from services.gateway.batches import Group, Held, settle
from services.gateway.errors import HttpFault
from services.gateway.forward import lines
from services.gateway.upstream import HttpReply

pytestmark = pytest.mark.anyio


class Cut(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"custom_id": "a"}\n{"cust'
        raise httpx.ReadError("gone")


async def test_results_that_are_cut_are_not_taken_for_all() -> None:
    seen = []
    with pytest.raises(HttpFault):
        async for line in lines(HttpReply(httpx.Response(200, stream=Cut()))):
            seen.append(line)
    assert seen == [b'{"custom_id": "a"}']


def test_each_model_of_a_batch_is_booked_once_whatever_the_dates_in_its_name() -> None:
    booked: dict[str, int] = {}

    def put(_: Any, row: Usage, id: str) -> None:
        booked[row.model] = row.tokens.output

    kit = cast(
        Any, SimpleNamespace(outbox=SimpleNamespace(put=put), prices=PriceTable.load(load()))
    )
    row = Usage(request_id="r", attempt=0, at=0.0, principal=Principal(key_id="k", key_name="k"))
    models = ("claude-sonnet-5", "claude-sonnet-5-5")
    groups = [Group(model=model, number=n, estimate=0) for n, model in enumerate(models)]
    used = {"claude-sonnet-5-20260630": Tokens(output=7), "claude-sonnet-5-5": Tokens(output=100)}
    settle(kit, Held(row=row, groups=groups, mapping={}), used)
    assert booked == {"claude-sonnet-5": 7, "claude-sonnet-5-5": 100}
