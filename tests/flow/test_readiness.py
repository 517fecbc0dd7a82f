"""When a gateway takes traffic at its start, and that it goes on taking it."""

from pathlib import Path

import httpx
import pytest

from libs.common.settings.load import load
from tests.flow.asks import ask
from tests.support.provider import running
from tests.support.servers import Server
from tests.support.stack import Place, placed, service

pytestmark = pytest.mark.anyio


async def ready(place: Place) -> httpx.Response:
    async with place.http() as http:
        return await http.get("/ready")


async def test_a_gateway_is_ready_once_all_it_asks_have_answered(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with running() as provider:
        place = Place(**placed(tmp_path, nats, redis, provider, {}))
        loaded = load(str(place.config), environ={})
        async with service("ledger", loaded), service("router", loaded), service("gateway", loaded):
            first = await ready(place)
            async with service("pii", loaded):
                second = await ready(place)
                async with place.http("masked") as http:
                    answer = await http.post("/v1/messages", json=ask("Hi"))
            # Its absence is a matter of policy from now on, not of readiness.
            third = await ready(place)
    assert (first.status_code, first.json()) == (503, {"status": "waiting for pii"})
    assert (second.status_code, third.status_code) == (200, 200)
    assert answer.status_code == 200
