"""Gemini's generateContent."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiohttp import web

from tests.support.provider.bill import Used
from tests.support.provider.caching import size
from tests.support.provider.exchange import Exchange, foreign_error, foreign_plain, pieces, streamed
from tests.support.provider.scene import Part, Scene, Text, Think, Use, marked, quoting, unmarked
from tests.support.provider.seal import is_sealed, seal
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused, bad

Json = dict[str, Any]
KNOWN = frozenset({
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings",
    "cachedContent", "labels",
})  # fmt: skip
# What the documentation names for calls that another model made.
UNCHECKED = "skip_thought_signature_validator"
# Words that `parameters` knows; anything else of JSON Schema is refused there.
WORDS = frozenset({
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems",
    "properties", "required", "minProperties", "maxProperties", "minLength", "maxLength",
    "pattern", "example", "anyOf", "propertyOrdering", "default", "items", "minimum", "maximum",
})  # fmt: skip


async def generate(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /v1beta/models/{model}:generateContent and :streamGenerateContent"""
    model, _, verb = exchange.call.path.rpartition("/")[2].partition(":")
    try:
        if exchange.header.get("x-goog-api-key") != provider.key:
            raise Refused(401, "API key not valid. Please pass a valid API key.")
        body = exchange.body
        _check(body)
    except Refused as refused:
        exchange.call.why = refused.message
        return foreign_error(exchange, refused.status, refused.message)
    words, mark, results = _told(body["contents"])
    scene = quoting(provider.scene(mark, results), words)
    if scene.first:
        await asyncio.sleep(scene.first)
    if scene.status >= 400:
        return foreign_error(exchange, scene.status, scene.message, scene)
    prompt = size([body["contents"], body.get("tools"), body.get("systemInstruction")])
    output = sum(size(vars(part)) for part in scene.parts)
    used = replace(Used(input=prompt, output=output), **scene.usage)
    answer = _whole(model, scene, used)
    if verb == "streamGenerateContent":
        if exchange.query.get("alt") != "sse":
            return foreign_error(exchange, 400, "this stand-in streams with alt=sse only")
        return await streamed(provider, exchange, scene, list(_chunks(answer, scene)), used)
    provider.charge(exchange.call, {"model": model, "id": answer["responseId"]}, used)
    return foreign_plain(exchange, answer)


def _check(body: Json) -> None:
    for name in body:
        if name not in KNOWN:
            raise bad(f'Invalid JSON payload received. Unknown name "{name}"')
    for tool in body.get("tools") or []:
        for declared in tool.get("functionDeclarations") or []:
            _schema(declared.get("parameters") or {}, declared["name"])
    calls: list[str] = []
    for where, turn in enumerate(body["contents"]):
        if turn.get("role") not in ("user", "model"):
            raise bad(f"contents[{where}]: Please use a valid role: user, model.")
        if not turn.get("parts"):
            raise bad(f"contents[{where}].parts: must include at least one parts field")
        results = [p for p in turn["parts"] if "functionResponse" in p]
        if len(results) != len(calls):
            raise bad(
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn."
            )
        calls = [p["functionCall"]["name"] for p in turn["parts"] if "functionCall" in p]
        for part in turn["parts"]:
            signature = part.get("thoughtSignature", UNCHECKED)
            if signature != UNCHECKED and not is_sealed(signature):
                raise bad(f"contents[{where}]: Thought signature is not valid")


def _schema(schema: Json, where: str) -> None:
    for word, value in schema.items():
        if word not in WORDS:
            raise bad(f'Invalid JSON payload received. Unknown name "{word}" at {where}')
        if word == "properties":
            for name, inner in value.items():
                _schema(inner, f"{where}.{name}")
        if word == "items":
            _schema(value, f"{where}.items")
    if schema.get("type", "").lower() == "object" and "properties" not in schema and where:
        return


def _told(contents: list[Json]) -> tuple[str, str, int]:
    results, last = 0, ""
    for turn in reversed(contents):
        results += sum("functionResponse" in part for part in turn["parts"])
        if turn["role"] == "user":
            text = " ".join(part.get("text", "") for part in turn["parts"])
            last = last or unmarked(text)
            if mark := marked(text):
                return last, mark, results
    return last, "", results


def _parts(part: Part) -> Json:
    match part:
        case Use():
            call = {"functionCall": {"name": part.name, "args": part.input}}
            return call | {"thoughtSignature": seal(part.name)}
        case Think():
            return {"text": part.text, "thought": True}
        case Text():
            return {"text": part.text}
        case _:
            return {"text": ""}


def _whole(model: str, scene: Scene, used: Used) -> Json:
    return {
        "candidates": [_candidate([_parts(part) for part in scene.parts], scene.stop or "STOP")],
        "usageMetadata": {
            "promptTokenCount": used.all_input,
            "cachedContentTokenCount": used.read,
            "candidatesTokenCount": used.output,
            "totalTokenCount": used.all_input + used.output,
        },
        "modelVersion": scene.model or model,
        "responseId": secrets.token_hex(8),
        "model": model,
        "id": secrets.token_hex(8),
    }


def _candidate(parts: list[Json], reason: str | None) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    return candidate | ({"finishReason": reason} if reason else {})


def _chunks(answer: Json, scene: Scene) -> Iterator[tuple[bytes, bool]]:
    rest = {name: answer[name] for name in ("modelVersion", "responseId")}
    early = answer["usageMetadata"] | {"candidatesTokenCount": 0}
    for part in answer["candidates"][0]["content"]["parts"]:
        texts = pieces(part["text"], scene.deltas) if "text" in part else [""]
        for text in texts:
            one = part | {"text": text} if "text" in part else part
            chunk = {"candidates": [_candidate([one], None)], "usageMetadata": early}
            yield f"data: {json.dumps(chunk | rest)}\r\n\r\n".encode(), True
    end = {"candidates": [_candidate([{"text": ""}], answer["candidates"][0]["finishReason"])]}
    last = end | {"usageMetadata": answer["usageMetadata"]} | rest
    yield f"data: {json.dumps(last)}\r\n\r\n".encode(), False
