"""Typed request-reply and events over NATS: ask, serve, tell, listen.

One asyncio task per message, because a nats-py callback is awaited before the next message of
its subscription is read. Errors travel in the headers of the NATS micro protocol, their data
as the JSON body. What must not be lost goes through `journal.py`, not through here.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from libs.common import trace
from libs.common.contracts.base import MAX_PAYLOAD, Event, Operation
from libs.common.errors import BY_CODE, MuxError, Unavailable
from libs.common.replies import Replies
from libs.common.settings.bus import BusSettings

log = logging.getLogger(__name__)
Q = TypeVar("Q")
R = TypeVar("R")
CODE, DETAIL = "Nats-Service-Error-Code", "Nats-Service-Error"

# What nats-py raises when the server, the connection or the peer is gone.
LOST = (NatsError, OSError, TimeoutError)
# A long answer is waited for while its service takes messages: how often that is asked, and how
# long it may take to say so.
BEAT, PULSE = 1.0, 3.0
AWAY = "the message bus (NATS) is away; try again in a moment"


class Hooks(list[Callable[[], None]]):
    """What is called when the connection is there again."""

    async def call(self) -> None:
        for hook in self:
            hook()


class Bus:
    """One connection of one service. `client` is for `journal.py` and `buckets.py` only."""

    def __init__(
        self, client: Client, name: str, in_flight: int = 256, rejoined: "Hooks | None" = None
    ) -> None:
        self.client = client
        self._rejoined = Hooks() if rejoined is None else rejoined
        self.name = name
        self.replies = Replies(client)
        self.tracer = trace.Tracer(name)
        self._gate = asyncio.Semaphore(in_flight)
        self._limit = in_flight
        self._waiting = 0
        self._lost = False  # whether the server was away when it was to be left
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Subscription] = []
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}

    @classmethod
    async def connect(cls, settings: BusSettings, name: str, in_flight: int = 256) -> "Bus":
        """Connect and stay connected: a lost server is tried again for ever.

        Raises Unavailable if no server answers within `connect_timeout` seconds.
        """
        rejoined = Hooks()
        options = settings.options(name, _note) | {"reconnected_cb": rejoined.call}
        try:
            client = await _ended(_join(name, options), settings.connect_timeout)
        except LOST as error:
            raise Unavailable(f"no nats-server at {settings.url} ({_words(error)})") from error
        return cls(client, name, in_flight, rejoined)

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    @property
    def in_hand(self) -> int:
        """Messages being worked on, and those that wait for their turn."""
        pending = sum(each.pending_msgs for each in self._subscriptions)
        return len(self._tasks) + self._waiting + pending

    def on_rejoin(self, hook: Callable[[], None]) -> None:
        """Have it called whenever a lost connection is there again. What was asked of the
        server on the old one is forgotten there."""
        self._rejoined.append(hook)

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    async def ask(self, operation: Operation[Q, R], request: Q, timeout: float = 2.0) -> R:
        """Ask one service and wait. Raises the MuxError the peer raised, or Unavailable."""
        data = msgspec.json.encode(request)
        if len(data) > MAX_PAYLOAD:
            raise MuxError(
                f"{len(data)} bytes for the {_service(operation.subject)} service do "
                f"not fit one message; the limit is {MAX_PAYLOAD}"
            )
        if not self.client.is_connected:
            raise Unavailable(AWAY)
        try:
            reply = await self.replies.request(operation.subject, data, timeout, trace.headers())
        except LOST as error:
            raise _unanswered(operation.subject, timeout, error) from error
        if reply.headers and CODE in reply.headers:
            raise _error(reply)
        return self._decoder(operation).decode(reply.data)  # type: ignore[no-any-return]

    async def ask_long(self, operation: Operation[Q, R], request: Q, timeout: float) -> R:
        """As `ask`, for an answer that may take long: when nobody gives a sign of life meanwhile,
        it is given up within a few seconds. Any replica of the service may give it."""
        asked = asyncio.ensure_future(self.ask(operation, request, timeout))
        try:
            while not (await asyncio.wait({asked}, timeout=BEAT))[0]:
                try:
                    await self._pulse(operation.subject)
                except Unavailable:
                    if not asked.done():
                        raise
            return asked.result()
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def _pulse(self, subject: str) -> None:
        """Whoever serves a subject refuses an empty request at once, which is answer enough."""
        if not self.client.is_connected:
            raise Unavailable(AWAY)
        try:
            await self.replies.request(subject, b"", PULSE)
        except LOST as error:
            raise _unanswered(subject, PULSE, error) from error

    async def serve(
        self, operation: Operation[Q, R], handler: Callable[[Q], Awaitable[R]], group: str = ""
    ) -> None:
        """Answer an operation; the replicas of one service share the work. A `group` of "*"
        makes every replica answer (the first reply wins)."""
        decoder = msgspec.json.Decoder(operation.request)

        async def answer(msg: Msg) -> None:
            with self.tracer.continued(msg.headers, operation.subject):
                data, headers = await _answer(operation.subject, handler, decoder, msg.data)
            if msg.reply:
                await self._reply(msg.reply, data, headers)

        await self._subscribe(operation.subject, answer, "" if group == "*" else group or self.name)

    async def tell(self, event: Event[Q], body: Q) -> None:
        """Say it to whoever listens now. Raises nothing: nobody may depend on it."""
        try:
            await self.client.publish(event.subject, msgspec.json.encode(body))
        except LOST as error:
            log.warning("%s was not told: %s", event.subject, _words(error))

    async def listen(
        self, event: Event[Q], handler: Callable[[Q], Awaitable[None]], group: str = ""
    ) -> None:
        """Hear an event: every listener, or one of a `group`."""
        decoder = msgspec.json.Decoder(event.body)

        async def take(msg: Msg) -> None:
            for line in msg.data.split(b"\n"):
                try:
                    await handler(decoder.decode(line))
                except (MuxError, msgspec.MsgspecError) as error:
                    log.warning("%s was not taken: %s", event.subject, error)

        await self._subscribe(event.subject, take, group)

    async def stop_serving(self) -> None:
        """Take no more messages and finish those in hand; the connection stays open."""
        leaving, self._subscriptions = self._subscriptions, []
        ended = await asyncio.gather(
            *(each.drain() for each in leaving),  # type: ignore[no-untyped-call]
            return_exceptions=True,
        )
        if lost := [error for error in ended if error is not None]:
            self._lost = True
            log.warning("the message bus was away while draining: %r", lost[0])
        while self._tasks or self._waiting:
            await asyncio.wait(self._tasks) if self._tasks else await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Finish what is in hand, then disconnect. The other order loses every reply."""
        await self.stop_serving()
        if not self._lost:
            with contextlib.suppress(*LOST):
                await asyncio.wait_for(self.client.drain(), 5)
        # uvloop's, for what was said while the server was away and can no longer be written.
        with contextlib.suppress(RuntimeError):
            await self.client.close()

    def _decoder(self, operation: Operation[Q, R]) -> msgspec.json.Decoder[Any]:
        decoder = self._decoders.get(operation.subject)
        if decoder is None:
            decoder = self._decoders[operation.subject] = msgspec.json.Decoder(operation.reply)
        return decoder

    async def _reply(self, subject: str, data: bytes, headers: dict[str, str] | None) -> None:
        try:
            await self.client.publish(subject, data, headers=headers)
        except LOST as error:
            log.warning("a reply was lost: %s", _words(error))

    async def _subscribe(
        self, subject: str, work: Callable[[Msg], Awaitable[None]], group: str
    ) -> None:
        async def on_message(msg: Msg) -> None:
            self._waiting += 1
            await self._gate.acquire()
            self._waiting -= 1
            task = asyncio.ensure_future(work(msg))
            self._tasks.add(task)
            task.add_done_callback(self._done)

        self._subscriptions.append(await self.client.subscribe(subject, queue=group, cb=on_message))
        # The server must know of it before anyone is told we are ready. nats-py writes a ping
        # past what is still pending, so only the answer to a second one proves that.
        await self.client.flush()
        await self.client.flush()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._gate.release()
        if not task.cancelled() and (error := task.exception()):
            log.error("a message handler failed", exc_info=error)


