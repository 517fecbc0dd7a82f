"""One pipelined connection to Redis for the scripts of the hot path.

Commands of one turn of the event loop leave in one write and their answers are matched in
order; that costs a third of a connection pool's CPU. Everything else goes through redis-py,
whose errors this raises too.
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from libs.common.tasks import end

KINDS: dict[str, type[Exception]] = {
    "NOSCRIPT": NoScriptError,
    "LOADING": BusyLoadingError,
    "READONLY": ReadOnlyError,
    "MASTERDOWN": ConnectionError,
}
# How long to wait before a lost connection is tried again, when nobody asks for it.
PAUSE = 0.05
Reply = Any
Send = Callable[..., Awaitable[Reply]]


class Pipe:
    """Connects when first asked, and at once again after a loss. No command waits longer than
    `timeout` seconds; a connection that lets one wait is given up with all that wait on it.

    `welcome` may speak on a new connection before anyone else does."""

    def __init__(
        self,
        url: str,
        timeout: float,
        welcome: Callable[[Send], Awaitable[None]] | None = None,
    ) -> None:
        self._target, self._timeout = parse_url(url), timeout
        self._welcome = welcome
        self._wire: _Wire | None = None
        self._again: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[_Wire] | None = None
        self._closed = False

    @property
    def heard(self) -> float:
        """When the last good connection had its last answer (monotonic)."""
        return self._wire.heard if self._wire else 0.0

    async def execute(self, *command: str | bytes | int | float) -> Reply:
        """Raises the errors of redis-py."""
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._connected()
        return await wire.send(*command)

    async def close(self) -> None:
        self._closed = True
        for task in (self._again, self._connecting):
            if task:
                await end(task)
        if self._wire:
            self._wire.give_up(ConnectionError("the connection was closed"))

    async def _connected(self) -> "_Wire":
        """Many may wait for the same connection; whoever leaves does not end it."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect(), name="connect to redis")
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        wire = _Wire(self._timeout, self._lost)
        try:
            async with asyncio.timeout(self._timeout):
                if path := self._target.get("path"):
                    await loop.create_unix_connection(lambda: wire, path)
                else:
                    await loop.create_connection(
                        lambda: wire,
                        self._target.get("host", "localhost"),
                        self._target.get("port", 6379),
                        ssl=self._tls(),
                    )
                for command in self._greeting():
                    await wire.send(*command)
            if self._welcome:
                await self._welcome(wire.send)
        except OSError as error:  # asyncio's TimeoutError is one
            wire.give_up(ConnectionError("redis does not answer"))
            raise ConnectionError(f"redis does not answer: {error or 'timeout'}") from error
        except (RedisError, asyncio.CancelledError):
            wire.give_up(ConnectionError("redis is not ready"))
            raise
        self._wire = wire
        return wire

    def _lost(self, wire: "_Wire") -> None:
        if wire is self._wire and not self._closed:
            self._again = asyncio.create_task(self._reconnect(), name="reconnect to redis")

    async def _reconnect(self) -> None:
        while self._wire is None or self._wire.lost:
            with contextlib.suppress(RedisError):
                await self._connected()
                return
            await asyncio.sleep(PAUSE)

    def _tls(self) -> ssl.SSLContext | None:
        kind = self._target.get("connection_class")
        if kind is None or "SSL" not in kind.__name__:
            return None
        return ssl.create_default_context(cafile=cast(str, self._target.get("ssl_ca_certs")))

    def _greeting(self) -> list[tuple[str, ...]]:
        target, commands = self._target, []
        if password := target.get("password"):
            user = (target["username"],) if target.get("username") else ()
            commands.append(("AUTH", *user, password))
        if target.get("db"):
            commands.append(("SELECT", str(target["db"])))
        return commands


class _Wire(asyncio.Protocol):
    """A connection: what is to be written, and who waits for the next answers."""

    def __init__(self, timeout: float, on_loss: Callable[["_Wire"], None]) -> None:
        self._timeout, self._on_loss = timeout, on_loss
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_error)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._buffer: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self.heard = 0.0
        self.lost = False

    def send(self, *command: Any) -> "asyncio.Future[Reply]":
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self.lost:
            future.set_exception(ConnectionError("the connection to redis was lost"))
            return future
        if not self._buffer:
            self._loop.call_soon(self._flush)
        self._buffer.append(hiredis.pack_command(command))
        self._waiting.append((self._loop.time() + self._timeout, future))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._check)
        return future

    def give_up(self, error: Exception) -> None:
        """Nobody waits any longer for this connection."""
        if not self.lost:
            self.lost = True
            self._on_loss(self)
        if self._watch:
            self._watch.cancel()
        if self._transport:
            self._transport.abort()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            _, future = self._waiting.popleft()
            if future.done():
                continue  # its asker was cancelled
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(ConnectionError("the connection to redis was lost"))

    def _flush(self) -> None:
        if self._transport and not self.lost:
            self._transport.write(b"".join(self._buffer))
        self._buffer.clear()

    def _check(self) -> None:
        """The oldest command decides: answers come in order."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][0] - self._loop.time()
        if left <= 0:
            self.give_up(TimeoutError("redis did not answer in time"))
        else:
            self._watch = self._loop.call_later(left, self._check)


def _error(text: str) -> Exception:
    kind, _, rest = text.partition(" ")
    return KINDS.get(kind, ResponseError)(rest if kind in KINDS else text)
