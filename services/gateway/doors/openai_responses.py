"""Responses clients (developers.openai.com/api/reference/responses).

Nothing is stored: the whole conversation comes with every request. Thinking travels as a
reasoning item whose `encrypted_content` is the signature, and comes back the same way.
"""

import time
from typing import Any

from libs.common.errors import InvalidRequest
from services.gateway.doors import canonical
from services.gateway.doors.canonical import Conversation, Json, render_error
from services.gateway.doors.response_object import response_of
from services.gateway.doors.response_stream import Stream

__all__ = ["Stream", "from_canonical", "render_error", "to_canonical"]

READ = frozenset(
    (
        "model",
        "input",
        "instructions",
        "max_output_tokens",
        "temperature",
        "top_p",
        "stream",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "user",
        "safety_identifier",
    )
)
IGNORED = frozenset(
    (
        "include",
        "metadata",
        "client_metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
        "store",
        "stream_options",
        "truncation",
    )
)
NEUTRAL: Json = {"background": False, "top_logprobs": 0}
KEPT_THERE = {
    "previous_response_id": "send the whole conversation as `input` instead",
    "conversation": "send the whole conversation as `input` instead",
    "prompt": "send the prompt's text as `instructions` instead",
}


def to_canonical(body: Json) -> Json:
    """Raises InvalidRequest, naming the field."""
    try:
        return _canonical(body)
    except canonical.MISFORMED:
        raise InvalidRequest("the request is not in the form of the Responses API") from None


def _canonical(body: Json) -> Json:
    for name, advice in KEPT_THERE.items():
        if body.get(name) is not None:
            raise InvalidRequest(f"{name}: nothing is stored here; {advice}")
    body = {name: v for name, v in body.items() if name not in NEUTRAL or v != NEUTRAL[name]}
    out = canonical.start(body, IGNORED, READ)
    out["max_tokens"] = canonical.limit(body, "max_output_tokens")
    talk = Conversation()
    instructions = body.get("instructions")
    if instructions:
        talk.instruct(str(instructions))
    _read_input(talk, body.get("input"))
    _put_tools(out, body)
    _put_text(out, body.get("text"), talk)
    _put_reasoning(out, body.get("reasoning"))
    if talk.system:
        out["system"] = talk.system
    out["messages"] = talk.messages
    return out


def from_canonical(message: Json) -> Json:
    return response_of(message, int(time.time()))


def _read_input(talk: Conversation, given: Any) -> None:
    if isinstance(given, str) and given:
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise InvalidRequest("input: Input should be a text or a list of items")
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidRequest(f"input.{index}: Input should be an object")
        _add(talk, item, f"input.{index}")
    if not talk.messages:
        raise InvalidRequest("input: at least one user message is required")


def _add(talk: Conversation, item: Json, where: str) -> None:
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "message":
        _say(talk, item, where)
    elif kind == "function_call":
        given = canonical.arguments(item.get("arguments"), f"{where}.arguments")
        name, id = item.get("name"), item.get("call_id")
        if not isinstance(name, str) or not isinstance(id, str):
            raise InvalidRequest(f"{where}: a function_call needs name and call_id")
        talk.say("assistant", [{"type": "tool_use", "id": id, "name": name, "input": given}])
    elif kind == "function_call_output":
        id = item.get("call_id")
        if not isinstance(id, str):
            raise InvalidRequest(f"{where}.call_id: Field required")
        talk.answer_call(id, _blocks(item.get("output"), f"{where}.output"))
    elif kind == "reasoning":
        talk.say("assistant", _thinking(item))
    else:
        raise InvalidRequest(f"{where}.type: {kind!r} items are not supported here")


def _say(talk: Conversation, item: Json, where: str) -> None:
    role = item.get("role")
    blocks = _blocks(item.get("content"), f"{where}.content")
    if role in ("system", "developer"):
        talk.instruct("\n".join(block["text"] for block in blocks if "text" in block))
    elif role in ("user", "assistant"):
        talk.say(role, blocks)
    else:
        raise InvalidRequest(f"{where}.role: must be user, assistant, system or developer")


def _thinking(item: Json) -> list[Json]:
    """Only what came from here carries a signature; other reasoning cannot be read."""
    signature = item.get("encrypted_content")
    if not isinstance(signature, str) or not signature:
        return []
    parts = item.get("summary") or []
    text = "\n\n".join(str(part.get("text") or "") for part in parts)
    return [{"type": "thinking", "thinking": text, "signature": signature}]


def _blocks(content: Any, where: str) -> list[Json]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise InvalidRequest(f"{where}: Input should be a text or a list of parts")
    blocks = [_block(part, f"{where}.{at}") for at, part in enumerate(content)]
    return [block for block in blocks if block.get("text") != ""]


def _block(part: Any, where: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    if kind == "input_image" and part.get("image_url"):
        return canonical.image(part["image_url"], f"{where}.image_url")
    if kind == "input_file" and (data := part.get("file_data") or part.get("file_url")):
        return canonical.pdf(data, part.get("filename"), f"{where}.file_data")
    raise InvalidRequest(
        f"{where}.type: {kind!r} is not supported so; send input_text, input_image by image_url "
        "or input_file by file_data"
    )


def _put_tools(out: Json, body: Json) -> None:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise InvalidRequest("tools: Input should be a list")
    made = []
    for at, each in enumerate(tools):
        if not isinstance(each, dict) or each.get("type") != "function":
            raise InvalidRequest(f"tools.{at}.type: only function tools are supported")
        made.append(canonical.tool(each, f"tools.{at}"))
    if made:
        out["tools"] = made
    canonical.put_choice(out, body.get("tool_choice"), body.get("parallel_tool_calls"))


def _put_text(out: Json, text: Any, talk: Conversation) -> None:
    wanted = text.get("format") if isinstance(text, dict) else None
    wanted = wanted if isinstance(wanted, dict) else {"type": "text"}
    kind = wanted.get("type")
    if kind == "json_schema":
        canonical.put_schema(out, wanted.get("schema"), "text.format.schema")
    elif kind == "json_object":
        talk.system.append(dict(canonical.JSON_ONLY))
    elif kind != "text":
        raise InvalidRequest("text.format.type: must be text, json_object or json_schema")


def _put_reasoning(out: Json, reasoning: Any) -> None:
    if not isinstance(reasoning, dict):
        return
    canonical.put_effort(out, reasoning.get("effort"), "reasoning.effort")
    if reasoning.get("summary") and out.get("thinking", {}).get("type") == "adaptive":
        out["thinking"]["display"] = "summarized"
