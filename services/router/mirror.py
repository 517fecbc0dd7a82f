"""A small shared table: every replica holds all of it, a JetStream bucket keeps it.

What one replica puts, all hear at once and the bucket keeps for its time to live, so that a
replica that starts later knows it too. With the bucket away the table still works between the
living; with the bus away each replica is on its own. The newest value wins.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import APIError, Error, NotFoundError
from nats.js.kv import KeyValue

from libs.common.bus import LOST, Bus

log = logging.getLogger(__name__)
T = TypeVar("T")
RETRY_SECONDS, READ_TIMEOUT = 2.0, 2.0
AWAY = (*LOST, APIError, Error)


class Mirror(Generic[T]):
    """Open it with `async with`. `age` orders two values of one key; `most` bounds memory."""

    def __init__(
        self, bus: Bus, bucket: str, kind: type[T], ttl: float, age: Callable[[T], float], most: int
    ) -> None:
        self._bus, self._bucket, self._ttl, self._age, self._most = bus, bucket, ttl, age, most
        self._decoder = msgspec.json.Decoder(kind)
        self._held: OrderedDict[str, T] = OrderedDict()
        self._subscription: Subscription | None = None
        self._loading: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> T | None:
        return self._held.get(key)

    async def put(self, key: str, value: T) -> None:
        """Take it in and tell the others. Waits for nobody and never fails."""
        self._take(key, value)
        with contextlib.suppress(*LOST):
            await self._bus.client.publish(self._subject(key), msgspec.json.encode(value))

    async def __aenter__(self) -> "Mirror[T]":
        self._subscription = await self._bus.client.subscribe(self._subject(">"), cb=self._hear)
        self._loading = asyncio.create_task(self._load(), name=f"load {self._bucket}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loading:
            self._loading.cancel()
        if self._subscription:
            with contextlib.suppress(*LOST):
                await self._subscription.unsubscribe()

    def _subject(self, key: str) -> str:
        return f"$KV.{self._bucket}.{key}"

    async def _hear(self, message: Msg) -> None:
        if message.data:
            self._decode(message.subject.rpartition(".")[2], message.data)

    def _decode(self, key: str, data: bytes) -> None:
        try:
            self._take(key, self._decoder.decode(data))
        except msgspec.MsgspecError as error:
            log.warning("%s: a value was not taken: %s", self._bucket, error)

    def _take(self, key: str, value: T) -> None:
        old = self._held.get(key)
        if old is not None and self._age(old) > self._age(value):
            return
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > self._most:
            self._held.popitem(last=False)

    async def _load(self) -> None:
        """Create the bucket and read what it holds; try again until it is there."""
        while True:
            try:
                await self._read(await self._open())
                return
            except AWAY as error:
                log.info("bucket %s is away: %s", self._bucket, error or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _open(self) -> KeyValue:
        js = self._bus.client.jetstream()
        try:
            return await js.key_value(self._bucket)
        except NotFoundError:
            config = api.KeyValueConfig(bucket=self._bucket, ttl=self._ttl, history=1)
            return await js.create_key_value(config)

    async def _read(self, bucket: KeyValue) -> None:
        watcher = await bucket.watchall()
        try:
            while (entry := await _next(watcher)) is not None:
                if entry.value:
                    self._decode(entry.key, entry.value)
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]


async def _next(watcher: KeyValue.KeyWatcher) -> KeyValue.Entry | None:
    """The next value, or None after the last one the bucket held."""
    entry: KeyValue.Entry | None = await watcher.updates(  # type: ignore[no-untyped-call]
        timeout=READ_TIMEOUT
    )
    return entry
