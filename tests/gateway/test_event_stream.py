"""The client's side of a stream: what is still said to a client that has stopped reading."""

import asyncio
from typing import Any

import pytest

from libs.common.errors import UpstreamFailed
from services.gateway import relay
from services.gateway.door import MessagesDoor
from services.gateway.http import ClientGone
from services.gateway.relay import EventStream

pytestmark = pytest.mark.anyio


def stream(reads: int) -> EventStream:
    """To a client that reads so many messages, and then nothing more."""
    left = iter(range(reads))

    async def send(message: dict[str, Any]) -> None:
        if next(left, None) is None:
            await asyncio.Event().wait()

    return EventStream(send, MessagesDoor(), 10.0, list)


async def test_last_words_wait_only_so_long_for_a_client_that_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "LAST_WORDS", 0.05)
    out = stream(reads=1)
    await out.start(200, [])
    async with asyncio.timeout(5):
        with pytest.raises(ClientGone):
            await out.fail(UpstreamFailed("cut"), "req_1")
        with pytest.raises(ClientGone):
            await out.end()


async def test_it_is_known_that_a_client_keeps_us_waiting() -> None:
    out = stream(reads=2)
    await out.start(200, [])
    await out.write(b"event: ping\ndata: {}\n\n")
    assert not out.writing
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await out.write(b"event: ping\ndata: {}\n\n")
    assert out.writing
