"""Whatever is sent to whatever route: an answer that succeeds or says what to change, in time;
no fault of ours, nothing in the log that calls for somebody, nothing left reserved."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Container, Iterable, Iterator
from typing import Any

import pytest

from tests.flow.anything import (
    AMOUNTS,
    BODIES,
    HEADERS,
    IDS,
    PARAMETERS,
    TEXTS,
    THRESHOLDS,
    VALUES,
    answered,
    declared,
    fault_of,
    request,
    wholes,
)
from tests.flow.asks import SMALL
from tests.flow.test_spending import set_budget, settled
from tests.support.provider import KEY
from tests.support.spoil import spoilt
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
SLOW = pytest.mark.slow
OPENAI = f"""
[providers.openai]
api_key = "{KEY}"
base_url = "{{stand_in}}/openai/v1"
"""
POSTED = [path for method, path in declared() if method == "POST" and not path.endswith("cancel")]
# uvicorn's word for what is no HTTP at all. The stand-in's own (aiohttp's) are nobody's here.
NO_HTTP = "Invalid HTTP request received."
SEVERAL = 8
# Of long lists, what runs at each change; all of them run in .ci/run.
BRIEF = {"tz", "limit", b"host", b"authorization", b"x-modelmuxer-max-cost-usd"}
LONG = {"/v1/messages/batches", "/v1/messages/count_tokens", "/dashboard/login"}


def slow_but(names: Iterable[Any], brief: Container[Any]) -> list[Any]:
    return [each if each in brief else pytest.param(each, marks=SLOW) for each in names]


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": OPENAI, "gateway": "[gateway.timeouts]\nbody = 0.5\n"}


@pytest.fixture(scope="module")
def analytics() -> bool:
    return True


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING)
    yield
    said = [each for each in caplog.get_records("call") if each.levelno >= logging.WARNING]
    ours = [each for each in said if not each.name.startswith("aiohttp")]
    assert [each for each in ours if each.getMessage() != NO_HTTP] == []


@pytest.fixture(autouse=True)
async def nothing_reserved(mux: Stack) -> AsyncIterator[None]:
    async with mux.http("admin") as http:
        await set_budget(http, "1000")
        yield
        await settled(http)


async def faults(mux: Stack, requests: Iterable[bytes]) -> list[str]:
    """Each request that was not answered as it should be, and how."""
    waiting, found = iter(requests), list[str]()

    async def one_after_another() -> None:
        for sent in waiting:
            try:
                fault = fault_of(*await answered(mux, sent))
            except (TimeoutError, ConnectionError, ValueError, KeyError, IndexError) as error:
                fault = repr(error)
            if fault:
                found.append(f"{sent[:300]!r}: {fault}")

    await asyncio.gather(*(one_after_another() for _ in range(SEVERAL)))
    return found


def filled(path: str, id: bytes) -> bytes:
    return re.sub(rb"\{.*?\}", lambda _: id, path.encode())


async def test_any_id_in_any_path(mux: Stack) -> None:
    sent = [
        request(mux, method, filled(path, id), body=b"{}" if method == "POST" else b"")
        for method, path in declared()
        if "{" in path
        for id in IDS
    ]
    sent += [request(mux, "GET", b"/" + at + id) for at in (b"", b"dashboard/") for id in IDS]
    assert len(sent) > 250 and await faults(mux, sent) == []


async def test_a_path_of_any_length_is_told_in_few_words(mux: Stack) -> None:
    status, answer = await answered(mux, request(mux, "GET", b"/" + b"x" * 60_000))
    assert status == 404 and len(answer) < 600


@pytest.mark.parametrize("name", slow_but(PARAMETERS, BRIEF))
async def test_any_value_of_any_parameter(mux: Stack, name: str) -> None:
    lists = [path for method, path in declared() if method == "GET" and "{" not in path]
    sent = []
    for path in (path for path in lists if path.startswith("/v1/")):
        person = "&user=ann" if path.endswith("records") and name not in ("user", "key") else ""
        at = f"{path}?{name}=".encode()
        sent += [
            request(mux, "GET", at + value.replace(b"{}", name.encode()) + person.encode())
            for value in VALUES
        ]
    assert await faults(mux, sent) == []


@pytest.mark.parametrize("name", slow_but(HEADERS, BRIEF), ids=bytes.decode)
async def test_any_value_of_any_header(mux: Stack, name: bytes) -> None:
    small, embed = json.dumps(SMALL).encode(), json.dumps(BODIES["/v1/embeddings"]).encode()
    asked = [("GET", b"/v1/models", b""), ("GET", b"/nothing", b""), ("GET", b"/v1/files/", b"")]
    asked += [("POST", b"/v1/messages", small), ("POST", b"/v1/messages/count_tokens", small)]
    asked += [("POST", b"/v1/route", small), ("POST", b"/v1/embeddings", embed)]
    asked += [("GET", b"/dashboard/session", b""), ("POST", b"/v1/pii/scan", b'{"text":"a"}')]
    sent = []
    for method, path, body in asked:
        own = [(b"x-api-key", b"")] if name == b"cookie" else []
        for text in TEXTS:
            sent.append(request(mux, method, path, (name, text), *own, body=body))
        sent.append(request(mux, method, path, (name, b"\xe9"), (name, b"x"), body=body))
    assert await faults(mux, sent) == []


@pytest.mark.parametrize("path", slow_but(BODIES, BODIES.keys() - LONG))
async def test_one_wrong_thing_anywhere_in_a_body(mux: Stack, path: str) -> None:
    bodies = [json.dumps(body).encode() for _, body in spoilt(BODIES[path])]
    bodies += wholes(BODIES[path])
    sent = [request(mux, "POST", path.encode(), body=body) for body in bodies]
    assert await faults(mux, sent) == []


@pytest.mark.parametrize(
    "field, values", [("budget_limit", AMOUNTS), ("alert_thresholds", THRESHOLDS)]
)
async def test_money_that_is_none_is_refused_by_its_field(
    mux: Stack, field: str, values: tuple[object, ...]
) -> None:
    for value in values:
        body = BODIES["/v1/analytics/budgets"] | {field: value}
        sent = request(mux, "POST", b"/v1/analytics/budgets", body=json.dumps(body).encode())
        status, answer = await answered(mux, sent)
        assert status == 400, (value, answer)
        assert json.loads(answer)["error"]["message"].startswith(f"{field}: "), (value, answer)


@pytest.mark.parametrize("name", [b"content-encoding", b"transfer-encoding"])
async def test_a_body_that_is_packed_is_refused_and_one_in_pieces_is_read(
    mux: Stack, name: bytes
) -> None:
    packed = name == b"content-encoding"
    more = [(name, b"gzip")] if packed else [(name, b"chunked"), (b"x-length", b"none")]
    for path in sorted(BODIES.keys() - {"/dashboard/login"}):
        body = json.dumps(BODIES[path]).encode()
        sent = request(mux, "POST", path.encode(), *more, body=body)
        if not packed:
            head, _, body = sent.partition(b"\r\n\r\n")
            head = b"\r\n".join(e for e in head.split(b"\r\n") if b"content-length" not in e)
            sent = head + b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        status, answer = await answered(mux, sent)
        assert (status == 415) is packed and not fault_of(status, answer), (path, answer)


async def test_a_body_that_does_not_arrive_is_given_up(mux: Stack) -> None:
    length = (b"content-length", b"1000")
    paths = sorted({path for path in POSTED if "{" not in path})
    sent = [request(mux, "POST", path.encode(), length, body=b"{") for path in paths]
    found = await asyncio.gather(*(answered(mux, each) for each in sent))
    assert [status for status, _ in found] == [408] * len(paths) and len(paths) > 8


async def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(mux: Stack) -> None:
    length = (b"content-length", b"1000")
    for path in (*POSTED, "/dashboard/login"):
        _, writer = await asyncio.open_connection("127.0.0.1", mux.port)
        writer.write(request(mux, "POST", filled(path, b"x"), length, body=b"{"))
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.close()
    await asyncio.sleep(0.1)
    assert (await answered(mux, request(mux, "GET", b"/v1/models")))[0] == 200


@pytest.mark.parametrize(
    "wrong, status", [((b"x-api-key", b"sk-wrong"), 401), ((b"host", b"evil.example"), 403)]
)
async def test_a_refusal_reaches_a_client_that_still_sends(
    mux: Stack, wrong: tuple[bytes, bytes], status: int
) -> None:
    for path in (*POSTED, "/v1/nothing", "/v1/messages"):
        sent = request(mux, "POST", filled(path, b"x"), wrong, body=b" " * 3_000_000)
        expected = 404 if (path, status) == ("/v1/nothing", 401) else status
        assert (await answered(mux, sent))[0] == expected, path


async def test_who_sends_more_than_is_taken_hears_so(mux: Stack) -> None:
    for path in ("/v1/messages", "/v1/messages/batches", "/v1/messages/count_tokens", "/v1/files",
                 "/v1/route", "/v1/embeddings", "/v1/pii/scan", "/dashboard/login"):  # fmt: skip
        sent = request(mux, "POST", path.encode(), body=b" " * 34_000_000)
        assert (await answered(mux, sent))[0] == 413, path


@pytest.mark.slow
async def test_a_name_of_twenty_megabytes_is_refused(mux: Stack) -> None:
    for path in ("/v1/messages", "/v1/route", "/v1/messages/count_tokens", "/v1/embeddings"):
        body = json.dumps(SMALL | {"model": "x" * 20_000_000, "input": "hi"}).encode()
        status, answer = await answered(mux, request(mux, "POST", path.encode(), body=body))
        assert status == 400 and "model: over 500" in json.loads(answer)["error"]["message"], path


@pytest.mark.parametrize("model", ["no\n12:00 E forged", "claude-no\r\x1b[2J forged"])
async def test_a_name_writes_no_line_of_its_own_into_the_log(
    mux: Stack, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    caplog.set_level(logging.INFO)
    body = json.dumps(SMALL | {"model": model}).encode()
    await answered(mux, request(mux, "POST", b"/v1/messages", body=body))
    lines = [line for line in caplog.messages if "forged" in line]
    assert len(lines) == 1 and lines[0].isprintable()


@pytest.mark.slow
async def test_words_of_twenty_megabytes_are_carried_as_few(mux: Stack) -> None:
    long = "x" * 20_000_000
    for more in ({"output_config": {"effort": long}}, {"speed": long}):
        body = json.dumps(SMALL | more).encode()
        status, answer = await answered(mux, request(mux, "POST", b"/v1/route", body=body))
        assert status == 200, answer[:300]
