"""W3C trace context (w3.org/TR/trace-context) through HTTP and NATS, spans over OTLP/HTTP.

With a collector (`telemetry.otlp_url`) every part adds its spans. Without one a client's
`traceparent` goes on as it came, and without either nothing is done at all. Spans hold names,
durations and codes, never content.
"""

import asyncio
import contextlib
import logging
import random
import re
import time
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from http.client import HTTPException
from typing import Any

import msgspec

from libs.common.settings.telemetry import TelemetrySettings
from libs.common.tasks import end

log = logging.getLogger(__name__)
PARENT, STATE = "traceparent", "tracestate"
FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-|$)"
)
LONGEST_STATE = 512
SERVER, CLIENT = 2, 3  # SpanKind of OTLP
FAULT = 2  # StatusCode of OTLP
HELD, SENT_AT_ONCE = 8192, 512
NOTHING = contextlib.nullcontext()
FLUSH_SECONDS, SEND_SECONDS = 2.0, 5.0
Value = str | int | float


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where in which trace we are; `state` is the vendors' own header, passed on."""

    id: str
    span: str
    sampled: bool = True
    state: str = ""

    def headers(self) -> dict[str, str]:
        told = {PARENT: f"00-{self.id}-{self.span}-{int(self.sampled):02x}"}
        return told | ({STATE: self.state} if self.state else {})


class Span(msgspec.Struct, kw_only=True):
    """`began` and `ended` in nanoseconds since 1970."""

    name: str
    kind: int
    trace: Trace
    parent: str
    began: int
    ended: int = 0
    attributes: dict[str, Value] = {}
    error: str = ""


# Of each task, as its context is: what it asks and sends belongs to this trace.
_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def parsed(parent: str, state: str = "") -> Trace | None:
    """A client's trace; None for none, or for a header that the standard says to ignore."""
    found = FORM.match(parent.strip())
    if not found:
        return None
    kept = state if len(state) <= LONGEST_STATE and state.isprintable() else ""
    return Trace(id=found[1], span=found[2], sampled=int(found[3], 16) & 1 == 1, state=kept)


def headers() -> dict[str, str] | None:
    """What goes beside a message or a call, if a trace is on."""
    trace = _current.get()
    return trace.headers() if trace else None


class Tracer:
    """One per process; makes spans and sends them to the collector."""

    def __init__(self, service: str, settings: TelemetrySettings | None = None) -> None:
        self._service, self._settings = service, settings or TelemetrySettings()
        self._ended: deque[Span] = deque(maxlen=HELD)  # a collector that is away costs spans only

    @property
    def on(self) -> bool:
        return bool(self._settings.otlp_url)

    @contextlib.contextmanager
    def inside(self, parent: Trace | None, name: str, kind: int) -> Iterator[Span | None]:
        """The work of one request or message. Without a parent a trace begins here."""
        if not self.on:
            with _be(parent):
                yield None
            return
        sampled = random.random() < self._settings.sample
        parent = parent or Trace(id=_hex(16), span="", sampled=sampled)
        trace = msgspec.structs.replace(parent, span=_hex(8))
        span = Span(name=name, kind=kind, trace=trace, parent=parent.span, began=time.time_ns())
        try:
            with _be(trace):
                yield span
        except BaseException as error:
            span.error = span.error or type(error).__name__
            raise
        finally:
            span.ended = time.time_ns()
            if trace.sampled:
                self._ended.append(span)

    def continued(
        self, told: Mapping[str, str] | None, name: str
    ) -> contextlib.AbstractContextManager[object]:
        """The work of a message, if a trace came with it."""
        if not told or PARENT not in told:
            return NOTHING
        return self.inside(parsed(told[PARENT], told.get(STATE, "")), name, SERVER)

    @contextlib.contextmanager
    def calling(self, name: str, **attributes: Value) -> Iterator[None]:
        """A call to someone else, as a part of what is going on."""
        current = _current.get()
        if not self.on or current is None:
            yield
            return
        with self.inside(current, name, CLIENT) as span:
            if span:
                span.attributes = dict(attributes)
            yield

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send what has ended every few seconds, and the rest at the end."""
        if not self.on:
            yield
            return
        task = asyncio.create_task(self._keep_sending(), name="spans")
        try:
            yield
        finally:
            await end(task)
            await self._send()

    async def _keep_sending(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._send()

    async def _send(self) -> None:
        while self._ended:
            count = min(len(self._ended), SENT_AT_ONCE)
            spans = [self._ended.popleft() for _ in range(count)]
            try:
                await asyncio.to_thread(self._post, encoded(self._service, spans))
            except (OSError, HTTPException) as error:
                log.warning("%d spans are lost: the collector says %s", count, error)
                return

    def _post(self, body: bytes) -> None:
        url = f"{self._settings.otlp_url.rstrip('/')}/v1/traces"
        asked = urllib.request.Request(url, body, {"content-type": "application/json"})
        urllib.request.urlopen(asked, timeout=SEND_SECONDS).close()


def encoded(service: str, spans: list[Span]) -> bytes:
    """OTLP/JSON (opentelemetry.io/docs/specs/otlp). Pure."""
    resource = {"attributes": _attributes({"service.name": f"modelmuxer-{service}"})}
    scope = {"scope": {"name": "modelmuxer"}, "spans": [_span(span) for span in spans]}
    return msgspec.json.encode({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})


def _span(span: Span) -> dict[str, Any]:
    error: dict[str, Value] = {"error.type": span.error} if span.error else {}
    return {
        "traceId": span.trace.id,
        "spanId": span.trace.span,
        "parentSpanId": span.parent,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(span.ended),
        "attributes": _attributes(span.attributes | error),
        "status": {"code": FAULT} if span.error else {},
    }


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Value) -> dict[str, Value]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


@contextlib.contextmanager
def _be(trace: Trace | None) -> Iterator[None]:
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def _hex(size: int) -> str:
    return random.randbytes(size).hex()
