"""A running ledger on real stores, and a client that speaks to it over the bus."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.journal import ensure_streams
from libs.common.outbox import Outbox
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from libs.common.settings.load import Loaded, load
from services.ledger.book import Clock
from services.ledger.main import open_service
from tests.ledger.support import Client
from tests.support.servers import Server


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
