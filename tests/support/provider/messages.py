"""Anthropic's endpoints: messages, count_tokens, models."""

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp import web

from tests.support.provider.answers import Frame, error_frame, frames, message
from tests.support.provider.bill import Used
from tests.support.provider.exchange import Exchange, plain, scripted_error, usual_headers
from tests.support.provider.models import FACTS, described, page
from tests.support.provider.scene import Scene, marked, quoting, unmarked
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused, check_headers, check_message

Json = dict[str, Any]


async def create(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /v1/messages"""
    check_headers(exchange.header, provider.key, provider.bearer)
    body = exchange.body
    check_message(body, exchange.header["anthropic-version"], betas(exchange))
    body = _with_thread(provider, body)
    scene = provider.scene(*_told(body))
    if scene.first:
        await asyncio.sleep(scene.first)
    if scene.fault == "drop-first":
        return _drop(exchange)
    if scene.status >= 400:
        return scripted_error(exchange, scene)
    scene = quoting(scene, _words(body))
    answer, used = message(body, scene, provider.cache.count(body))
    if body.get("thread"):
        turn = {"role": "assistant", "content": answer["content"]}
        provider.threads[answer["id"]] = [*body["messages"], turn]
    if body.get("stream"):
        return await _stream(provider, exchange, scene, answer, used)
    return await _whole(provider, exchange, scene, answer, used)


async def count(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /v1/messages/count_tokens"""
    check_headers(exchange.header, provider.key, provider.bearer)
    body = exchange.body
    check_message(body, exchange.header["anthropic-version"], betas(exchange), counting=True)
    return plain(exchange, {"input_tokens": provider.cache.count(body).all_input})


async def models(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """GET /v1/models and /v1/models/{id}"""
    check_headers(exchange.header, provider.key, provider.bearer)
    name = exchange.call.path.removeprefix("/v1/models").strip("/")
    if not name:
        return plain(exchange, page(exchange.query))
    if name not in FACTS:
        raise Refused(404, f"model: {name}")
    return plain(exchange, described(name))


def betas(exchange: Exchange) -> list[str]:
    return [b.strip() for b in exchange.header.get("anthropic-beta", "").split(",") if b.strip()]


def _told(body: Json) -> tuple[str, int]:
    """The marker that holds for this call, and how many tool results came after it."""
    results = 0
    for turn in reversed(body["messages"]):
        content = turn.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turn["role"] != "user":
            continue
        for block in reversed(blocks):
            if block.get("type") == "tool_result":
                results += 1
            elif mark := marked(str(block.get("text", ""))):
                return mark, results
    return "", results


def _words(body: Json) -> str:
    """The last thing the user said, markers left out."""
    for turn in reversed(body["messages"]):
        content = turn.get("content")
        if turn["role"] == "user" and isinstance(content, str):
            return unmarked(content)
        for block in reversed(content if turn["role"] == "user" else []):
            if block.get("type") == "text":
                return unmarked(block["text"])
    return ""


def _with_thread(provider: Provider, body: Json) -> Json:
    thread = body.get("thread") or {}
    if thread.get("type") != "continue":
        return body
    history = provider.threads.get(thread.get("previous_message_id", ""))
    if history is None:
        detail = {"error_code": "thread_not_found"}
        raise Refused(404, "No usable thread state was found.", details=detail)
    return body | {"messages": [*history, *body["messages"]]}


def _drop(exchange: Exchange) -> web.StreamResponse:
    exchange.break_off()
    exchange.call.end("broken")
    return web.Response()


async def _whole(
    provider: Provider, exchange: Exchange, scene: Scene, answer: Json, used: Used
) -> web.StreamResponse:
    if scene.fault in ("drop", "eof"):
        return _drop(exchange)
    await asyncio.sleep(scene.delay * scene.deltas)
    provider.charge(exchange.call, answer, used)
    return plain(exchange, answer, zipped=scene.gzip, **scene.headers)


async def _stream(
    provider: Provider, exchange: Exchange, scene: Scene, answer: Json, used: Used
) -> web.StreamResponse:
    headers = usual_headers(exchange.call) | scene.headers
    headers |= {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    await response.prepare(exchange.request)
    exchange.call.status = 200
    reached = 0
    complete = False
    try:
        deltas = 0
        for part in frames(answer, scene, used):
            if scene.fault and _now(part, scene, deltas):
                return await _fault(exchange, scene, response)
            deltas += part.content
            reached = part.tokens
            await _write(exchange, scene, response, part)
        complete = True
    finally:
        # What was produced is charged, whether or not somebody still listens.
        made = used if complete else replace(used, output=max(1, reached))
        provider.charge(exchange.call, answer, made, complete)
    await response.write_eof()
    return response


def _now(part: Frame, scene: Scene, deltas: int) -> bool:
    """Is it time for the fault? At 0 it comes before the first block is opened."""
    if scene.at == 0:
        return part.data.startswith(b"event: content_block_start")
    return part.content and deltas == scene.at


async def _write(
    exchange: Exchange, scene: Scene, response: web.StreamResponse, part: Frame
) -> None:
    data = part.data.replace(b"\n", b"\r\n") if scene.crlf else part.data
    if scene.comments:
        data = b": still here\n\n" + data
    step = scene.cut or len(data)
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        exchange.call.sent += piece
        await response.write(piece)
        if scene.cut:
            await asyncio.sleep(0)
    if scene.delay:
        await asyncio.sleep(scene.delay)


async def _fault(
    exchange: Exchange, scene: Scene, response: web.StreamResponse
) -> web.StreamResponse:
    match scene.fault:
        case "error":
            kind = scene.error_type or "overloaded_error"
            data = error_frame(kind, scene.message or "Overloaded")
            exchange.call.sent += data
            await response.write(data)
            await response.write_eof()
        case "eof":
            await response.write_eof()
        case "drop":
            await asyncio.sleep(0.02)  # what was written leaves first
            exchange.break_off()
        case "hang":
            await asyncio.sleep(3600)
        case _:
            raise ValueError(f"no such fault: {scene.fault}")
    exchange.call.end("broken")
    return response
