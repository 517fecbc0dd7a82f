"""A gateway as one writes it in an afternoon, to prove that the table can fail.

It buffers streams, knows a closed list of fields, drops headers, flattens errors, writes the
JSON anew, answers its own zero for count_tokens and never cancels a call. Nobody should use it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from libs.common.contracts.usage import Usage
from tests.support.provider import KEY, running
from tests.support.servers import Server
from tests.support.stack import Place

Json = dict[str, Any]
FIELDS = (
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "temperature",
    "context_management",
)  # fmt: skip
KNOWN = ("claude-sonnet-5-5", "claude-haiku-4-5", "gpt-6.1-terra")
PER_MINUTE = 5
KINDS = ("text", "tool_use", "tool_result", "image", "thinking")
MARK = {"cache_control": {"type": "ephemeral"}}
LISTED = ("gpt-6.1-terra-preview-x", "claude-sonnet-5-5")


class Naive(Place):
    """Looks like a stack to the tests. It books nothing, so it has no rows."""

    async def rows(self, count: int, seconds: float = 10.0) -> list[Usage]:
        return []


@contextlib.asynccontextmanager
async def naive() -> AsyncIterator[Naive]:
    async with running() as provider, aiohttp.ClientSession() as session:
        relay = Relay(provider.url, session)
        runner = web.ServerRunner(web.Server(relay.handle), shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        nowhere = Path()
        yield Naive(
            folder=nowhere,
            port=runner.addresses[0][1],
            provider=provider,
            nats=Server([], 0, "", nowhere),
            redis=Server([], 0, "", nowhere),
            config=nowhere,
        )
        await runner.cleanup()


class Relay:
    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self._upstream, self._session = upstream, session
        self._count = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # One bucket for everything that a key asks.
        self._count += "limited" in request.headers.get("x-api-key", "")
        if self._count > PER_MINUTE:
            return web.json_response({"detail": "too many requests"}, status=429)
        match request.method, request.path:
            case "POST", "/v1/messages":
                return await self._messages(json.loads(await request.content.read()), request)
            case "POST", "/v1/messages/count_tokens":
                return web.json_response({"input_tokens": 0})
            case "GET", "/v1/models":
                return web.json_response({"data": [{"id": name} for name in LISTED]})
        return web.json_response({"detail": "Not Found"}, status=404)

    async def _messages(self, body: Json, request: web.BaseRequest) -> web.StreamResponse:
        if body["model"] not in KNOWN:
            return web.json_response({"detail": "no such model"}, status=404)
        # Shielded: the call goes on when the client has left.
        to_claude = body["model"].startswith("claude")
        ask = self._claude(body, request) if to_claude else self._other(body, request)
        status, answer = await asyncio.shield(asyncio.ensure_future(ask))
        if status >= 400:
            return web.json_response({"error": "All providers failed"}, status=500)
        if body.get("stream"):
            return web.Response(body=_stream(answer), content_type="application/json")
        answer["usage"] = {"output_tokens": answer["usage"].get("output_tokens", 0)}
        return web.json_response(answer)

    async def _claude(self, body: Json, request: web.BaseRequest) -> tuple[int, Json]:
        sent = {name: body[name] for name in FIELDS if name in body}
        sent["messages"] = [_cleaned(turn) for turn in body["messages"] if turn["role"] != "system"]
        moved = [turn["content"] for turn in body["messages"] if turn["role"] == "system"]
        sent["system"] = [*_texts(body.get("system")), *map(_marked, moved)] or "Be helpful."
        if sent.get("tools"):
            sent["tools"] = [*sent["tools"][:-1], sent["tools"][-1] | MARK]
        headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
        # A dict keeps one header of a name.
        if beta := request.headers.get("anthropic-beta"):
            headers["anthropic-beta"] = beta.split(",")[0] if "oauth" not in beta else ""
        return await self._post("/v1/messages", sent, headers)

    async def _other(self, body: Json, request: web.BaseRequest) -> tuple[int, Json]:
        """To OpenAI's Chat, as a first translation does it."""
        turns = [{"role": "system", "content": json.dumps(body.get("system"))}]
        for turn in body["messages"]:
            content = turn["content"]
            turns.append({"role": turn["role"], "content": content or "" if isinstance(content, str)
                          else [dict(block) for block in content]})  # fmt: skip
        tools = [{"type": "function", "function": {
            "name": tool["name"], "parameters": tool.get("input_schema")}}
            for tool in body.get("tools") or []]  # fmt: skip
        sent: Json = {"model": body["model"], "messages": turns}
        if tools:
            sent["tools"] = tools
        headers = {"authorization": f"Bearer {KEY}"}
        if beta := request.headers.get("anthropic-beta"):
            headers["anthropic-beta"] = beta
        status, answer = await self._post("/openai/v1/chat/completions", sent, headers)
        return status, _message(answer) if status == 200 else answer

    async def _post(self, path: str, body: Json, headers: dict[str, str]) -> tuple[int, Json]:
        async with self._session.post(self._upstream + path, json=body, headers=headers) as reply:
            return reply.status, await reply.json()


def _cleaned(turn: Json) -> Json:
    """Known kinds of block, without marks, blank texts or empty thoughts."""
    if isinstance(turn["content"], str):
        return turn
    kept = [
        {name: value for name, value in block.items() if name not in ("cache_control", "signature")}
        for block in turn["content"]
        if block["type"] in KINDS and block.get("thinking") != ""
    ]
    results = [block for block in kept if block["type"] == "tool_result"]
    return turn | {"content": kept + results}


def _texts(system: Any) -> list[Json]:
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system or []
    return [_marked(block["text"]) for block in blocks if "billing-header" not in block["text"]]


def _marked(text: str) -> Json:
    return {"type": "text", "text": text} | MARK


def _message(answer: Json) -> Json:
    turn = answer["choices"][0]["message"]
    calls = [
        {"type": "tool_use", "id": "call", "name": call["function"]["name"], "input": {}}
        for call in turn.get("tool_calls") or []
    ]
    text = [{"type": "text", "text": turn["content"]}] if turn.get("content") else []
    if thought := turn.get("reasoning_content"):
        text.insert(0, {"type": "thinking", "thinking": thought, "signature": "made up"})
    return {
        "id": answer["id"],
        "type": "message",
        "role": "assistant",
        "model": answer["model"],
        "content": text + calls,
        "stop_reason": answer["choices"][0]["finish_reason"],
        "usage": {},
    }


def _stream(answer: Json) -> bytes:
    """All at once, every tool call in one block, a block stopped twice, and [DONE]."""
    out = [{"type": "message_start", "message": answer | {"content": [], "usage": {
        "input_tokens": 0}}}] * 2  # fmt: skip
    for index, block in enumerate(answer["content"]):
        out.append({"type": "content_block_start", "index": index * 2, "content_block": block})
        text = block.get("text") or block.get("thinking")
        if text:
            delta = {"type": "text_delta", "text": text, "signature": "dropped"}
            out.append({"type": "content_block_delta", "index": index * 2, "delta": delta})
        out += [{"type": "content_block_stop", "index": index * 2}] * 2
    out.append({"type": "message_delta", "delta": {"stop_reason": answer["stop_reason"]}})
    frames = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in out]
    return b"".join(frames) + b"data: [DONE]\n\n"
