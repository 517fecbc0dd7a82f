"""Bad input and failing providers: an error in Anthropic's shape that names what to change."""

import asyncio
import json
import logging
import time
from typing import Any

import anthropic
import httpx
import pytest

from tests.flow.asks import SMALL, ask, streamed
from tests.flow.malformed import BAD, MISFORMED, NOT_UTF8, Case, ids
from tests.support.provider import Provider, broken, fail, hang, say
from tests.support.stack import KEYS, Stack

pytestmark = pytest.mark.anyio
NOT_OURS = ("strict-transport-security",)
SECURITY = (
    "x-content-type-options",
    "referrer-policy",
    "content-security-policy",
    "cache-control",
)


def shaped(answer: httpx.Response, status: int, kind: str) -> str:
    """Assert the shape of an error, and give its words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert body["type"] == "error" and body["error"]["type"] == kind
    assert body["request_id"] == answer.headers["request-id"]
    for name in SECURITY:
        assert name in answer.headers, name
    return str(body["error"]["message"])


@pytest.mark.parametrize("key", [None, "", "sk-wrong", "ключ", "x" * 5000])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/models"])
async def test_without_a_right_key_nothing_is_answered(
    mux: Stack, provider: Provider, key: str | None, path: str
) -> None:
    headers = {} if key is None else {"x-api-key": key.encode()}
    async with httpx.AsyncClient(base_url=mux.url) as http:
        method = "GET" if path.endswith("models") else "POST"
        answer = await http.request(method, path, content=b"{", headers=headers)
    shaped(answer, 401, "authentication_error")
    assert answer.headers["x-should-retry"] == "false"
    assert not provider.calls


@pytest.mark.parametrize(
    ("headers", "path", "words"),
    [
        ({"x-api-key": "sk-wrong"}, "/v1/messages", "refused 401 · this key is not known here"),
        ({"x-api-key": "sk-wrong"}, "/v1/messages/count_tokens", "refused 401 · this key is not"),
        ({"x-api-key": "sk-wrong"}, "/v1/embeddings", "refused 401 · this key is not known here"),
        ({"x-api-key": KEYS["plain"]}, "/v1/messages", "refused 400 · "),
        ({"x-api-key": KEYS["plain"]}, "/v1/nothing", "refused 404 · /v1/nothing: no such path"),
    ],
)
async def test_who_is_refused_at_the_door_shows_in_the_log_once_and_without_the_key(
    mux: Stack, caplog: pytest.LogCaptureFixture, headers: dict[str, str], path: str, words: str
) -> None:
    await asyncio.sleep(1.1)  # what others were refused has been told
    caplog.set_level(logging.INFO)
    async with httpx.AsyncClient(base_url=mux.url) as http:
        await http.post(path, content=b"{", headers=headers)
    lines = [line for line in caplog.messages if "refused" in line]
    assert len(lines) == 1 and lines[0].startswith(words), lines
    assert headers["x-api-key"] not in caplog.text


async def test_a_refusal_that_has_a_row_has_no_second_line(
    mux: Stack, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model="nope-9"))
    lines = [line for line in caplog.messages if "refused" in line]
    assert answer.status_code == 404 and len(lines) == 1 and lines[0].startswith("nope-9 → nobody")
    assert "did you mean" not in answer.text and "GET /v1/models" in answer.text


@pytest.mark.parametrize("body, field", [case[1:] for case in BAD], ids=ids(BAD))
async def test_a_wrong_field_is_named(
    mux: Stack, provider: Provider, body: Any, field: str
) -> None:
    async with mux.http() as http:
        words = shaped(await http.post("/v1/messages", json=body), 400, "invalid_request_error")
    assert field in words
    assert not provider.bill.lines


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"null", b"[" * 100_000, b"{}x"])
async def test_what_is_no_json_object_is_refused(mux: Stack, raw: bytes) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", content=raw)
    shaped(answer, 400, "invalid_request_error")
    assert answer.headers["x-should-retry"] == "false"


async def test_an_unknown_model_is_not_found_and_near_names_are_told(
    mux: Stack, provider: Provider
) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model="gpt-6-lunatic"))
    words = shaped(answer, 404, "not_found_error")
    assert "gpt-6-luna" in words and answer.headers["x-should-retry"] == "false"
    assert not provider.calls


async def test_a_body_over_the_limit_is_refused(mux: Stack, provider: Provider) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", content=b" " * (32 * 1024 * 1024 + 1))
    shaped(answer, 413, "request_too_large")
    assert not provider.calls


async def test_a_body_of_twelve_megabytes_passes(mux: Stack, provider: Provider) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask("long " * 2_400_000))
    assert answer.status_code == 200, answer.text[:300]
    assert len(provider.last.body) > 12_000_000


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v1/messages", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/health", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/nothing/at/all", 404),
        ("GET", "/v1/models/no-such-model", 404),
    ],
)
async def test_a_wrong_path_or_method_is_said_in_shape(
    mux: Stack, method: str, path: str, status: int
) -> None:
    async with mux.http() as http:
        answer = await http.request(method, path)
    shaped(answer, status, "not_found_error" if status == 404 else "invalid_request_error")


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("GET", "/v1/messages", "POST"),
        ("PUT", "/v1/messages/count_tokens", "POST"),
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models", "GET"),
        ("PATCH", "/v1/analytics/budgets", "GET, POST"),
        ("PUT", "/v1/embeddings", "POST"),
    ],
)
async def test_a_wrong_method_is_told_which_are_right(
    mux: Stack, method: str, path: str, allowed: str
) -> None:
    async with mux.http() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("case", NOT_UTF8, ids=ids(NOT_UTF8))
async def test_bytes_that_are_no_utf8_never_leave(
    mux: Stack, provider: Provider, case: Case
) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", content=case[1])
    assert "UTF-8" in shaped(answer, 400, "invalid_request_error")
    assert not provider.calls


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", MISFORMED, ids=ids(MISFORMED))
async def test_what_only_the_provider_reads_arrives_there_as_it_was_sent(
    mux: Stack, provider: Provider, case: Case, stream: bool
) -> None:
    body = SMALL | {"model": "claude-haiku-4-5", "stream": stream} | case[1]
    provider.always = fail(400, "so does the provider say")
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=body)
    assert answer.status_code == 400 and answer.content == provider.last.sent
    assert json.loads(provider.last.body) == body


@pytest.mark.parametrize("status", [400, 402, 403, 404, 413, 422, 429, 500, 503, 529])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_providers_refusal_comes_back_unwrapped(
    mux: Stack, provider: Provider, status: int, stream: bool
) -> None:
    message = f"input length and `max_tokens` exceed context limit: {status}"
    provider.always = fail(status, message, retry_after=7, headers={"x-should-retry": "false"})
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(stream=stream))
    assert answer.status_code == status
    assert answer.content == provider.last.sent
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("more", [{"html": True}, {"empty": True}], ids=["html", "empty"])
@pytest.mark.parametrize("status", [502, 503, 403])
async def test_what_is_no_json_from_the_provider_becomes_an_error_in_shape(
    mux: Stack, provider: Provider, status: int, more: dict[str, Any]
) -> None:
    provider.always = fail(status, **more)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=SMALL)
    assert answer.status_code >= 400 and answer.json()["type"] == "error"
    assert "<html" not in answer.json()["error"]["message"]


async def test_a_provider_that_is_down_is_an_error_in_shape(mux: Stack, provider: Provider) -> None:
    provider.always = say(fault="drop-first")
    async with mux.http() as http:
        answers = [await http.post("/v1/messages", json=ask(stream=s)) for s in (False, True)]
    for answer in answers:
        assert answer.status_code in (502, 529) and answer.json()["type"] == "error"


@pytest.mark.parametrize("fault", ["error", "drop", "eof"])
async def test_a_stream_that_breaks_ends_with_an_error_event(
    mux: Stack, provider: Provider, fault: str
) -> None:
    provider.script(broken(fault, at=2))
    before = len(await mux.rows(0))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.status_code == 200 and b"event: error" in answer.content
    assert b"message_stop" not in answer.content
    row = (await mux.rows(before + 1))[-1]
    assert row.outcome == "error" and row.cost > 0


async def test_the_official_client_raises_its_own_errors(mux: Stack, provider: Provider) -> None:
    provider.always = fail(429, retry_after=1)
    async with mux.sdk() as sdk:
        with pytest.raises(anthropic.RateLimitError) as limited:
            await sdk.messages.create(**SMALL)
        provider.always = None
        with pytest.raises(anthropic.NotFoundError):
            await sdk.messages.create(**SMALL | {"model": "no-such-model"})
    assert limited.value.response.headers["retry-after"] == "1"


async def test_a_slow_sender_does_not_hold_others_up(mux: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", mux.port)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{mux.port}\r\n"
    writer.write(f"{head}x-api-key: {KEYS['plain']}\r\ncontent-length: 1000\r\n\r\n{{".encode())
    await writer.drain()
    start = time.monotonic()
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=SMALL)
    assert answer.status_code == 200 and time.monotonic() - start < 5
    writer.close()


async def test_a_foreign_host_header_is_refused_on_loopback(mux: Stack) -> None:
    async with mux.http(host="evil.example") as http:
        answer = await http.get("/v1/models")
    assert answer.status_code in (400, 403, 421) and answer.json()["type"] == "error"


async def test_every_open_page_answers_and_is_secure(mux: Stack) -> None:
    async with httpx.AsyncClient(base_url=mux.url) as http:
        for path in ("/", "/health", "/ready"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert all(name in answer.headers for name in SECURITY), path
        assert (await http.head("/")).status_code == 200
        assert b"modelmuxer_requests_total" in (await http.get("/metrics")).content


async def test_a_hanging_provider_does_not_outlive_its_client(
    mux: Stack, provider: Provider
) -> None:
    provider.script(hang())
    async with mux.sdk(timeout=0.5) as sdk:
        with pytest.raises(anthropic.APITimeoutError):
            await sdk.messages.create(**SMALL)
    await provider.idle(3)
    assert provider.last.outcome == "gone"
