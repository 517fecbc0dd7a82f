"""The HTTP edge below ASGI: heads that are too large, too slow or no HTTP at all."""

import asyncio
import contextlib
import json
import socket
import time
from pathlib import Path

import pytest

from tests.flow.asks import WEATHER, ask, streamed
from tests.support.provider import use
from tests.support.servers import Server
from tests.support.stack import KEYS, Stack, stack

pytestmark = pytest.mark.anyio
HEAD = (
    "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {plain}\r\n"
    "content-length: {size}\r\n\r\n"
)


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": "[gateway.timeouts]\nhead = 0.5\nbody = 0.5"}


async def sent(mux: Stack, *pieces: bytes, seconds: float = 5.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", mux.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(received(reader), seconds)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def error(answer: bytes) -> dict[str, object]:
    shape: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return shape


async def test_what_is_no_http_is_refused_in_shape(mux: Stack) -> None:
    answer = await sent(mux, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and b"nosniff" in answer
    assert error(answer)["type"] == "invalid_request_error"


async def test_a_head_without_an_end_is_cut_off(mux: Stack) -> None:
    lines = b"x-filler: " + b"y" * 4000 + b"\r\n"
    answer = await sent(mux, b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n", *[lines] * 40)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


async def test_a_slow_head_ends_its_connection(mux: Stack) -> None:
    answer = await sent(mux, b"POST /v1/messages HTTP/1.1\r\nhost: loc")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_head_over_the_limit_is_refused_in_shape(mux: Stack) -> None:
    filler = b"x-filler: " + b"y" * 70_000 + b"\r\n"
    head = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" + filler
    answer = await sent(mux, head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431") and b"nosniff" in answer
    assert "headers" in str(error(answer)["message"])


@pytest.mark.parametrize(
    "path", ["messages", "messages/count_tokens", "chat/completions", "messages/batches"]
)
async def test_a_body_that_drips_is_cut_off(mux: Stack, path: str) -> None:
    head = f"POST /v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    head += f"x-api-key: {KEYS['plain']}\r\ncontent-length: 1000\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", mux.port)
    start = time.monotonic()
    writer.write(head.encode())
    drip = asyncio.create_task(dripped(writer))
    answer = await asyncio.wait_for(received(reader), 5)
    drip.cancel()
    writer.close()
    assert time.monotonic() - start < 4
    assert answer.startswith(b"HTTP/1.1 408") and "body" in str(error(answer)["message"])


async def received(reader: asyncio.StreamReader) -> bytes:
    """All that comes, also if what is still being sent has the connection reset in the end."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while some := await reader.read(65_536):
            answer += some
    return answer


async def dripped(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"{")
        await asyncio.sleep(0.1)


async def test_a_kept_connection_answers_again_and_again(mux: Stack) -> None:
    ask = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    answer = await sent(mux, ask, ask, last)
    assert answer.count(b"HTTP/1.1 200") == 3


@pytest.mark.slow
async def test_a_client_that_reads_nothing_is_booked_and_keeps_no_gateway_from_stopping(
    tmp_path: Path, nats: Server, redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(streamed(tools=[WEATHER])).encode()
    idle = "[gateway.timeouts]\nidle = 0.5"
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with stack(tmp_path, nats, redis, gateway="drain = 30", more=idle) as mux:
            mux.provider.script(use("get_weather", {"city": "x" * 6_000_000}, deltas=32))
            silent.connect(("127.0.0.1", mux.port))
            silent.sendall(HEAD.format(size=len(body), **KEYS).encode() + body)
            (row,) = await mux.rows(1, 30)
            assert (row.outcome, row.error) == ("cancelled", "client_gone")
            start = time.monotonic()
    assert time.monotonic() - start < 15 and "without completing" not in caplog.text


@pytest.mark.slow
async def test_an_answer_behind_one_that_nobody_reads_is_given_up(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    first = json.dumps(ask(tools=[WEATHER])).encode()
    second = json.dumps(streamed(tools=[WEATHER])).encode()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with stack(tmp_path, nats, redis) as mux:
            mux.provider.script(use("get_weather", {"city": "x" * 6_000_000}))
            silent.connect(("127.0.0.1", mux.port))
            for body in (first, second):
                silent.sendall(HEAD.format(size=len(body), **KEYS).encode() + body)
                *_, row = await mux.rows(1 if body is first else 2, 30)
            assert (row.outcome, row.error) == ("cancelled", "client_gone")
