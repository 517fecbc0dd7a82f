"""What a client may send where we expect something else, and a reader that takes any bytes."""

import asyncio
import importlib
import json
import pkgutil
from typing import Any

from starlette.routing import Route

from services.gateway import routes
from tests.flow.asks import SMALL, WEATHER
from tests.support.stack import KEYS, Stack

Json = dict[str, Any]
Header = tuple[bytes, bytes]
SECONDS = 5.0

# In the place of an id, as it stands in a request's line.
IDS = (
    b"..", b"..%2f..%2fetc", b"%00", b"%ff", b"%ed%a0%80", b"%C3%A9", b"\xc3\xa9", b"*", b"%3e",
    b"a%20b", b"%0d%0aset-cookie:x=y", b"%", b"%zz", b"'", b"[", b"{}", b"x" * 3000, b"x" * 60_000,
)  # fmt: skip
# The value of a parameter.
VALUES = (
    b"", b"x", b"0", b"-1", b"1.5", b"1e999", b"NaN", b"9" * 30, b"9" * 5000, b"%00", b"%ff",
    b"%C2%B2", b"%D9%A1", b"%27", b"%0a", b"x" * 2500, b"0000-01-01", b"9999-12-31",
    b"99999999999999999.x", b"right/UTC", b"posix/UTC", b"localtime", b"../../etc/passwd",
    b"{x:String}", b"model,model,model,model", b",,,", b"7&{}=8",
)  # fmt: skip
PARAMETERS = (
    "days", "tz", "format", "group_by", "limit", "cursor", "status", "model", "key", "user",
    "request_id", "scope", "scope_id", "verify", "table", "after_id", "before_id", "nothing",
)  # fmt: skip
# The value of a header.
TEXTS = (
    b"", b" ", b"x", b"\xff\xfe", b"\xed\xa0\x80", b"\x01", b"\x00", b"a\rb", b"a\nb", b"x" * 7000,
    b"x" * 60_000, b"-1", b"1e999", b"1e-999999999", b"sNaN", b"9" * 5000, b"\xb2", b",,,", b"[",
    b"[::1", b"[127.0.0.1", b"127.0.0.1:x", b"localhost?x", b"Bearer", b"bearer \xff", b"gzip",
    b"modelmuxer_session=\xff.\xff", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
)  # fmt: skip
HEADERS = (
    b"host", b"x-api-key", b"authorization", b"cookie", b"origin", b"anthropic-version",
    b"anthropic-beta", b"content-type", b"content-encoding", b"traceparent", b"tracestate",
    b"x-request-id", b"user-agent", b"x-modelmuxer-routing", b"x-modelmuxer-max-cost-usd",
    b"x-modelmuxer-cache", b"x-modelmuxer-tag", b"x-modelmuxer-csrf", b"x-claude-code-session-id",
    b"x-claude-code-agent-id", b"x-stainless-retry-count", b"upgrade", b"idempotency-key",
)  # fmt: skip
COUNTED = {name: value for name, value in SMALL.items() if name != "max_tokens"}
BATCHED = [
    {"custom_id": "a", "params": SMALL},
    {"custom_id": "b", "params": SMALL | {"tools": [WEATHER], "metadata": {"user_id": "u"}}},
]
# A sound body of each route that takes one.
BODIES: dict[str, Json] = {
    "/v1/messages/count_tokens": COUNTED | {"tools": [WEATHER]},
    "/v1/route": SMALL | {"tools": [WEATHER], "effort": "x"},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": ["hi", "b"], "user": "u"},
    "/v1/messages/batches": {"requests": BATCHED},
    "/v1/analytics/budgets": {
        "budget_type": "daily",
        "budget_limit": 100,
        "alert_thresholds": [50, 80.5],
        "scope": "run",
        "scope_id": "one",
        "mode": "block",
        "clamp": True,
    },
    "/v1/admin/keys": {
        "name": "one",
        "team": "t",
        "user": "u",
        "routing": "auto",
        "routing_max": "",
        "pii": "on",
        "cache": "off",
        "models": ["claude-*"],
        "rpm": 1,
        "expires_in_days": 1,
        "admin": False,
    },
    "/v1/admin/keys/key_0/rotate": {"grace_seconds": 1},
    "/v1/admin/limits": {"scope": "team", "scope_id": "one", "rpm": 1, "tpm": 2},
    "/v1/admin/pauses": {"scope": "run", "scope_id": "one", "paused": False, "reason": "r"},
    "/v1/decisions/dec_0/feedback": {"score": 1},
    "/v1/pii/scan": {"texts": ["a@b.ch", "x"], "org": "o"},
    "/dashboard/login": {"key": "x"},
}
# In the place of a JSON value: what JSON allows, or nearly.
TOKENS = (
    b'"\\ud800"', b"1e400", b"-1e400", b"NaN", b"1" + b"0" * 5000, b"01", b"1.", b"+1",
    b'"\xff"', b'"\xed\xa0\x80"', b"'x'", b'"\\u0000"', b'"' + b"x" * 70_000 + b'"', b"[" * 100_000,
    b"[" * 900 + b"]" * 900, b'{"a":1,"a":2}', b"tru", b"", b'"1e5"', b'"NaN"',
)  # fmt: skip
AMOUNTS: tuple[Any, ...] = (
    "0.0000001", 0.0000001, 0, -1, "-0", 10**30, 1e300, 1_000_000_001, "NaN", "sNaN", "inf",
    "1e999999", "1e-99999999999", "5,0", "$5", "1_000", "١", "²", "", "0x10", True, None, [], {},
    [5], "9" * 5000,
)  # fmt: skip
THRESHOLDS: tuple[Any, ...] = (
    None, 50, "50", {}, ["50"], [True], [None], [[50]], [0], [-1], [101], [1e300], [80, 50],
    [50, 50], [50.0, 50], list(range(1, 12)), list(range(1, 500)),
)  # fmt: skip


