"""One stack for each module, with all five services."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.installed import Client, Missing
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
async def opened(place: Path, stores: tuple[Server, Server]) -> AsyncIterator[Stack]:
    async with stack(place, *stores, analytics=True) as all_five:
        yield all_five


@pytest.fixture
def mux(opened: Stack) -> Stack:
    opened.provider.reset()
    return opened


@pytest.fixture
def provider(mux: Stack) -> Provider:
    return mux.provider


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def need() -> Callable[[Client], None]:
    """Skip where a client cannot be installed, with the reason."""

    def install(client: Client) -> None:
        try:
            client.install()
        except Missing as missing:
            pytest.skip(f"{client.name}: {missing}")

    return install
