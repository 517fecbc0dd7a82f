"""Whatever a provider answers, at the network: an answer or an error in the client's shape, one
row, nothing left reserved, and no fault of ours."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from msgspec.structs import astuple

from services.gateway.providers.counts import MOST
from tests.flow.asks import ask
from tests.flow.test_spending import budget, make_key, set_budget, settled
from tests.support.answered import EVENTS, WHOLE, on_the_wire
from tests.support.servers import Server
from tests.support.spoil import spoilt
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.anyio
DIALECTS = ("anthropic", "openai", "openai-responses", "gemini", "mistral", "bedrock", "vertex")
PATHS = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
SSE, FRAMES = "text/event-stream", "application/vnd.amazon.eventstream"
CONFIG = """
[providers.{name}-x]
dialect = "{dialect}"
catalogue = "{catalogue}"
api_key = "a-key-of-the-stand-in"
base_url = "http://127.0.0.1:{port}"
models = ["{model}"]
"""
BOOKED = (*PATHS, "/v1/embeddings")
LETTERS = b"HTTP/1.1 500 \xff\r\nx-request-id: \xff\r\ncontent-length: 2\r\n\r\n\xff\xff"
Json = dict[str, Any]


class Answering:
    """A provider that says the same bytes to every request, and hangs up."""

    def __init__(self) -> None:
        self.sent, self.port = b"", 0

    def says(self, body: bytes, kind: str = "application/json", head: str = "200 OK") -> None:
        ends = f"content-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.sent = f"HTTP/1.1 {head}\r\n{ends}".encode() + body

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        writer.write(self.sent)
        writer.close()


@pytest.fixture(scope="module")
async def said() -> AsyncIterator[Answering]:
    said = Answering()
    server = await asyncio.start_server(said.take, "127.0.0.1", 0)
    said.port = server.sockets[0].getsockname()[1]
    yield said
    server.close()


@pytest.fixture(scope="module")
async def opened(
    place: Any, stores: tuple[Server, Server], said: Answering
) -> AsyncIterator[Stack]:
    """No provider but that one, under the name of every dialect."""
    own = {"catalogue": "anthropic", "model": "claude-haiku-5-5", "port": said.port}
    texts = [CONFIG.format(name=name, dialect=name, **own) for name in DIALECTS]
    own |= {"catalogue": "openai", "model": "text-embedding-3-small"}
    texts.append(CONFIG.format(name="vectors", dialect="openai", **own))
    claude = f'[providers.anthropic]\napi_key = "k"\nbase_url = "http://127.0.0.1:{said.port}"\n'
    async with stack(place, *stores, providers=claude, more="".join(texts)) as all_five:
        yield all_five


@pytest.fixture
async def http(mux: Stack, caplog: pytest.LogCaptureFixture) -> AsyncIterator[httpx.AsyncClient]:
    """A key with a budget of its own. Afterwards: one row for each request, nothing reserved,
    and no word in the log of a fault of ours."""
    caplog.set_level(logging.INFO)
    before, asked = len(await mux.rows(0)), list[str]()

    async def note(answer: httpx.Response) -> None:
        if answer.request.url.path in BOOKED:
            asked.append(answer.headers["x-modelmuxer-request-id"])

    headers = {"x-api-key": str((await make_key(mux))["secret"])}
    async with mux.http(**headers) as own:
        await set_budget(own, "500")
        own.event_hooks["response"] = [note]
        yield own
        await settled(own)
    rows = (await mux.rows(before + len(asked)))[before:]
    assert sorted(row.request_id for row in rows) == sorted(asked)
    assert all(0 <= n <= 4 * MOST for row in rows for n in astuple(row.tokens))
    assert not [r.getMessage() for r in caplog.records if r.exc_info or "failed" in r.getMessage()]


def body_for(path: str, name: str, stream: bool) -> Json:
    body = ask(model=f"{name}-x/claude-haiku-5-5", stream=stream)
    if path.endswith("responses"):
        return {"input": "Hi"} | {field: body[field] for field in ("model", "stream")}
    return body


def wholes(name: str, step: int) -> Iterator[bytes]:
    """So many of the spoilt answers of a dialect."""
    for number, (_, value) in enumerate(spoilt(WHOLE[name])):
        if number % step == 0:
            yield json.dumps(value).encode()


def streams(name: str, step: int) -> Iterator[bytes]:
    """So many of the streams with one spoilt event."""
    wire = [on_the_wire(name, event) for event in EVENTS[name]]
    number = 0
    for at, event in enumerate(EVENTS[name]):
        for _, value in spoilt(event):
            number += 1
            if number % step == 0:
                yield b"".join([*wire[:at], on_the_wire(name, value), *wire[at + 1 :]])
        yield b"".join(wire[:at])


def shaped(answer: httpx.Response, path: str) -> None:
    """In the words of the API that was asked, be it an error."""
    told = answer.json()
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 600 and told["error"]["message"], told
        assert "itself failed" not in told["error"]["message"]
    elif path == "/v1/messages":
        assert isinstance(told["content"], list)
    else:
        assert told["object"] in ("chat.completion", "response")


def well_ended(answer: httpx.Response, path: str) -> None:
    """A stream tells its end, or an error; what is no stream is an error."""
    if answer.headers["content-type"].startswith("application/json"):
        assert answer.status_code >= 400
        shaped(answer, path)
        return
    ends = (b"message_stop", b"[DONE]", b"response.completed", b"response.incomplete", b"error")
    last = answer.content.rstrip().rpartition(b"data: ")[2]
    assert any(end in last for end in ends), last
    assert b"itself failed" not in last


async def ask_all(
    http: httpx.AsyncClient, said: Answering, name: str, bodies: Iterator[bytes], stream: bool
) -> None:
    kind = (FRAMES if name == "bedrock" else SSE) if stream else "application/json"
    for number, body in enumerate(bodies):
        path = PATHS[number % 3]
        said.says(body, kind)
        answer = await http.post(path, json=body_for(path, name, stream))
        (well_ended if stream else shaped)(answer, path)


@pytest.mark.parametrize("name", DIALECTS[:4])
async def test_a_spoilt_answer_harms_nobody(
    http: httpx.AsyncClient, said: Answering, name: str
) -> None:
    await ask_all(http, said, name, wholes(name, 191), stream=False)
    await ask_all(http, said, name, streams(name, 499), stream=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIALECTS)
async def test_no_spoilt_answer_harms_anybody(
    http: httpx.AsyncClient, said: Answering, name: str
) -> None:
    await ask_all(http, said, name, wholes(name, 5), stream=False)
    await ask_all(http, said, name, streams(name, 11), stream=True)


HEADS = {
    "an unknown status": b"HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\n{}",
    "a redirection": b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\n{}",
    "nothing to say": b"HTTP/1.1 204 No Content\r\n\r\n",
    "waiting for ever": b"HTTP/1.1 429 Slow\r\nretry-after: 1e400\r\ncontent-length: 2\r\n\r\n{}",
    "a date beyond dates": b"HTTP/1.1 503 X\r\nretry-after: Mon, 01 Jan 99999 00:00:00 GMT\r\n"
    b"content-length: 0\r\n\r\n",
    "a broken chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "half of it": b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n{}",
    "no HTTP": b"\x16\x03\x01 what?\r\n\r\n",
    "strange letters": LETTERS,
    "strange words": LETTERS.replace(b"500 \xff", b"500 Odd"),
}


@pytest.mark.parametrize("case", HEADS)
async def test_no_head_of_an_answer_harms_anybody(
    http: httpx.AsyncClient, said: Answering, case: str
) -> None:
    for name in ("anthropic", "gemini"):
        for stream in (False, True):
            path = PATHS[(len(case) + stream) % 3]
            said.sent = HEADS[case]
            answer = await http.post(path, json=body_for(path, name, stream))
            shaped(answer, path)
            assert answer.status_code >= 400


async def test_what_no_usage_can_be_is_booked_as_our_estimate(
    http: httpx.AsyncClient, said: Answering, mux: Stack
) -> None:
    before = len(await mux.rows(0))
    for count in (-1, 10**30, "12", True, 1.5, None):
        usage = WHOLE["anthropic"]["usage"] | {"output_tokens": count}
        said.says(json.dumps(WHOLE["anthropic"] | {"usage": usage}).encode())
        answer = await http.post(PATHS[0], json=body_for(PATHS[0], "anthropic", False))
        assert answer.status_code == 200
    rows = (await mux.rows(before + 6))[before:]
    assert not any(row.billed for row in rows) and {row.outcome for row in rows} == {"ok"}
    assert all(row.cost > 0 and row.tokens.input and row.tokens.output for row in rows)


async def test_an_answer_nested_beyond_reading_is_refused_and_not_waited_for_in_the_cache(
    http: httpx.AsyncClient, said: Answering
) -> None:
    deep = b'{"type":"text","text":"Hi","deep":' + b"[" * 5000 + b"]" * 5000 + b"}"
    usage = b'{"input_tokens":7,"output_tokens":3}'
    said.says(b'{"content":[%b],"stop_reason":"end_turn","usage":%b}' % (deep, usage))
    http.headers["x-modelmuxer-cache"] = "read-write"
    for path in (PATHS[0], PATHS[0], PATHS[1]):
        answer = await http.post(path, json=body_for(path, "anthropic", False))
        assert answer.status_code == 502 and "cannot be read" in answer.json()["error"]["message"]
        assert answer.headers["x-modelmuxer-cache"] == "miss" and answer.elapsed.seconds < 5


@pytest.mark.parametrize("answer", [{}, {"input_tokens": "7"}, {"input_tokens": -1}, [], None])
async def test_a_count_that_is_none_is_made_here(
    http: httpx.AsyncClient, said: Answering, answer: Any
) -> None:
    said.says(json.dumps(answer).encode())
    told = await http.post("/v1/messages/count_tokens", json=ask())
    assert told.json()["input_tokens"] > 0
    assert told.headers["x-modelmuxer-token-count"].startswith("local")


VECTORS: Json = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


async def test_spoilt_vectors_harm_nobody(http: httpx.AsyncClient, said: Answering) -> None:
    body = {"model": "text-embedding-3-small", "input": "Hi"}
    bodies = [json.dumps(value).encode() for _, value in list(spoilt(VECTORS))[::9]]
    for each in (*bodies, b"<html>", b"[]", b"\xff", b"[" * 100_000):
        said.says(each)
        answer = await http.post("/v1/embeddings", json=body)
        assert answer.status_code in (200, 502), answer.text
        assert answer.status_code == 200 or answer.json()["error"]["message"]


BATCH: Json = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"}


@pytest.mark.parametrize("answer", [b"[]", b"\xff", b'{"id": 5}', b"[" * 100_000])
async def test_a_batch_that_is_answered_in_no_form_stays_reserved(
    said: Answering, mux: Stack, answer: bytes
) -> None:
    asked = {"requests": [{"custom_id": "a", "params": ask(model="claude-haiku-5-5")}]}
    async with mux.http(**{"x-api-key": str((await make_key(mux))["secret"])}) as own:
        await set_budget(own, "500")
        said.says(answer)
        made = await own.post("/v1/messages/batches", json=asked)
        assert made.status_code == 502 and made.json()["type"] == "error"
        await asyncio.sleep(0.2)
        assert float((await budget(own))["reserved"]) > 0
        for path in ("/v1/messages/batches", "/v1/files"):
            assert (await own.get(path)).status_code in (200, 502)


async def test_results_without_usage_leave_the_batch_to_be_booked_as_reserved(
    said: Answering, mux: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"requests": [{"custom_id": "a", "params": ask(model="claude-haiku-5-5")}]}
    async with mux.http(**{"x-api-key": str((await make_key(mux))["secret"])}) as own:
        await set_budget(own, "500")
        said.says(json.dumps(BATCH).encode())
        assert (await own.post("/v1/messages/batches", json=asked)).status_code == 200
        before = len(await mux.rows(0))
        message = WHOLE["anthropic"] | {"usage": {"input_tokens": -1}}
        line = {"custom_id": "a", "result": {"type": "succeeded", "message": message}}
        said.says(json.dumps(line).encode() + b"\n\xff\n")
        results = await own.get("/v1/messages/batches/msgbatch_1/results")
        assert results.status_code == 200 and b"toolu_1" in results.content
        await asyncio.sleep(0.2)
        assert float((await budget(own))["reserved"]) > 0
    assert len(await mux.rows(0)) == before and "booked as reserved" in caplog.text
