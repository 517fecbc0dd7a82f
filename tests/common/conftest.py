from collections.abc import AsyncIterator

import pytest

from libs.common.bus import Bus
from libs.common.journal import ensure_streams
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from tests.support.servers import Server


@pytest.fixture
async def bus(nats: Server) -> AsyncIterator[Bus]:
    bus = await Bus.connect(BusSettings(url=nats.url), "test")
    await ensure_streams(bus, JournalSettings())
    yield bus
    await bus.close()
