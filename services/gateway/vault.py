"""What the gateways remember together: who owns a batch or a file, how to restore a batch's
results, and cached answers. Redis, under a prefix of its own; values are sealed where they
hold what was masked.

Everything has a time to live. A store that is away is Unavailable, never a wrong answer.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.errors import Unavailable

T = TypeVar("T")
PREFIX = "gateway:"
NONCE = 12
SECONDS = 2.0


class Vault:
    """Sealed values by name. The key is derived from the deployment's secret."""

    def __init__(self, redis: "Redis | None", secret: bytes) -> None:
        self._redis = redis
        self._sealer = AESGCM(hashlib.sha256(b"modelmuxer vault\0" + secret).digest())

    async def put(self, name: str, value: Any, seconds: float) -> None:
        """Keep a value of plain data or a Struct, sealed to its name."""
        sealed = self._sealed(name, value)
        await self._ask(self._store.set(PREFIX + name, sealed, px=int(seconds * 1000)))

    async def get(self, name: str, kind: type[T]) -> T | None:
        """The value, or None if there is none (or it was sealed with another secret)."""
        sealed = await self._ask(self._store.get(PREFIX + name))
        return self._opened(name, sealed, kind) if isinstance(sealed, bytes) else None

    async def push(self, name: str, value: Any, limit: int, seconds: float) -> None:
        """Put a value before the others of that name, of which at most `limit` stay."""
        pipe = self._store.pipeline()
        pipe.lpush(PREFIX + name, self._sealed(name, value))
        pipe.ltrim(PREFIX + name, 0, limit - 1)
        pipe.pexpire(PREFIX + name, int(seconds * 1000))
        await self._ask(pipe.execute())

    async def listed(self, name: str, kind: type[T]) -> list[T]:
        """What was pushed, the newest first."""
        sealed = await self._ask(self._store.lrange(PREFIX + name, 0, -1))
        opened = (self._opened(name, each, kind) for each in sealed)
        return [each for each in opened if each is not None]

    async def drop(self, name: str) -> None:
        await self._ask(self._store.delete(PREFIX + name))

    async def claim(self, name: str, seconds: float) -> bool:
        """Whether this caller is the first to take the name."""
        store = self._store.set(f"{PREFIX}claim:{name}", b"1", nx=True, px=int(seconds * 1000))
        return bool(await self._ask(store))

    async def unclaim(self, name: str) -> None:
        await self._ask(self._store.delete(f"{PREFIX}claim:{name}"))

    def _sealed(self, name: str, value: Any) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._sealer.encrypt(nonce, msgspec.msgpack.encode(value), name.encode())

    def _opened(self, name: str, sealed: bytes, kind: type[T]) -> T | None:
        try:
            plain = self._sealer.decrypt(sealed[:NONCE], sealed[NONCE:], name.encode())
            return msgspec.msgpack.decode(plain, type=kind)
        except (InvalidTag, msgspec.MsgspecError):
            return None

    @property
    def _store(self) -> "Redis":
        if self._redis is None:
            raise Unavailable("no Redis is configured (redis_url), which this needs")
        return self._redis

    async def _ask(self, command: Any) -> Any:
        try:
            return await cast(Awaitable[Any], command)
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Redis does not answer: {type(error).__name__}") from error


@asynccontextmanager
async def open_vault(url: str, secret: bytes) -> AsyncIterator[Vault]:
    redis = (
        Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) if url else None
    )
    try:
        yield Vault(redis, secret)
    finally:
        if redis is not None:
            await redis.aclose()
