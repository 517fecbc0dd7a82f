"""Events that must not be lost: JetStream streams, and durable consumers of them.

Delivery is at least once, so whoever consumes must be idempotent by the event's id.
Publishing is `outbox.py`; this is the reading side and the streams themselves.
"""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import EVENTS_STREAM, STATE_STREAM, STATE_SUBJECTS, Event
from libs.common.contracts.exchange import EXCHANGED
from libs.common.contracts.routing import DECIDED, FEEDBACK
from libs.common.contracts.spending import ALERTED, AUDITED
from libs.common.contracts.usage import USED
from libs.common.errors import Unavailable
from libs.common.lines import Dead, read_lines
from libs.common.settings.journal import JournalSettings
from libs.common.telemetry import JOURNAL_DEAD

log = logging.getLogger(__name__)
JOURNALED: tuple[Event[Any], ...] = (USED, DECIDED, FEEDBACK, ALERTED, AUDITED, EXCHANGED)
DEAD_SUBJECT = "dead.v1"
PULL_SECONDS = 5.0
AWAY_SECONDS = 1.0


async def ensure_streams(bus: Bus, settings: JournalSettings) -> None:
    """Create the streams, or bring their settings up to date. Safe to repeat."""
    events = api.StreamConfig(
        name=EVENTS_STREAM,
        subjects=[event.subject for event in JOURNALED] + [f"{DEAD_SUBJECT}.>"],
        max_age=settings.days * 86400,
        max_bytes=settings.max_bytes,
        duplicate_window=settings.duplicate_window,
        num_replicas=settings.replicas,
        storage=api.StorageType.FILE,
    )
    state = api.StreamConfig(
        name=STATE_STREAM,
        subjects=[STATE_SUBJECTS],
        max_msgs_per_subject=1,
        num_replicas=settings.replicas,
        storage=api.StorageType.FILE,
    )
    js = bus.client.jetstream()
    for config in (events, state):
        try:
            await js.stream_info(str(config.name))
            await js.update_stream(config)
        except NotFoundError:
            with contextlib.suppress(APIError):  # another replica was faster
                await js.add_stream(config)


class Taken(NamedTuple):
    """A message, its events, and what of it goes to the dead letters once they are handled."""

    message: Msg
    bodies: list[Any]
    dead: list[Dead]


