"""Send an answer on: events as they come, our own pings into silence, one clean end.

Nothing is sent before the first content, or `ping_after`; from then on a silent provider makes
us send `ping` events (comments do not count for clients). A stream that breaks ends with an
`error` event, never as if it were complete.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from libs.common.errors import MuxError, PiiBlocked, Unavailable, UpstreamFailed
from services.gateway.answers import keep
from services.gateway.booking import cause_of, finish
from services.gateway.call import Call, Reply
from services.gateway.door import Door
from services.gateway.errors import Headers
from services.gateway.exchange import tell_exchange
from services.gateway.http import SECURITY_HEADERS, SSE, ClientGone, Send
from services.gateway.kit import Kit
from services.gateway.output import Passage
from services.gateway.stream import PING, Meter
from services.gateway.upstream import CallFailed

# How exactly a silence is timed, in seconds: a timer set anew for every piece costs half as much
# as all that we do with the piece (measured).
GRAIN = 1.0
# A loop may call at a time this much too early.
TICK = 0.01
# How long a client that reads nothing may keep the head and the last words waiting.
LAST_WORDS = 5.0
CUT = "the provider's stream ended before the answer was complete; send the request again"


class EventStream:
    """The client's side of one stream: its head, events, pings and end."""

    def __init__(self, send: Send, door: Door, every: float, headers: Callable[[], Headers]):
        self._send, self._door, self._every, self._headers = send, door, every, headers
        self._lock = asyncio.Lock()
        self._pinging: asyncio.Task[None] | None = None
        self._last = time.monotonic()
        self.boundary = True
        self.started = False
        self.over = False
        self.writing = False

    def arm(self, after: float) -> None:
        """Start pinging when nothing was sent for `after` seconds."""
        self._pinging = asyncio.create_task(self._ping(after), name="ping")

    async def start(self, status: int, headers: Headers) -> None:
        if not self.started:
            self.started = True
            pairs = [SSE, *headers, *SECURITY_HEADERS, (b"x-accel-buffering", b"no")]
            await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, data: bytes) -> None:
        """Bytes of the canonical stream, cut anywhere."""
        out = self._door.feed(data)
        if not out:
            return
        self.writing = True
        if self._lock.locked():
            async with self._lock:
                pass
        self._last = time.monotonic()
        self.boundary = out.endswith(b"\n\n") or out.endswith(b"\r\n\r\n")
        await self._send({"type": "http.response.body", "body": out, "more_body": True})
        self.writing = False

    async def fail(self, error: MuxError, request_id: str) -> None:
        """One error event, on a line of its own; none after the end of a whole answer. Raises
        ClientGone where nobody reads it."""
        if self.over:
            return
        self.over = True
        event = self._door.error_event(error, request_id)
        await _soon(self._raw(event if self.boundary else b"\n\n" + event))

    async def end(self) -> None:
        """Raises ClientGone where nobody reads it."""
        self.disarm()
        body = self._door.close()
        await _soon(self._send({"type": "http.response.body", "body": body}))

    def disarm(self) -> None:
        if self._pinging:
            self._pinging.cancel()

    async def _ping(self, after: float) -> None:
        wait = after
        while True:
            await asyncio.sleep(wait)
            silent = time.monotonic() - self._last
            wait = self._every - silent if self.started else 0.0
            if wait > 0 or not self.boundary:
                wait = max(wait, 1.0)
                continue
            await self.start(200, self._headers())
            await self._raw(self._door.ping(PING))
            wait = self._every

    async def _raw(self, data: bytes) -> None:
        async with self._lock:
            self._last = time.monotonic()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})


async def relay(
    kit: Kit, call: Call, reply: Reply, out: EventStream, head: Callable[[], Headers]
) -> None:
    """Send the held and the coming events to their end; book the attempt, whatever happens."""
    timeouts, clock = kit.settings.gateway.timeouts, asyncio.get_running_loop().time
    end = clock() + timeouts.total - (time.monotonic() - call.timings.started)
    kept: list[bytes] = []
    broken = ""
    try:
        await _soon(out.start(reply.status, head()))
        await _pump(kit, call, reply, out, kept, (timeouts.idle, end))
        broken = _broken(reply.attempt.meter)
        if broken == "cut":
            await out.fail(UpstreamFailed(CUT), call.id)
        out.over = True
    except TimeoutError:
        if out.writing:
            broken = "client_gone"
            raise ClientGone from None
        broken = "timeout" if clock() >= end - TICK else "idle"
        words = f"the provider was silent for {timeouts.idle:g} s"
        if broken == "timeout":
            words = f"the answer took longer than {timeouts.total:g} s"
        await out.fail(UpstreamFailed(words, {"type": "timeout_error", "status": 504}), call.id)
    except CallFailed as lost:
        broken = "cut"
        await out.fail(UpstreamFailed(f"{CUT} ({lost.detail})"), call.id)
    except (PiiBlocked, Unavailable, UpstreamFailed) as refusal:
        broken = refusal.code
        await out.fail(refusal, call.id)
    except BaseException as error:
        broken = "paused" if call.stopped else cause_of(error)
        raise
    finally:
        finish(kit, call, reply, broken=broken)
        whole = b"" if broken else b"".join(kept)
        keep(kit, call, reply, whole)
        tell_exchange(kit, call, whole)


async def _pump(
    kit: Kit,
    call: Call,
    reply: Reply,
    out: EventStream,
    kept: list[bytes],
    bounds: tuple[float, float],
) -> None:
    """All events to the client. `bounds`: the longest silence, and when the total time ends."""
    assert reply.rest
    passage = Passage(kit, call)
    idle, end = bounds
    grain = min(GRAIN, idle / 10)
    # The loop's own clock: where a machine sleeps, others may stand still meanwhile.
    clock = asyncio.get_running_loop().time
    renewed = clock()
    async with asyncio.timeout_at(min(renewed + idle + grain, end)) as limit:
        await out.write(await passage.feed(reply.held))
        if call.kept:
            kept.append(reply.held)
        async for piece in reply.rest:
            now = clock()
            if now - renewed >= grain:
                limit.reschedule(min(now + idle + grain, end))
                renewed = now
            if call.kept:
                kept.append(piece)
            await out.write(await passage.feed(piece))
        await out.write(await passage.close())


async def _soon(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(LAST_WORDS):
            await sending
    except TimeoutError:
        raise ClientGone from None


def _broken(meter: Meter) -> str:
    """What was wrong with a stream that came to its end by itself."""
    if meter.ended:
        return ""
    return "upstream_error" if meter.error is not None else "cut"
