"""The same table against two gateways: ours, or (MODELMUXER_COMPAT=naive) the naive relay."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.compat.naive import naive
from tests.support.provider import KEY, Provider
from tests.support.servers import nats_server, redis_server, running
from tests.support.stack import Place, stack

NAIVE = os.environ.get("MODELMUXER_COMPAT") == "naive"
GATEWAY = """
ping_after = 0.4
ping_every = 0.4
[gateway.timeouts]
first_token = 2.0
idle = 2.0
total = 4.0
"""
MORE = f"""
[providers.openai]
api_key = "{KEY}"
base_url = "{{stand_in}}/openai/v1"
[providers.gemini]
api_key = "{KEY}"
base_url = "{{stand_in}}/v1beta"
[providers.deepseek]
api_key = "{KEY}"
base_url = "{{stand_in}}/deepseek"
[keys.subscriber]
key = "sk-mm-subscriber-00000000001"
routing = "respect"
pii = "off"
subscription = true
[keys.limited]
key = "sk-mm-limited-0000000000001"
routing = "respect"
pii = "off"
rpm = 5
[keys.budgeted]
key = "sk-mm-budgeted-000000000001"
routing = "respect"
pii = "off"
"""
OTHER = "gpt-6.1-terra"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder: Path = tmp_path_factory.mktemp("compat")
    if NAIVE:
        async with naive() as relay:
            yield relay
        return
    with (
        running(nats_server(folder / "nats")) as nats,
        running(redis_server(folder / "r")) as redis,
    ):
        async with stack(folder, nats, redis, gateway=GATEWAY, more=MORE) as ours:
            yield ours


@pytest.fixture
def mux(opened: Place) -> Place:
    opened.provider.reset()
    return opened


@pytest.fixture
def provider(mux: Place) -> Provider:
    return mux.provider
