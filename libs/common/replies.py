"""Replies to requests, by number: one subscription and a future each.

nats-py's own `request` makes an id from the system's entropy and a task with a timer for every
call; this costs a third of it (measured), which counts with four requests per answer.
"""

import asyncio
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

NO_RESPONDERS = "503"
STATUS = "Status"


class Replies:
    """Asks on one connection. Subscribes at the first request."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._numbers = count(1)
        self._prefix = ""
        self._opening = asyncio.Lock()

    async def request(
        self, subject: str, data: bytes, timeout: float, headers: dict[str, str] | None = None
    ) -> Msg:
        """Raises NatsTimeout, NoRespondersError, and what publishing raises."""
        if not self._prefix:
            await self._open()
        inbox = f"{self._prefix}{next(self._numbers)}"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[inbox] = future
        timer = loop.call_later(timeout, _expire, future)
        try:
            await self._client.publish(subject, data, reply=inbox, headers=headers)
            reply = await future
        finally:
            timer.cancel()
            self._waiting.pop(inbox, None)
        if reply.headers and reply.headers.get(STATUS) == NO_RESPONDERS:
            raise NoRespondersError
        return reply

    async def _open(self) -> None:
        async with self._opening:
            if not self._prefix:
                prefix = f"{self._client.new_inbox()}."
                await self._client.subscribe(f"{prefix}*", cb=self._arrive)
                self._prefix = prefix

    async def _arrive(self, message: Msg) -> None:
        future = self._waiting.get(message.subject)
        if future is not None and not future.done():
            future.set_result(message)


def _expire(future: "asyncio.Future[Msg]") -> None:
    if not future.done():
        future.set_exception(NatsTimeout())
