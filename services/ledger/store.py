"""The fast book: Redis, and the scripts that are its only transactions."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    ReadOnlyError,
    TimeoutError,
)

from libs.common.errors import Unavailable

# What redis-py raises when the store is gone, starting, or no longer the primary.
AWAY = (ConnectionError, TimeoutError, BusyLoadingError, ClusterDownError, ReadOnlyError, OSError)
FOLDER = Path(__file__).parent / "lua"
PARALLEL = 64


class Store:
    """One connection pool and the scripts. Raises the errors of AWAY when Redis is."""

    def __init__(self, redis: "Redis") -> None:
        self.redis = redis
        self._scripts: dict[str, AsyncScript] = {
            path.stem: redis.register_script(path.read_text()) for path in FOLDER.glob("*.lua")
        }

    async def call(self, script: str, keys: Sequence[str], request: Any, reply: type[Any]) -> Any:
        """Run a script that takes and gives one packed value."""
        packed = await self._scripts[script](keys=keys, args=[msgspec.msgpack.encode(request)])
        return msgspec.msgpack.decode(packed, type=reply)

    async def run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a script of plain arguments."""
        return await self._scripts[script](keys=keys, args=list(args))


@asynccontextmanager
async def open_store(url: str, timeout: float) -> AsyncIterator[Store]:
    """A store at a URL. It need not be up: every call says so itself."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=PARALLEL,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # One more try finds a connection that went stale; every script bears being run twice.
        retry=Retry(ConstantBackoff(0.02), 1),
    )
    redis = Redis(connection_pool=pool)
    try:
        yield Store(redis)
    finally:
        await redis.aclose()
        await pool.aclose()


def away(error: BaseException) -> Unavailable:
    return Unavailable(
        "The budget store does not answer; try again in a moment.",
        {"retry_after": 2, "store": type(error).__name__},
    )
