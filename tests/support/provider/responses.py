"""OpenAI's Responses."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiohttp import web

from tests.support.provider.bill import Used
from tests.support.provider.caching import size
from tests.support.provider.chat import check_bearer, check_choice, check_schema
from tests.support.provider.exchange import Exchange, foreign_error, foreign_plain, pieces, streamed
from tests.support.provider.scene import Part, Scene, Text, Think, Use, marked, quoting, unmarked
from tests.support.provider.seal import is_sealed, seal
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused, bad

Json = dict[str, Any]
KNOWN = frozenset({
    "model", "input", "instructions", "stream", "tools", "tool_choice", "max_output_tokens",
    "reasoning", "text", "include", "store", "metadata", "parallel_tool_calls", "temperature",
    "top_p", "prompt_cache_key", "safety_identifier", "user", "truncation", "service_tier",
})  # fmt: skip


async def create(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /openai/v1/responses"""
    try:
        check_bearer(provider, exchange)
        body = exchange.body
        _check(body)
    except Refused as refused:
        exchange.call.why = refused.message
        return foreign_error(exchange, refused.status, refused.message)
    words, mark, results = _told(body["input"])
    scene = quoting(provider.scene(mark, results), words)
    if scene.first:
        await asyncio.sleep(scene.first)
    if scene.status >= 400:
        return foreign_error(exchange, scene.status, scene.message, scene)
    prompt = size([body["input"], body.get("instructions"), body.get("tools")])
    output = [_item(part) for part in scene.parts]
    used = replace(Used(input=prompt, output=sum(map(size, output))), **scene.usage)
    answer = _answer(body, scene, output, used)
    if body.get("stream"):
        return await streamed(provider, exchange, scene, list(_events(answer, scene)), used)
    provider.charge(exchange.call, answer, used)
    return foreign_plain(exchange, answer)


def _check(body: Json) -> None:
    for name in body:
        if name not in KNOWN:
            raise bad(f"Unknown parameter: '{name}'.")
    if body.get("temperature", 1) != 1 or body.get("top_p", 1) != 1:
        raise bad("Unsupported parameter: 'temperature' is not supported with this model.")
    tools = body.get("tools") or []
    check_choice(body, [tool.get("name", "") for tool in tools])
    for tool in tools:
        check_schema(tool.get("name", ""), tool.get("parameters"))
    _items(body["input"])


def _items(items: list[Json]) -> None:
    waiting: list[str] = []
    for where, item in enumerate(items):
        match item.get("type", "message"):
            case "function_call":
                json.loads(item["arguments"])
                waiting.append(item["call_id"])
            case "function_call_output":
                if item["call_id"] not in waiting:
                    raise bad(f"No tool call found for function call output {item['call_id']}")
                waiting.remove(item["call_id"])
            case "reasoning":
                if not is_sealed(item.get("encrypted_content", "")):
                    raise bad(f"input[{where}]: the encrypted content could not be verified")
            case "message":
                if item.get("role") not in ("user", "assistant", "system", "developer"):
                    raise bad(f"input[{where}].role: invalid value")
    if waiting:
        raise bad(f"No tool output found for function call {waiting[0]}.")


def _told(items: list[Json]) -> tuple[str, str, int]:
    results, last = 0, ""
    for item in reversed(items):
        if item.get("type") == "function_call_output":
            results += 1
        elif item.get("role") == "user":
            content = item["content"]
            parts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
            last = last or unmarked(" ".join(parts))
            if mark := marked(" ".join(parts)):
                return last, mark, results
    return last, "", results


def _item(part: Part) -> Json:
    tail = secrets.token_hex(8)
    match part:
        case Use():
            return {
                "id": f"fc_{tail}",
                "type": "function_call",
                "status": "completed",
                "call_id": part.id or f"call_{tail}",
                "name": part.name,
                "arguments": json.dumps(part.input, ensure_ascii=False),
            }
        case Think():
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            return {
                "id": f"rs_{tail}",
                "type": "reasoning",
                "summary": summary,
                "encrypted_content": seal(part.text),
            }
        case _:
            text = part.text if isinstance(part, Text) else ""
            content = [{"type": "output_text", "text": text, "annotations": []}]
            return {
                "id": f"msg_{tail}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": content,
            }


def _answer(body: Json, scene: Scene, output: list[Json], used: Used) -> Json:
    cut = scene.stop in ("length", "max_output_tokens")
    return {
        "id": f"resp_{secrets.token_hex(12)}",
        "object": "response",
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "model": scene.model or body["model"],
        "output": output,
        "usage": {
            "input_tokens": used.all_input,
            "input_tokens_details": {"cached_tokens": used.read},
            "output_tokens": used.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used.all_input + used.output,
        },
    }


def _events(answer: Json, scene: Scene) -> Iterator[tuple[bytes, bool]]:
    number = iter(range(1_000_000))

    def event(kind: str, content: bool = False, **data: Any) -> tuple[bytes, bool]:
        body = {"type": kind, "sequence_number": next(number)} | data
        return f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode(), content

    opening = answer | {"status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=opening)
    yield event("response.in_progress", response=opening)
    for index, item in enumerate(answer["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        yield event("response.output_item.added", output_index=index, item=_opened(item))
        yield from (event(kind, True, **at, **more) for kind, more in _deltas(item, scene.deltas))
        yield event("response.output_item.done", output_index=index, item=item)
    end = "response.completed" if answer["status"] == "completed" else "response.incomplete"
    yield event(end, response=answer)


def _opened(item: Json) -> Json:
    empty: dict[str, Json] = {"message": {"content": []}, "function_call": {"arguments": ""}}
    return item | empty.get(item["type"], {"summary": []})


def _deltas(item: Json, count: int) -> Iterator[tuple[str, Json]]:
    match item["type"]:
        case "message":
            part = item["content"][0]
            place = {"content_index": 0}
            yield "response.content_part.added", place | {"part": part | {"text": ""}}
            for piece in pieces(part["text"], count):
                yield "response.output_text.delta", place | {"delta": piece}
            yield "response.output_text.done", place | {"text": part["text"]}
            yield "response.content_part.done", place | {"part": part}
        case "function_call":
            for piece in pieces(item["arguments"], count):
                yield "response.function_call_arguments.delta", {"delta": piece}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield "response.function_call_arguments.done", done
        case "reasoning":
            for part in item["summary"]:
                place = {"summary_index": 0}
                empty = part | {"text": ""}
                yield "response.reasoning_summary_part.added", place | {"part": empty}
                for piece in pieces(part["text"], count):
                    yield "response.reasoning_summary_text.delta", place | {"delta": piece}
                done = place | {"text": part["text"]}
                yield "response.reasoning_summary_text.done", done
                yield "response.reasoning_summary_part.done", place | {"part": part}
