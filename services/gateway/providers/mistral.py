"""Mistral: Chat Completions with rules of its own.

Source: docs.mistral.ai/api. Unknown fields are refused; a tool call's id has nine letters and
digits; nothing but the assistant may follow a tool message.
"""

import hashlib
import re
from collections import Counter
from functools import partial

from libs.common.catalogue import ModelFacts
from services.gateway import signatures
from services.gateway.providers import openai_chat
from services.gateway.providers.base import Json, Origin, Translated
from services.gateway.providers.chat_answers import Stream as ChatStream
from services.gateway.providers.chat_answers import answer, error_of, usage_of
from services.gateway.providers.openai_chat import headers, path
from services.gateway.providers.reading import (
    Request,
    Turn,
    check_media,
    read,
    reminder,
    text_of,
)
from services.gateway.providers.text import dump_text

__all__ = ["Stream", "error_of", "from_upstream", "headers", "path", "to_upstream", "usage_of"]

NAME = "mistral"
_ID = re.compile(r"^[a-zA-Z0-9]{9}$")

Stream = partial(ChatStream, dialect=NAME)


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    dropped: Counter[str] = Counter()
    asked = read(request, dropped)
    check_media(asked, facts, model)
    body: Json = {"model": model, "messages": _messages(asked, model, dropped)}
    if request.get("stream"):
        body["stream"] = True
    openai_chat.put_limits(body, request, facts, "max_tokens", dropped)
    for name in ("temperature", "top_p"):
        if request.get(name) is not None:
            body[name] = request[name]
    if request.get("stop_sequences"):
        body["stop"] = request["stop_sequences"]
    openai_chat.put_tools(body, asked, facts, dropped)
    if body.get("tool_choice") == "required":
        body["tool_choice"] = "any"
    if asked.schema is not None:
        body["response_format"] = openai_chat.format_of(asked.schema)
    _put_effort(body, asked, facts, dropped)
    return Translated(body, dict(dropped), names=asked.names)


def _put_effort(
    body: Json, asked: Request, facts: ModelFacts | None, dropped: Counter[str]
) -> None:
    """It thinks or not; there is nothing between."""
    thinks = facts is not None and facts.thinking != "none"
    if not thinks and asked.effort not in ("", "off"):
        dropped["thinking"] += 1
    elif thinks and asked.effort:
        body["reasoning_effort"] = "none" if asked.effort == "off" else "high"


def _messages(asked: Request, model: str, dropped: Counter[str]) -> list[Json]:
    out: list[Json] = []
    if asked.system:
        out.append({"role": "system", "content": "\n\n".join(asked.system)})
    for turn in asked.turns:
        if turn.role == "assistant":
            out += _assistant(turn, model, dropped)
        else:
            _user(turn, out)
    if out and out[-1]["role"] == "assistant" and not out[-1].get("tool_calls"):
        out[-1]["prefix"] = True
    return out


def _assistant(turn: Turn, model: str, dropped: Counter[str]) -> list[Json]:
    thought = _thought(turn, model, dropped)
    text = text_of(turn.blocks)
    calls = [
        {
            "id": _call_id(block["id"]),
            "type": "function",
            "function": {"name": block["name"], "arguments": dump_text(block.get("input") or {})},
        }
        for block in turn.blocks
        if block["type"] == "tool_use"
    ]
    if not text and not calls:
        return []
    out: Json = {"role": "assistant", "content": text}
    if thought:
        out["content"] = [
            {"type": "thinking", "thinking": [{"type": "text", "text": thought}]},
            *([{"type": "text", "text": text}] if text else []),
        ]
    if calls:
        out["tool_calls"] = calls
    return [out]


def _thought(turn: Turn, model: str, dropped: Counter[str]) -> str:
    """The thinking that this very model wrote."""
    kept: list[str] = []
    for block in turn.blocks:
        if block["type"] in ("thinking", "redacted_thinking"):
            made = signatures.read(str(block.get("signature") or ""))
            if made and made.dialect == NAME and made.model == model and block.get("thinking"):
                kept.append(block["thinking"])
            else:
                dropped["thinking"] += 1
    return "\n".join(kept)


def _call_id(id: str) -> str:
    return id if _ID.match(id) else hashlib.sha256(id.encode()).hexdigest()[:9]


def _user(turn: Turn, out: list[Json]) -> None:
    """What the user says beside tool results is told within the last of them: a user message
    after a tool message is refused. Neighbouring user messages become one."""
    parts: list[Json] = []
    if turn.role == "system":
        text = text_of(turn.blocks)
        parts = [{"type": "text", "text": reminder(text)}] if text else []
    for block in turn.blocks if turn.role == "user" else ():
        if block["type"] == "tool_result":
            text = openai_chat.result_text(block)
            media = [_part(each) for each in block["content"] if each["type"] != "text"]
            content = [{"type": "text", "text": text}, *media] if media else text
            id = _call_id(block["tool_use_id"])
            out.append({"role": "tool", "tool_call_id": id, "content": content})
        else:
            parts.append(_part(block))
    if not parts:
        return
    if out and out[-1]["role"] == "tool":
        parts = [_marked(part) for part in parts]
    if out and out[-1]["role"] in ("tool", "user"):
        out[-1]["content"] = _flat([*_as_parts(out[-1]["content"]), *parts])
    else:
        out.append({"role": "user", "content": _flat(parts)})


def _marked(part: Json) -> Json:
    """The user's words among a tool's, told apart."""
    text = part.get("text")
    if text is None or text.startswith("<system-reminder>"):
        return part
    return {"type": "text", "text": f"<user-message>\n{text}\n</user-message>"}


def _as_parts(content: str | list[Json]) -> list[Json]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _flat(parts: list[Json]) -> str | list[Json]:
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts


def _part(block: Json) -> Json:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    url = openai_chat.url_of(block["source"])
    if block["type"] == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "document_url", "document_url": url}


def from_upstream(response: Json, model: str) -> Json:
    return answer(response, model, NAME)
