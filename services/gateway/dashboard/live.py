"""Finished requests as analytics writes them, to every open page that may see them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from libs.common.contracts.identity import Key
from libs.common.contracts.reports import Written, request_row
from libs.common.contracts.usage import Usage
from libs.common.errors import LimitExceeded, MuxError

Handler = Callable[[Written], Awaitable[None]]
Listen = Callable[[Handler], Awaitable[None]]
MAX_STREAMS = 100
BEHIND = 500  # events a slow page may lag; then it loses the oldest
BEAT_SECONDS = 15.0
LOOK_SECONDS = 0.5


class Live:
    """One subscription to the bus per process, made when the first page opens.

    `draining` ends the streams of a gateway that is about to stop; a stream says that it is
    still there every `beat` seconds."""

    def __init__(
        self, listen: Listen, draining: Callable[[], bool], beat: float = BEAT_SECONDS
    ) -> None:
        self._listen, self._draining, self._beat = listen, draining, beat
        self._listening = False
        self._pages: dict[asyncio.Queue[bytes], Key] = {}

    async def events(self, find: Callable[[], Awaitable[Key]]) -> AsyncIterator[bytes]:
        """Server-sent events of what a key may see; it is looked up again at every beat.

        Raises what `find` raises, and LimitExceeded."""
        key = await find()
        if len(self._pages) >= MAX_STREAMS:
            raise LimitExceeded(f"{MAX_STREAMS} pages are open; close one")
        if not self._listening:
            await self._listen(self._heard)
            self._listening = True
        return self._stream(key, find)

    async def _stream(self, key: Key, find: Callable[[], Awaitable[Key]]) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(BEHIND)
        self._pages[queue] = key
        loop = asyncio.get_running_loop()
        beat = loop.time() + self._beat
        try:
            yield b"retry: 1000\n\n"
            while not self._draining():
                if (event := await _next(queue)) is not None:
                    yield event
                if loop.time() >= beat:
                    beat = loop.time() + self._beat
                    await find()
                    yield b": still here\n\n"
        except MuxError:
            return  # the key was revoked, or nobody can say: the page logs in or connects again
        finally:
            del self._pages[queue]

    async def _heard(self, written: Written) -> None:
        if self._pages:
            for usage in written.used:
                self._show(usage)

    def _show(self, usage: Usage) -> None:
        data = b"event: request\ndata: " + msgspec.json.encode(request_row(usage)) + b"\n\n"
        for queue, key in self._pages.items():
            if not _may_see(key, usage):
                continue
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(data)


async def _next(queue: asyncio.Queue[bytes]) -> bytes | None:
    try:
        return await asyncio.wait_for(queue.get(), LOOK_SECONDS)
    except TimeoutError:
        return None


def _may_see(key: Key, usage: Usage) -> bool:
    """As in the reports: a key its own, an administrator the org's."""
    who = usage.principal
    return who.org == key.org and (key.admin or who.key_id == key.id)