class Consumer:
    """One member of a durable, shared consumer: hands over batches, acknowledges after.

    `handle` gets the decoded bodies of at most `batch` messages (kinds mixed, in stream order) and
    must be idempotent. If it raises, the batch is tried again one by one; an event whose message
    has failed `max_deliver` times is copied to `dead.v1.<durable>` and dropped from the queue.
    Unavailable is no message's fault: the batch is kept in hand until the store is back, and
    the journal, not our memory, holds what comes meanwhile.
    """

    def __init__(
        self,
        bus: Bus,
        durable: str,
        events: Sequence[Event[Any]],
        handle: Callable[[list[Any]], Awaitable[None]],
        *,
        batch: int = 256,
        linger: float = 0.0,
        max_deliver: int = 5,
    ) -> None:
        self._bus, self._durable, self._handle = bus, durable, handle
        self._decoders = {e.subject: msgspec.json.Decoder(e.body) for e in events}
        self._dead = JOURNAL_DEAD.labels(durable)  # there from the start, so that it can rise
        self._batch, self._linger, self._max_deliver = batch, linger, max_deliver
        self._stopping, self._wake = asyncio.Event(), asyncio.Event()
        self._arrived: deque[Msg] = deque()
        self._task: asyncio.Task[None] | None = None
        self._in_hand: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._create()
        self._task = asyncio.create_task(self._run(), name=f"consume {self._durable}")

    async def stop(self) -> None:
        """Finish the batch in hand. What was pulled but not handled is given back."""
        self._stopping.set()
        self._wake.set()
        if self._task:
            await self._task

    async def _create(self) -> None:
        config = api.ConsumerConfig(
            durable_name=self._durable,
            filter_subjects=list(self._decoders),
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=30,
            max_ack_pending=20_000,
        )
        await self._bus.client.jetstream().add_consumer(EVENTS_STREAM, config)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._pull()
            except (*LOST, APIError) as error:
                log.warning("%s: the journal is away: %s", self._durable, error)
                await self._pause(0.5)

    async def _pull(self) -> None:
        """Pull until the connection breaks or the consumer is stopped."""
        inbox = self._bus.client.new_inbox()
        self._arrived.clear()

        async def arrive(message: Msg) -> None:
            self._arrived.append(message)
            self._wake.set()

        subscription = await self._bus.client.subscribe(inbox, cb=arrive)
        try:
            while not self._stopping.is_set():
                await self._request(inbox)
                await self._take_requested()
        finally:
            with contextlib.suppress(*LOST):
                await subscription.unsubscribe()
                await self._give_back([m for m in self._arrived if not _is_status(m)])
            await self._settled()

    async def _request(self, inbox: str) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.{self._durable}"
        ask = {"batch": self._batch, "expires": int(PULL_SECONDS * 1e9)}
        await self._bus.client.publish(subject, json.dumps(ask).encode(), inbox)

    async def _take_requested(self) -> None:
        """Handle what one pull request brings, in pieces as they arrive: the next is gathered
        while one is in hand, so that reading and writing overlap. Never more than two."""
        left = self._batch
        while left > 0 and not self._stopping.is_set():
            if not await self._something(PULL_SECONDS + 1):
                return
            await self._more(left)
            messages, ended = self._taken(left)
            if messages:
                await self._settled()
                self._in_hand = asyncio.create_task(self._deliver(messages))
                self._in_hand.add_done_callback(lambda _: self._wake.set())
            if ended:
                return
            left -= len(messages)

    async def _settled(self) -> None:
        """Wait for the piece in hand."""
        if self._in_hand:
            await self._in_hand

    async def _something(self, seconds: float) -> bool:
        """Whether anything arrives within so many seconds, and before a stop."""
        deadline = self._clock() + seconds
        while not self._arrived and not self._stopping.is_set() and self._clock() < deadline:
            await self._woken(deadline - self._clock())
        return bool(self._arrived) and not self._stopping.is_set()

    async def _more(self, wanted: int) -> None:
        """Wait for a fuller batch: up to `linger` seconds and as long as a piece is in hand, or
        until the pull ends."""
        deadline = self._clock() + self._linger
        while len(self._arrived) < wanted and not _is_status(self._arrived[-1]):
            wait = deadline - self._clock()
            busy = self._in_hand is not None and not self._in_hand.done()
            if self._stopping.is_set() or (wait <= 0 and not busy):
                return
            await self._woken(PULL_SECONDS if busy else wait)

    async def _woken(self, seconds: float) -> None:
        """Wait until something arrives or is done, or a stop, at most so long."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    def _taken(self, wanted: int) -> tuple[list[Msg], bool]:
        """What has arrived, and whether the pull ended with it."""
        messages: list[Msg] = []
        while self._arrived and len(messages) < wanted:
            message = self._arrived.popleft()
            if _is_status(message):
                return messages, True
            messages.append(message)
        return messages, False

    async def _deliver(self, messages: list[Msg]) -> None:
        # What cannot be acknowledged because the connection is gone is delivered again.
        with contextlib.suppress(*LOST):
            taken = [self._read(message) for message in messages]
            bodies = [body for each in taken for body in each.bodies]
            try:
                handled = not bodies or await self._handled(bodies)
            except Exception:
                # The journal keeps what could not be handled.
                log.exception("%s: a batch of %d failed", self._durable, len(bodies))
                for each in taken:
                    await self._one_by_one(each)
            else:
                await self._answer(taken, handled)

    async def _handled(self, bodies: list[Any]) -> bool:
        """Whether they were handled; False at a stop while the store behind is away."""
        while True:
            try:
                await self._handle(bodies)
                return True
            except Unavailable as error:
                log.warning("%s: %s; %d events wait", self._durable, error, len(bodies))
                if self._stopping.is_set():
                    return False
            await self._pause(AWAY_SECONDS)

    async def _one_by_one(self, taken: Taken) -> None:
        failed: list[Dead] = []
        for body in taken.bodies:
            try:
                if not await self._handled([body]):
                    return await self._give_back([taken.message])
            except Exception as error:  # noqa: BLE001  see above
                failed.append((msgspec.json.encode(body), f"{type(error).__name__}: {error}"))
        delivered = taken.message.metadata.num_delivered
        if failed and delivered < self._max_deliver:
            return await taken.message.nak(delay=min(30, 2**delivered))
        await self._answer([taken._replace(dead=[*taken.dead, *failed])], True)

    async def _answer(self, taken: Sequence[Taken], handled: bool) -> None:
        messages = [each.message for each in taken]
        if not handled:
            return await self._give_back(messages)
        for each in taken:
            for data, why in each.dead:
                await self._bury(each.message.subject, data, why)
        await self._acknowledge(messages)

    async def _acknowledge(self, messages: Sequence[Msg]) -> None:
        """All in one write: one publish each would cost more than decoding the events."""
        acks = "".join(f"PUB {message.reply} 0\r\n\r\n" for message in messages)
        client = self._bus.client
        await client._send_command(acks.encode())
        await client._flush_pending()

    async def _give_back(self, messages: Sequence[Msg]) -> None:
        """A little later: at once, they would come to the pull that is being closed."""
        for message in messages:
            await message.nak(delay=AWAY_SECONDS)

    def _read(self, message: Msg) -> Taken:
        """The events of a message, and apart what of it is not understood."""
        decoder = self._decoders.get(message.subject)
        if decoder is None:
            return Taken(message, [], [(message.data, repr(message.subject))])
        return Taken(message, *read_lines(decoder, message.data))

    async def _bury(self, subject: str, data: bytes, why: str) -> None:
        headers = {"subject": subject, "why": why[:500].replace("\n", " ")}
        await self._bus.client.publish(f"{DEAD_SUBJECT}.{self._durable}", data, headers=headers)
        self._dead.inc()
        log.error("%s: an event went to %s: %s", self._durable, DEAD_SUBJECT, why)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _is_status(message: Msg) -> bool:
    return not message.data and bool(message.headers) and "Status" in (message.headers or {})
