"""Anthropic's endpoints that keep something: message batches and files.

A batch is `in_progress` until it was looked at once, then `ended`; each of its requests is
answered (and charged, at half price) when it is made.
"""

import json
from typing import Any

from aiohttp import web

from tests.support.provider.answers import message, new_id
from tests.support.provider.bill import Line, charge
from tests.support.provider.exchange import Exchange, plain
from tests.support.provider.scene import Scene, quoting
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused, check_headers, check_message

Json = dict[str, Any]
BATCHES, FILES = "/v1/messages/batches", "/v1/files"


async def batches(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST and GET /v1/messages/batches"""
    check_headers(exchange.header, provider.key, provider.bearer)
    if exchange.call.method == "GET":
        return plain(exchange, _page(provider, "message_batch"))
    requests = exchange.body["requests"]
    for each in requests:
        check_message(each["params"], exchange.header["anthropic-version"], [])
    id = new_id("msgbatch")
    results = [_result(provider, exchange, each) for each in requests]
    provider.store[id] = {"batch": _batch(id, "in_progress"), "results": results}
    return plain(exchange, provider.store[id]["batch"])


async def batch(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """GET, DELETE /v1/messages/batches/{id} and POST …/cancel"""
    check_headers(exchange.header, provider.key, provider.bearer)
    id = exchange.call.path.removeprefix(BATCHES).split("/")[1]
    kept = _kept(provider, id)
    if exchange.call.method == "DELETE":
        del provider.store[id]
        return plain(exchange, {"id": id, "type": "message_batch_deleted"})
    shown = dict(kept["batch"])
    kept["batch"] = _batch(id, "ended", f"{provider.url}{BATCHES}/{id}/results")
    return plain(exchange, shown if exchange.call.path.endswith("/cancel") else kept["batch"])


async def results(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """GET /v1/messages/batches/{id}/results"""
    check_headers(exchange.header, provider.key, provider.bearer)
    kept = _kept(provider, exchange.call.path.split("/")[4])
    lines = "".join(json.dumps(line) + "\n" for line in kept["results"])
    return web.Response(text=lines, content_type="application/x-jsonl")


async def files(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST and GET /v1/files"""
    check_headers(exchange.header, provider.key, provider.bearer)
    if exchange.call.method == "GET":
        return plain(exchange, _page(provider, "file"))
    if "multipart/form-data" not in exchange.header.get("content-type", ""):
        raise Refused(400, "content-type: multipart/form-data is required")
    id, body = new_id("file"), exchange.call.body
    shown = {"id": id, "type": "file", "filename": "f", "size_bytes": len(body)}
    provider.store[id] = {"file": shown, "content": body}
    return plain(exchange, shown)


async def file(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """GET, DELETE /v1/files/{id} and GET …/content"""
    check_headers(exchange.header, provider.key, provider.bearer)
    id = exchange.call.path.removeprefix(FILES).split("/")[1]
    kept = _kept(provider, id)
    if exchange.call.path.endswith("/content"):
        return web.Response(body=kept["content"], content_type="application/octet-stream")
    if exchange.call.method == "DELETE":
        del provider.store[id]
        return plain(exchange, {"id": id, "type": "file_deleted"})
    return plain(exchange, kept["file"])


def _result(provider: Provider, exchange: Exchange, each: Json) -> Json:
    params = each["params"]
    words = str(params["messages"][-1]["content"])
    scene = quoting(provider.always or Scene(), words)
    answer, used = message(params, scene, provider.cache.count(params))
    cost = charge(answer["model"], used, batch=True)
    provider.bill.add(
        Line(
            request_id=exchange.call.request_id,
            message_id=answer["id"],
            model=answer["model"],
            used=used,
            cost=cost,
        )
    )
    result = {"type": "succeeded", "message": answer}
    return {"custom_id": each["custom_id"], "result": result}


def _batch(id: str, status: str, results_url: str | None = None) -> Json:
    counts = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
    return {
        "id": id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": counts,
        "created_at": "2026-11-01T00:00:00Z",
        "expires_at": "2026-11-02T00:00:00Z",
        "ended_at": None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": results_url,
    }


def _page(provider: Provider, kind: str) -> Json:
    kept = [each.get("batch") or each.get("file") for each in provider.store.values()]
    data = [each for each in kept if each and each["type"] == kind]
    return {"data": data, "has_more": False, "first_id": None, "last_id": None}


def _kept(provider: Provider, id: str) -> Json:
    if id not in provider.store:
        raise Refused(404, f"Not found: {id}")
    return provider.store[id]
