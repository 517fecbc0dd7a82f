"""OpenAI's Chat Completions, and Mistral's, which looks alike and refuses other things."""

import asyncio
import json
import re
import secrets
import time
from dataclasses import replace
from typing import Any

from aiohttp import web

from tests.support.provider.bill import Used
from tests.support.provider.caching import size
from tests.support.provider.exchange import Exchange, foreign_error, foreign_plain, pieces, streamed
from tests.support.provider.scene import Scene, Text, Think, Use, marked, quoting, unmarked
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused, bad

Json = dict[str, Any]
SHARED = frozenset({
    "model", "messages", "stream", "temperature", "top_p", "tools", "tool_choice", "stop",
    "response_format", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "n",
    "max_tokens", "reasoning_effort", "metadata", "prompt_cache_key",
})  # fmt: skip
OPENAI = SHARED | {
    "max_completion_tokens", "stream_options", "seed", "user", "store", "service_tier", "logprobs",
    "verbosity", "safety_identifier",
}  # fmt: skip
DEEPSEEK = SHARED | {"stream_options", "thinking"}
MISTRAL = SHARED | {"random_seed", "safe_prompt", "prompt_mode", "prediction"}
PARTS = ("text", "image_url", "input_audio", "file", "refusal", "thinking", "document_url")
NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "enum", "not")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")


