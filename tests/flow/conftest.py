"""The whole product for each test of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.servers import Server
from tests.support.stack import Stack, stack


@pytest.fixture
async def mux(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[Stack]:
    async with stack(tmp_path, nats, redis) as opened:
        yield opened
