"""A provider that costs next to nothing: fixed answers, streams in time.

`deltas=200;gap=10;` in the request asks for a stream of 200 text deltas 10 ms apart.
Run as `python -m scripts.bench.mock PORT`.
"""

import asyncio
import json
import re
import sys
from typing import Any, cast

import httptools
import uvloop

ORDER = re.compile(rb"deltas=(\d+);gap=(\d+);")
HEAD = b"HTTP/1.1 200 OK\r\nrequest-id: req_bench\r\n"
USAGE = {
    "input_tokens": 300,
    "output_tokens": 40,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}
TEXT = "The work is done, and all of the tests pass now. " * 3


def event(name: str, **data: Any) -> bytes:
    text = f"event: {name}\ndata: {json.dumps({'type': name} | data)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(text), text)


def message(content: list[Any], stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
    }


WHOLE = json.dumps(message([{"type": "text", "text": TEXT}], "end_turn")).encode()
ANSWER = HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE) + WHOLE
OPENING = (
    HEAD
    + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + event("message_start", message=message([], None))
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
)
DELTA = event(
    "content_block_delta", index=0, delta={"type": "text_delta", "text": "about twenty chars. "}
)
CLOSING = (
    event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage=USAGE)
    + event("message_stop")
    + b"0\r\n\r\n"
)


class Mock(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self.body)
        self.body.clear()
        order = ORDER.search(body)
        if not order:
            self.transport.write(ANSWER)
            return
        deltas, gap = int(order[1]), int(order[2]) / 1000
        self.task = asyncio.ensure_future(self.stream(deltas, gap))

    async def stream(self, deltas: int, gap: float) -> None:
        self.transport.write(OPENING)
        start = asyncio.get_running_loop().time()
        for number in range(deltas):
            wait = start + number * gap - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, wait))
            self.transport.write(DELTA)
        self.transport.write(CLOSING)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mock, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
