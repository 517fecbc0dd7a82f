"""One stack for each module, its stand-in forgetting everything between tests. A conftest takes
these by importing them; `config` and `analytics` are for a folder or module to say otherwise."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.provider import Provider
from tests.support.servers import Server, nats_server, redis_server, running
from tests.support.stack import Stack, stack

__all__ = [
    "analytics",
    "anyio_backend",
    "config",
    "mux",
    "opened",
    "place",
    "provider",
    "stores",
]


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
def analytics() -> bool:
    """Whether analytics runs too; it takes a second to start."""
    return False


@pytest.fixture(scope="module")
async def opened(
    place: Path, stores: tuple[Server, Server], config: dict[str, str], analytics: bool
) -> AsyncIterator[Stack]:
    async with stack(place, *stores, analytics=analytics, **config) as services:
        yield services


@pytest.fixture
def mux(opened: Stack) -> Stack:
    opened.provider.reset()
    return opened


@pytest.fixture
def provider(mux: Stack) -> Provider:
    return mux.provider
