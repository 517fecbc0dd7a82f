"""The last word on each piece of state: write it durably, follow what others write.

Each piece has a subject of its own in the state stream, which keeps the last message of every
subject. A follower reads all of it from the start and then stays at its end, so every replica
ends with the same state, in the same order.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import APIError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import STATE_STREAM, STATE_SUBJECTS
from libs.common.errors import Unavailable
from libs.common.tasks import end

log = logging.getLogger(__name__)
T = TypeVar("T")
WAIT = 5.0
PAUSE = 0.2
BATCH = 256
# The server forgets a reader that has gone after so many seconds.
FORGET = 60.0


async def write_state(bus: Bus, name: str, body: Any) -> int:
    """Make it the last word under that name; returns its place in the stream.

    The name must be made of letters, digits, `_`, `-` and dots. Raises Unavailable unless it
    is safely written.
    """
    subject = STATE_SUBJECTS.replace(">", name)
    if not bus.connected:
        raise Unavailable("the message bus is away; nothing was changed", {"retry_after": 2})
    try:
        ack = await bus.client.jetstream().publish(subject, msgspec.json.encode(body), timeout=WAIT)
    except (*LOST, APIError) as error:
        raise Unavailable("the journal is away; try again", {"retry_after": 2}) from error
    return ack.seq


class StateReader(Generic[T]):
    """Hands over each entry with its place in the stream, in order, for ever."""

    def __init__(
        self, bus: Bus, kind: type[T] | Any, take: Callable[[T, int], Awaitable[None]]
    ) -> None:
        self._bus, self._take = bus, take
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._last, self._stopped = 0, False
        self._current = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def current(self) -> bool:
        """Everything that was written when the connection was made has been read."""
        return self._current.is_set() and self._bus.connected

    async def start(self, timeout: float = WAIT) -> None:
        """Read what there is. Raises Unavailable if that takes longer than `timeout`."""
        self._restart()
        self._bus.on_rejoin(self._restart)
        try:
            await asyncio.wait_for(self._current.wait(), timeout)
        except TimeoutError:
            raise Unavailable("the state could not be read from the journal") from None

    async def stop(self) -> None:
        self._stopped = True
        if self._task:
            await end(self._task)

    def _restart(self) -> None:
        """Follow anew: a server that was away knows nothing of the pull that waits there."""
        self._current.clear()
        if not self._stopped:
            self._task = asyncio.create_task(self._run(self._task), name="follow state")

    async def _run(self, before: "asyncio.Task[None] | None") -> None:
        if before:
            await end(before)
        while True:
            try:
                await self._follow()
            except (*LOST, APIError) as error:
                log.warning("the state is not followed: %s", error or type(error).__name__)
                await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        """Read from behind the last entry taken until the connection breaks."""
        config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._last + 1,
            inactive_threshold=FORGET,
        )
        js = self._bus.client.jetstream()
        reader = await js.pull_subscribe(STATE_SUBJECTS, stream=STATE_STREAM, config=config)
        try:
            left = (await reader.consumer_info()).num_pending or 0
            while True:
                if not left:
                    self._current.set()
                # A fetch of several lingers for the rest: at the end of the stream, one at a time.
                for message in await _next(reader, min(left, BATCH) or 1):
                    left = await self._taken(message)
        finally:
            with contextlib.suppress(*LOST, APIError):
                await reader.unsubscribe()

    async def _taken(self, message: Msg) -> int:
        """Hand it over; returns how many follow."""
        place = message.metadata.sequence.stream
        try:
            await self._take(self._decoder.decode(message.data), place)
        except msgspec.MsgspecError as error:
            log.error("%s is not understood and was skipped: %s", message.subject, error)
        self._last = place
        return int(message.metadata.num_pending)


async def _next(reader: JetStreamContext.PullSubscription, wanted: int) -> list[Msg]:
    try:
        return await reader.fetch(wanted, timeout=WAIT)
    except TimeoutError:
        return []