def declared() -> list[tuple[str, str]]:
    """Method and path of every route there is, but those of the message endpoints."""
    found = []
    for part in pkgutil.iter_modules(routes.__path__):
        router = getattr(importlib.import_module(f"{routes.__name__}.{part.name}"), "router", None)
        for route in router.routes if router else ():
            assert isinstance(route, Route) and route.methods
            found += [(method, route.path) for method in sorted(route.methods)]
    return found


def wholes(value: Json) -> list[bytes]:
    """A body that is sound but for how it is written."""
    text = json.dumps(value).encode()
    odd = [b"\xef\xbb\xbf" + text, text + b"x", text * 2, b"", b"\x00", b"null", b'"x"', b"[]"]
    odd += [text[:-1] + b',"' + b"k" * 50_000 + b'":5}', text[:-1] + b',"\\ud83d":5}', text[:-1]]
    odd += [text.decode().encode("utf-16"), text + b" " * 2_000_000]
    for name in value:
        kept = json.dumps({**value, name: "@"}).encode()
        odd += [kept.replace(b'"@"', token) for token in TOKENS]
    return odd


def request(mux: Stack, method: str, target: bytes, *headers: Header, body: bytes = b"") -> bytes:
    """A request as bytes; a header that is given replaces ours. Batches are another key's: what
    they reserve stays reserved while they run."""
    key = "plain" if b"batches" in target else "admin"
    own = {
        b"host": f"127.0.0.1:{mux.port}".encode(),
        b"x-api-key": KEYS[key].encode(),
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"connection": b"close",
    }
    kept = [pair for pair in own.items() if pair[0] not in {name for name, _ in headers}]
    lines = [method.encode() + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in (*kept, *headers)]
    return b"\r\n".join([*lines, b"", body])


async def answered(mux: Stack, sent: bytes) -> tuple[int, bytes]:
    """Status and body of the answer, which must come in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mux.port)
    try:
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), SECONDS)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head.split(b" ", 2)[1]), body


def fault_of(status: int, body: bytes) -> str:
    """What is wrong with an answer: nothing, if it succeeded or says what to change."""
    if 200 <= status < 400:
        return ""
    if status >= 500:
        return f"{status} {body[:200]!r}"
    words = json.loads(body)["error"]["message"]
    return "" if words and isinstance(words, str) else f"words: {words!r}"
