"""A running ledger on real stores, and a client that speaks to it over the bus."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError, ConnectionError
from redis.retry import Retry

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM, STATE_STREAM
from libs.common.journal import ensure_streams
from libs.common.outbox import Outbox
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from libs.common.settings.load import Loaded, load
from services.ledger.book import Clock
from services.ledger.main import open_service
from tests.ledger.support import Client
from tests.support.servers import Server, nats_server, redis_server, running


def loaded_for(folder: Path, nats: Server, redis: Server, **settings: str) -> Loaded:
    environ = {
        "MODELMUXER_DATA_DIR": str(folder),
        "MODELMUXER_NATS_URL": nats.url,
        "MODELMUXER_REDIS_URL": redis.url,
    }
    return load(environ=environ | settings)


@contextlib.asynccontextmanager
async def replica(loaded: Loaded, clock: Clock = time.time) -> AsyncIterator[Bus]:
    """One ledger with a connection of its own."""
    bus = await Bus.connect(BusSettings(url=loaded.settings.nats_url), "ledger")
    try:
        async with open_service(bus, loaded, clock):
            yield bus
            await bus.stop_serving()
    finally:
        await bus.close()


@pytest.fixture(scope="package")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """One nats-server and one Redis for all tests of the ledger; each test finds them empty."""
    folder = tmp_path_factory.mktemp("ledger")
    with (
        running(nats_server(folder / "nats")) as nats,
        running(redis_server(folder / "redis")) as redis,
    ):
        yield nats, redis


@pytest.fixture
def nats(stores: tuple[Server, Server]) -> Server:
    server = alive(stores[0])
    asyncio.run(forget_streams(server))
    return server


@pytest.fixture
def redis(stores: tuple[Server, Server]) -> Server:
    server = alive(stores[1])
    patient = Retry(
        ConstantBackoff(0.02), 100, supported_errors=(ConnectionError, BusyLoadingError)
    )
    with Redis.from_url(server.url, retry=patient) as store:
        store.flushall()
    return server


def alive(server: Server) -> Server:
    if server.process is None or server.process.poll() is not None:
        server.start()
    return server


async def forget_streams(server: Server) -> None:
    bus = await Bus.connect(BusSettings(url=server.url), "test")
    for stream in EVENTS_STREAM, STATE_STREAM:
        with contextlib.suppress(NotFoundError):
            await bus.client.jetstream().delete_stream(stream)
    await bus.close()


@pytest.fixture
async def loaded(tmp_path: Path, nats: Server, redis: Server) -> Loaded:
    return loaded_for(tmp_path / "data", nats, redis)


@pytest.fixture
async def client(tmp_path: Path, nats: Server) -> AsyncIterator[Client]:
    bus = await Bus.connect(BusSettings(url=nats.url), "gateway")
    await ensure_streams(bus, JournalSettings())
    async with Outbox(bus, JournalSettings(), tmp_path / "gateway.spool") as outbox:
        yield Client(bus, outbox)
    await bus.close()


@pytest.fixture
async def ledger(loaded: Loaded, client: Client) -> AsyncIterator[Client]:
    """A client of one running replica."""
    async with replica(loaded):
        yield client