async def openai(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /openai/v1/chat/completions"""
    return await _complete(provider, exchange, "openai")


async def mistral(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /mistral/v1/chat/completions"""
    return await _complete(provider, exchange, "mistral")


async def deepseek(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /deepseek/chat/completions"""
    return await _complete(provider, exchange, "deepseek")


async def _complete(provider: Provider, exchange: Exchange, kind: str) -> web.StreamResponse:
    try:
        check_bearer(provider, exchange)
        body = exchange.body
        _check(body, kind)
    except Refused as refused:
        exchange.call.why = refused.message
        return foreign_error(exchange, refused.status, refused.message)
    words, mark, results = told(body["messages"])
    scene = quoting(provider.scene(mark, results), words)
    if scene.first:
        await asyncio.sleep(scene.first)
    if scene.status >= 400:
        return foreign_error(exchange, scene.status, scene.message, scene)
    prompt = size([body["messages"], body.get("tools")])
    output = sum(_size(part) for part in scene.parts)
    used = replace(Used(input=prompt, output=output), **scene.usage)
    answer = _answer(body, scene, used, kind)
    if body.get("stream"):
        usage = bool((body.get("stream_options") or {}).get("include_usage")) or kind == "mistral"
        return await streamed(provider, exchange, scene, _chunks(answer, scene, usage), used)
    provider.charge(exchange.call, answer, used)
    return foreign_plain(exchange, answer)


def check_bearer(provider: Provider, exchange: Exchange) -> None:
    if exchange.header.get("authorization") != f"Bearer {provider.key}":
        raise Refused(401, "Incorrect API key provided.")
    for name in exchange.header:
        if name.startswith(("anthropic-", "x-claude-code-")):
            raise bad(f"a header of another provider: {name}")


def told(messages: list[Json]) -> tuple[str, str, int]:
    """The user's last words, the marker that holds, and the tool results since."""
    results, last = 0, ""
    for turn in reversed(messages):
        if turn["role"] == "tool":
            results += 1
        elif turn["role"] == "user":
            text = turn["content"] if isinstance(turn["content"], str) else json.dumps(turn)
            last = last or unmarked(text)
            if isinstance(turn["content"], list):
                text = " ".join(part.get("text", "") for part in turn["content"])
            if mark := marked(text):
                return last, mark, results
    return last, "", results


def _check(body: Json, kind: str) -> None:
    known = {"openai": OPENAI, "mistral": MISTRAL, "deepseek": DEEPSEEK}[kind]
    for name in body:
        if name not in known:
            raise bad(f"Unrecognized request argument supplied: {name}")
    if kind == "openai" and "max_tokens" in body:
        raise bad("'max_tokens' is not supported with this model. Use 'max_completion_tokens'.")
    if kind == "openai" and body.get("temperature", 1) != 1:
        raise bad("'temperature' does not support this value with this model.")
    names = [tool["function"]["name"] for tool in body.get("tools") or []]
    if body.get("tools") == []:
        raise bad("[] is too short - 'tools'")
    for name in names:
        if not NAME.fullmatch(name):
            raise bad(f"Invalid 'tools': {name} does not match the pattern")
    check_choice(body, names)
    for tool in body.get("tools") or []:
        check_schema(tool["function"]["name"], tool["function"].get("parameters"))
    thinks = (body.get("thinking") or {}).get("type") == "enabled"
    _turns(body["messages"], kind if kind != "deepseek" or thinks else "openai")


def check_choice(body: Json, names: list[str]) -> None:
    choice = body.get("tool_choice")
    if choice is not None and not names:
        raise bad("'tool_choice' is only allowed when 'tools' are specified.")
    if isinstance(choice, dict):
        wanted = choice.get("name") or choice.get("function", {}).get("name")
        if wanted not in names:
            raise bad("Tool choice 'function' not found in 'tools' parameter.")


def _turns(messages: list[Json], kind: str) -> None:
    waiting: list[str] = []
    for where, turn in enumerate(messages):
        role = turn.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise bad(f"messages[{where}].role: invalid value {role!r}")
        if role == "tool":
            if turn.get("tool_call_id") not in waiting:
                raise bad(f"messages[{where}]: no tool call with this id came before")
            waiting.remove(turn["tool_call_id"])
            continue
        if waiting:
            raise bad(f"tool_call_ids did not have response messages: {', '.join(waiting)}")
        if role == "user" and not turn.get("content"):
            raise bad(f"messages[{where}].content: must not be empty")
        _parts(where, turn)
        if kind == "deepseek" and turn.get("tool_calls") and not turn.get("reasoning_content"):
            raise bad("The reasoning_content in the thinking mode must be passed back to the API.")
        waiting = [_call(where, call, kind) for call in turn.get("tool_calls") or []]
        if role == "assistant" and not turn.get("content") and not waiting:
            raise bad(f"messages[{where}]: assistant message must have content or tool_calls")
    if waiting:
        raise bad(f"tool_call_ids did not have response messages: {', '.join(waiting)}")


def _parts(where: int, turn: Json) -> None:
    content = turn.get("content")
    for part in content if isinstance(content, list) else []:
        if part.get("type") not in PARTS:
            raise bad(f"messages[{where}].content: Invalid value: '{part.get('type')}'.")


def check_schema(name: str, schema: Json | None) -> None:
    """Raises Refused for what a function's parameters may not be."""
    if not schema:
        return
    if schema.get("type") != "object" or any(word in schema for word in NOT_AT_THE_TOP):
        raise bad(
            f"Invalid schema for function '{name}': schema must have type 'object' and not have "
            "'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
        )


def _call(where: int, call: Json, kind: str) -> str:
    id = str(call.get("id", ""))
    json.loads(call["function"]["arguments"])
    if kind == "mistral" and not MISTRAL_ID.fullmatch(id):
        raise bad(f"messages[{where}]: Tool call id was {id} but must be a-z, A-Z, 0-9, length 9")
    if kind == "openai" and not 0 < len(id) <= 40:
        raise bad(f"messages[{where}].tool_calls.id: string too long (40 at most)")
    return id


def _size(part: object) -> int:
    return size(vars(part))


def _answer(body: Json, scene: Scene, used: Used, kind: str) -> Json:
    text = "".join(part.text for part in scene.parts if isinstance(part, Text))
    thought = "".join(part.text for part in scene.parts if isinstance(part, Think))
    calls = [_made(number, p, kind) for number, p in enumerate(_uses(scene))]
    turn: Json = {"role": "assistant", "content": text or None}
    if calls:
        turn["tool_calls"] = calls
    if thought:
        turn["reasoning_content"] = thought
    reason = scene.stop or ("tool_calls" if calls else "stop")
    return {
        "id": f"chatcmpl-{secrets.token_hex(8)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": scene.model or body["model"],
        "choices": [{"index": 0, "message": turn, "finish_reason": reason}],
        "usage": _usage(used),
    }


def _uses(scene: Scene) -> list[Use]:
    return [part for part in scene.parts if isinstance(part, Use)]


def _made(number: int, part: Use, kind: str) -> Json:
    id = secrets.token_hex(5)[:9] if kind == "mistral" else f"call_{secrets.token_hex(8)}"
    function = {"name": part.name, "arguments": json.dumps(part.input, ensure_ascii=False)}
    return {"id": part.id or id, "type": "function", "function": function}


def _usage(used: Used) -> Json:
    """OpenAI counts cached tokens within the prompt's."""
    return {
        "prompt_tokens": used.all_input,
        "completion_tokens": used.output,
        "total_tokens": used.all_input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.read},
    }


def _chunks(answer: Json, scene: Scene, with_usage: bool) -> list[tuple[bytes, bool]]:
    """The stream, each event with whether it is content."""
    turn, reason = answer["choices"][0]["message"], answer["choices"][0]["finish_reason"]
    found: list[tuple[bytes, bool]] = [
        (_chunk(answer, {"role": "assistant", "content": ""}), False)
    ]
    for key in ("reasoning_content", "content"):
        for piece in pieces(turn.get(key) or "", scene.deltas):
            found.append((_chunk(answer, {key: piece}), True))
    for index, call in enumerate(turn.get("tool_calls") or []):
        function = call["function"]
        opened = call | {"index": index, "function": function | {"arguments": ""}}
        found.append((_chunk(answer, {"tool_calls": [opened]}), False))
        for piece in pieces(function["arguments"], scene.deltas):
            delta = {"index": index, "function": {"arguments": piece}}
            found.append((_chunk(answer, {"tool_calls": [delta]}), True))
    usage = answer["usage"] if with_usage else None
    found.append((_chunk(answer, {}, reason), False))
    if usage:
        found.append((_event({**_base(answer), "choices": [], "usage": usage}), False))
    return [*found, (b"data: [DONE]\n\n", False)]


def _base(answer: Json) -> Json:
    names = ("id", "created", "model")
    return {name: answer[name] for name in names} | {"object": "chat.completion.chunk"}


def _chunk(answer: Json, delta: Json, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return _event({**_base(answer), "choices": [choice]})


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
