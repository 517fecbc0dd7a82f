"""The whole product, opened once per module, its stand-in forgetting everything between tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.provider import Provider
from tests.support.servers import Server, nats_server, redis_server, running
from tests.support.stack import Stack, stack


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stores(place: Path) -> Iterator[tuple[Server, Server]]:
    with running(nats_server(place / "nats")) as nats, running(redis_server(place / "redis")) as r:
        yield nats, r


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    """What a module wants to have configured otherwise."""
    return {}


@pytest.fixture(scope="module")
async def opened(
    place: Path, stores: tuple[Server, Server], config: dict[str, str]
) -> AsyncIterator[Stack]:
    async with stack(place, *stores, **config) as all_five:
        yield all_five


@pytest.fixture
def mux(opened: Stack) -> Stack:
    opened.provider.reset()
    return opened


@pytest.fixture
def provider(mux: Stack) -> Provider:
    return mux.provider
