"""Fifty and five hundred streams at once: all complete, and how long the first token takes."""

import asyncio
import time

import httpx
import pytest

from tests.flow.asks import streamed
from tests.support.provider import Provider, say
from tests.support.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def first_token(http: httpx.AsyncClient) -> tuple[float, bool]:
    """Seconds to the first content, and whether the stream came to its end."""
    began, first, ended = time.monotonic(), 0.0, False
    async with http.stream("POST", "/v1/messages", json=streamed("many at once")) as answer:
        async for piece in answer.aiter_bytes():
            if not first and b"text_delta" in piece:
                first = time.monotonic() - began
            ended = ended or b"message_stop" in piece
    return first, ended


@pytest.mark.parametrize("count", [50, 500])
async def test_many_streams_at_once_are_all_complete(
    mux: Stack, provider: Provider, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.always = say("word " * 20, deltas=20, delay=0.1)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"x-api-key": "sk-mm-plain-0000000000000001"}
    async with httpx.AsyncClient(
        base_url=mux.url, headers=headers, limits=limits, timeout=120
    ) as http:
        seen = await asyncio.gather(*(first_token(http) for _ in range(count)))
    times = sorted(first for first, _ in seen)
    with capsys.disabled():
        half, most = times[count // 2], times[int(count * 0.95)]
        print(f"\n{count} streams: first token p50 {half:.2f} s, p95 {most:.2f} s")  # noqa: T201
    assert all(ended for _, ended in seen) and times[0] > 0
    assert len(provider.bill.lines) == count
