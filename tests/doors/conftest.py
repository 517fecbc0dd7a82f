"""The whole product, with a stand-in for each provider behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fixtures import anyio_backend as anyio_backend
from tests.support.fixtures import place as place
from tests.support.fixtures import stores as stores
from tests.support.servers import Server
from tests.support.stack import Stack, stack
from tests.wire.stand_in import StandIn, stand_in

PROVIDERS = """
[providers.openai]
api_key = "sk-stand-in-000000001"
base_url = "{url}/openai/v1"

[providers.gemini]
api_key = "sk-stand-in-000000001"
base_url = "{url}/v1beta"

[providers.mistral]
api_key = "sk-stand-in-000000001"
base_url = "{url}/mistral/v1"

[providers.groq]
api_key = "sk-stand-in-000000001"
base_url = "{url}/openai/v1"
models = ["llama-4"]
"""


@pytest.fixture(scope="module")
async def others() -> AsyncIterator[StandIn]:
    async with stand_in() as standing:
        yield standing


@pytest.fixture(scope="module")
async def mux(place: Path, stores: tuple[Server, Server], others: StandIn) -> AsyncIterator[Stack]:
    """Also with the stand-in for Anthropic, so that every provider answers."""
    async with stack(place, *stores, more=PROVIDERS.format(url=others.url)) as all_five:
        yield all_five
