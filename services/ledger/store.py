"""The fast book: Redis, and the scripts that are its only transactions."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    TimeoutError,
)

from libs.common.errors import Unavailable
from services.ledger import names
from services.ledger.pipe import Pipe, Send

# What redis-py raises when the store is gone, starting, or no longer the primary.
AWAY = (ConnectionError, TimeoutError, BusyLoadingError, ClusterDownError, ReadOnlyError, OSError)
FOLDER = Path(__file__).parent / "lua"
PARALLEL = 16
# Scripts sent in one go where thousands are to run.
AT_ONCE = 256
T = TypeVar("T")


class Scripts:
    """The transactions, over a way to send commands."""

    def __init__(self, send: Send, scripts: dict[str, "Script"]) -> None:
        self._send, self._scripts = send, scripts

    async def list_org(self, org: str) -> None:
        """Add a tenant to those that have something here."""
        await self._send("SADD", names.ORGS, org)

    async def call(self, script: str, keys: Sequence[str], request: Any, reply: type[Any]) -> Any:
        """Run a script that takes and gives one packed value."""
        packed = await self.run(script, keys, [msgspec.msgpack.encode(request)])
        return msgspec.msgpack.decode(packed, type=reply)

    async def run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a script of plain arguments. It is tried once more on a connection that turns
        out to be lost: every script bears being run twice."""
        lua = self._scripts[script]
        command = ("EVALSHA", lua.sha1, len(keys), *keys, *args)
        with contextlib.suppress(ConnectionError):
            return await self._evaluated(lua, command)
        await asyncio.sleep(0.01)
        return await self._evaluated(lua, command)

    async def _evaluated(self, lua: "Script", command: tuple[Any, ...]) -> Any:
        try:
            return await self._send(*command)
        except NoScriptError:
            await self._send("SCRIPT", "LOAD", lua.text)
            return await self._send(*command)


class Store(Scripts):
    """The scripts over one pipelined connection, and redis-py for all else. Both raise the
    errors of AWAY when Redis is.

    A Redis that was started again, or another that took its place, may lack the last moments:
    `on_restart` mends that on the new connection before anything else is asked of it. It is told
    when the old one was last heard.
    """

    def __init__(self, redis: "Redis", url: str, timeout: float) -> None:
        self.redis, self._pipe = redis, Pipe(url, timeout, self._welcome)
        scripts = {path.stem: Script(path.read_text()) for path in FOLDER.glob("*.lua")}
        super().__init__(self._pipe.execute, scripts)
        self.on_restart: Callable[[Scripts, float], Awaitable[None]] | None = None
        self._known = ""

    async def close(self) -> None:
        await self._pipe.close()

    async def run_name(self) -> str:
        """The run of Redis that is spoken to: another one after every start, and node."""
        return run_of(await self._pipe.execute("INFO", "server"))

    async def _welcome(self, send: Send) -> None:
        run = run_of(await send("INFO", "server"))
        if self._known not in ("", run) and self.on_restart:
            await self.on_restart(Scripts(send, self._scripts), self._pipe.heard)
        self._known = run


async def in_groups(work: Callable[[T], Awaitable[Any]], items: Sequence[T]) -> list[Any]:
    """Do it with each, so many at a time; the answers in order."""
    answers: list[Any] = []
    for at in range(0, len(items), AT_ONCE):
        answers += await asyncio.gather(*map(work, items[at : at + AT_ONCE]))
    return answers


def run_of(info: bytes) -> str:
    found = re.search(rb"run_id:(\w+)", info)
    return found[1].decode() if found else ""


class Script:
    def __init__(self, text: str) -> None:
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@asynccontextmanager
async def open_store(url: str, timeout: float) -> AsyncIterator[Store]:
    """A store at a URL. It need not be up: every call says so itself."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=PARALLEL,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(ConstantBackoff(0.02), 1),
    )
    redis = Redis(connection_pool=pool)
    store = Store(redis, url, timeout)
    try:
        yield store
    finally:
        await store.close()
        await redis.aclose()
        await pool.aclose()


def away(error: BaseException) -> Unavailable:
    return Unavailable(
        "The budget store does not answer; try again in a moment.",
        {"retry_after": 2, "store": type(error).__name__},
    )
