"""What goes to Anthropic as it is."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from services.gateway import forward
from services.gateway.errors import HttpFault
from services.gateway.upstream import HttpReply

pytestmark = pytest.mark.anyio


class Drips(httpx.AsyncByteStream):
    """Never silent for long, never at its end."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    async def aclose(self) -> None:
        self.closed = True


async def test_an_answer_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "READ_SECONDS", 0.1)
    drips = Drips()
    async with asyncio.timeout(2):
        with pytest.raises(HttpFault, match=r"no whole answer in 0\.1 s"):
            await forward.whole(HttpReply(httpx.Response(200, stream=drips)))
    assert drips.closed