async def _join(name: str, options: dict[str, Any]) -> Client:
    """nats-py takes a server that hangs up within the handshake for a connection: try again."""
    while True:
        client = Client()
        try:
            await client.connect(name=name, **options)
        finally:
            if not client.is_connected:
                await client.close()
        if client.is_connected:
            return client
        await asyncio.sleep(options["reconnect_time_wait"])


async def _ended(work: Coroutine[Any, Any, R], seconds: float) -> R:
    """As `asyncio.wait_for`, but sure to end: that of Python 3.11, which nats-py uses within, may
    swallow a cancellation, and nats-py then tries for ever. So it is cancelled more than once."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        for _ in range(10):
            if task.done():
                break
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
    if task.done() and not task.cancelled():
        return task.result()
    raise TimeoutError


async def _answer(
    subject: str, handler: Callable[[Any], Awaitable[Any]], decoder: Any, data: bytes
) -> tuple[bytes, dict[str, str] | None]:
    try:
        return msgspec.json.encode(await handler(decoder.decode(data))), None
    except MuxError as error:
        return _encoded(error)
    except msgspec.MsgspecError as error:
        log.debug("%s: %s", subject, error)
        return _encoded(MuxError(f"the {_service(subject)} service does not read this: {error}"))
    except Exception:
        # Every asker gets an answer, whatever broke.
        log.exception("%s failed", subject)
        return _encoded(MuxError(f"the {_service(subject)} service failed; its log says why"))


def _encoded(error: MuxError) -> tuple[bytes, dict[str, str]]:
    body = {"detail": error.detail, "data": error.data}
    return msgspec.json.encode(body), {CODE: error.code, DETAIL: "error"}


def _error(reply: Msg) -> MuxError:
    kind = BY_CODE.get((reply.headers or {}).get(CODE, ""), MuxError)
    body = msgspec.json.decode(reply.data) if reply.data else {}
    return kind(body.get("detail", ""), body.get("data"))


def _unanswered(subject: str, timeout: float, error: BaseException) -> Unavailable:
    """Who did not answer, in words for the caller; the log has what the bus said."""
    log.debug("%s: %s", subject, _words(error))
    if isinstance(error, NoRespondersError):
        why = "is not running"
    elif isinstance(error, TimeoutError):
        why = f"did not answer within {timeout:g} s"
    else:
        return Unavailable(AWAY)
    return Unavailable(f"the {_service(subject)} service {why}; try again in a moment")


def _service(subject: str) -> str:
    return subject.partition(".")[0]


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _note(error: Exception) -> None:
    log.info("nats: %s", _words(error))
