"""A large body that is passed on as it comes, to a client that may not read it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.http import CUT, Passing

pytestmark = pytest.mark.anyio


class Connection:
    """A server's side of a client that reads so many messages, and then nothing more."""

    def __init__(self, reads: int) -> None:
        self.cut, self.sent, self.reads = asyncio.Event(), b"", reads
        self.scope = {"type": "http", "extensions": {CUT: {"now": self.cut.set}}}

    async def send(self, message: dict[str, Any]) -> None:
        self.reads -= 1
        if self.reads < 0:
            await asyncio.Event().wait()
        self.sent += message.get("body", b"")

    async def receive(self) -> dict[str, Any]:
        await self.cut.wait()
        return {"type": "http.disconnect"}


async def body() -> AsyncIterator[bytes]:
    for _ in range(4):
        yield b"piece "


async def test_who_reads_gets_it_all() -> None:
    client = Connection(reads=99)
    await Passing(body(), 200, [(b"x-kept", b"yes")], 5.0)(
        client.scope, client.receive, client.send
    )
    assert client.sent == b"piece " * 4 and not client.cut.is_set()


async def test_who_reads_nothing_more_is_cut_off() -> None:
    client = Connection(reads=3)
    async with asyncio.timeout(5):
        await Passing(body(), 200, [], 0.05)(client.scope, client.receive, client.send)
    assert client.sent == b"piece " * 2 and client.cut.is_set()
