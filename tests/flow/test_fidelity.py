"""What a client sends is what Anthropic gets: bodies by their text, headers line by line.

With MODELMUXER_FIXTURES naming a folder of recorded requests (JSON files with `method`, `path`,
`query`, `headers` and `body`), those are replayed too.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flow.bodies import BODIES, RAW, betas_of, raw
from tests.support.provider import Provider
from tests.support.stack import KEYS, Stack

pytestmark = pytest.mark.anyio
NAMES = [*BODIES, *RAW]
FOLDER = os.environ.get("MODELMUXER_FIXTURES", "")
RECORDED = sorted(Path(FOLDER).glob("*.json")) if FOLDER else []
PLACEHOLDER = re.compile(rb"PII_EMAIL_[0-9A-Z]{10}")
MAIL = b"eva.novak@initech.io"
HEADERS = [
    ("accept", "application/json"),
    ("user-agent", "claude-cli/2.1.197 (external, cli)"),
    ("x-app", "cli"),
    ("x-claude-code-session-id", "5e55-10"),
    ("x-claude-code-agent-id", "a9e7"),
    ("x-claude-code-of-tomorrow", "1"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-lang", "js"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-runtime-version", "v26.3.0"),
    ("x-stainless-timeout", "600"),
    ("anthropic-beta", "claude-code-20250219,effort-2025-11-24"),
    ("anthropic-beta", "of-tomorrow-2027-01-01"),
    ("anthropic-beta", "context-management-2025-06-27, interleaved-thinking-2025-05-14"),
    ("anthropic-dangerous-direct-browser-access", "true"),
    ("anthropic-version", "2023-06-01"),
]
OURS = ("x-api-key", "authorization", "host", "connection", "content-length", "accept-encoding")


def exact(data: bytes) -> Any:
    """JSON with the order of its keys and the text of its numbers."""
    return json.loads(data, object_pairs_hook=list, parse_int=tagged, parse_float=tagged)


def joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    """By name; several lines of one as HTTP lets anybody join them, in their order."""
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(values) for name, values in by_name.items()}


def tagged(number: str) -> tuple[str]:
    return (number,)


async def sent(mux: Stack, body: bytes, betas: list[str], key: str = "plain") -> httpx.Response:
    own = [("x-api-key", KEYS[key]), ("anthropic-version", "2023-06-01")]
    lines = [("anthropic-beta", beta) for beta in betas]
    async with httpx.AsyncClient(base_url=mux.url, timeout=60) as http:
        return await http.post("/v1/messages?beta=true", content=body, headers=[*own, *lines])


@pytest.mark.parametrize("name", NAMES)
async def test_a_body_arrives_as_it_was_sent(mux: Stack, provider: Provider, name: str) -> None:
    answer = await sent(mux, raw(name), betas_of(name))
    assert answer.status_code == 200, answer.text
    assert provider.last.body == raw(name)
    assert len(raw(name)) > 12_000_000 or "twelve" not in name
    assert provider.last.query == "beta=true"


@pytest.mark.parametrize("name", NAMES)
async def test_only_the_model_changes_for_an_alias(
    mux: Stack, provider: Provider, name: str
) -> None:
    model = json.loads(raw(name))["model"]
    aliased = raw(name).replace(model.encode(), b"anthropic/" + model.encode(), 1)
    answer = await sent(mux, aliased, betas_of(name))
    assert answer.status_code == 200, answer.text
    assert exact(provider.last.body) == exact(raw(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a thread begins"])
async def test_only_the_value_changes_where_one_is_masked(
    mux: Stack, provider: Provider, name: str
) -> None:
    with_mail = raw(name).replace(b'"Hi"', b'"Hi ' + MAIL + b'"', 1)
    with_mail = with_mail.replace(b"Rename foo", b"Mail " + MAIL + b" foo", 1)
    answer = await sent(mux, with_mail, betas_of(name), key="masked")
    assert answer.status_code == 200, answer.text
    assert MAIL not in provider.last.body
    assert exact(PLACEHOLDER.sub(MAIL, provider.last.body)) == exact(with_mail)


@pytest.mark.parametrize("name", ["claude-code", "numbers", "lone surrogates"])
async def test_a_count_gets_the_body_as_it_was_sent(
    mux: Stack, provider: Provider, name: str
) -> None:
    async with mux.http(**{"anthropic-beta": ",".join(betas_of(name))}) as http:
        answer = await http.post("/v1/messages/count_tokens", content=raw(name))
    assert answer.status_code == 200, answer.text
    got = provider.calls[-1]
    assert got.path == "/v1/messages/count_tokens" and got.body == raw(name)


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
@pytest.mark.parametrize("credential", ["x-api-key", "authorization"])
async def test_headers_arrive_line_by_line_and_the_key_does_not(
    mux: Stack, provider: Provider, version: str, credential: str
) -> None:
    key = KEYS["plain"]
    given = [(n, version if n == "anthropic-version" else v) for n, v in HEADERS]
    own = (credential, key if credential == "x-api-key" else f"Bearer {key}")
    hop = [("te", "trailers"), ("proxy-authorization", "Basic eDp5"), ("cookie", "a=b")]
    async with httpx.AsyncClient(base_url=mux.url) as http:
        answer = await http.post(
            "/v1/messages", content=raw("white space"), headers=[*given, own, *hop]
        )
    assert answer.status_code == 200, answer.text
    got = provider.last.headers
    passed = [(n.lower(), v) for n, v in got if n.lower() not in (*OURS, "content-type")]
    assert joined(passed) == joined(given)
    assert provider.last.credential == provider.key and key not in str(got)


@pytest.mark.skipif(not RECORDED, reason="MODELMUXER_FIXTURES names no folder of requests")
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
async def test_a_recorded_request_arrives_as_it_was_sent(
    mux: Stack, provider: Provider, file: Path
) -> None:
    recorded = json.loads(file.read_text())
    body = json.dumps(recorded["body"], ensure_ascii=False).encode() if recorded["body"] else b""
    own = [(n, v) for n, v in recorded["headers"] if n.lower() not in OURS]
    key = ("x-api-key", KEYS["plain"])
    target = recorded["path"] + ("?" + recorded["query"] if recorded.get("query") else "")
    async with httpx.AsyncClient(base_url=mux.url, timeout=60) as http:
        answer = await http.request(recorded["method"], target, content=body, headers=[*own, key])
    if recorded["method"] == "HEAD":
        assert answer.status_code == 200
        return
    asked = recorded["body"]["model"]
    if answer.status_code == 404 or answer.headers.get("x-modelmuxer-model", asked) != asked:
        pytest.skip(f"{asked} is not served under that name: adapted or refused, not passed on")
    got = provider.calls[-1]
    assert got.body == body
    assert joined([p for p in got.headers if p[0].lower() not in OURS]) == joined(own)
