"""Building a canonical request from an OpenAI one: what both of its APIs share."""

import re
from collections.abc import Mapping
from typing import Any

from libs.common.contracts.usage import Tokens
from libs.common.errors import InvalidRequest
from services.gateway.providers.anthropic import tokens
from services.gateway.providers.reading import reminder
from services.gateway.providers.text import load

Json = dict[str, Any]

# OpenAI lets the model write until it is done; the canonical form wants a number, and the
# ledger reserves it.
DEFAULT_MAX_TOKENS = 16_384
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}
EFFORTS |= {"xhigh": "xhigh", "max": "max"}
JSON_ONLY: Json = {"type": "text", "text": "Answer with one JSON object and nothing else."}
_DATA_URL = re.compile(r"^data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.I)


# What reading a body of another form raises, beside the errors that name a field.
MISFORMED = (AttributeError, TypeError, KeyError, ValueError)


class Conversation:
    """Messages in canonical order: roles alternate, tool results stand first in their turn,
    the system's words before the first message are the system prompt."""

    def __init__(self) -> None:
        self.system: list[Json] = []
        self.messages: list[Json] = []

    def say(self, role: str, blocks: list[Json]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": list(blocks)})

    def instruct(self, text: str) -> None:
        """In mid-conversation the words stay in their place, as the user's: not every model
        takes a system message there."""
        if not text:
            return
        if self.messages:
            self.say("user", [{"type": "text", "text": reminder(text)}])
        else:
            self.system.append({"type": "text", "text": text})

    def answer_call(self, id: str, content: list[Json]) -> None:
        """The result of a tool call."""
        result = {"type": "tool_result", "tool_use_id": id, "content": content}
        self.say("user", [result])
        turn = self.messages[-1]["content"]
        turn.sort(key=lambda block: block["type"] != "tool_result")


def start(body: Json, ignored: frozenset[str], read: frozenset[str]) -> Json:
    """The fields that are the same in both forms. Raises InvalidRequest for unknown ones."""
    for name, value in body.items():
        if name not in read and name not in ignored and value is not None:
            raise InvalidRequest(f"{name}: this field is not supported here; leave it out")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise InvalidRequest("model: Field required")
    out: Json = {"model": body["model"], "stream": bool(body.get("stream"))}
    for name in ("temperature", "top_p"):
        if body.get(name) is not None:
            out[name] = number(body, name)
    user = body.get("safety_identifier") or body.get("user")
    if isinstance(user, str) and user:
        out["metadata"] = {"user_id": user}
    return out


def number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{name}: Input should be a valid number")
    return value


def limit(body: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidRequest(f"{name}: Input should be an integer of at least 1")
        return value
    return DEFAULT_MAX_TOKENS


def put_effort(out: Json, effort: Any, where: str) -> None:
    """How hard to think; "none" switches it off, nothing leaves it to the model."""
    if effort is None:
        return
    if effort == "none":
        out["thinking"] = {"type": "disabled"}
        return
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise InvalidRequest(f"{where}: must be one of none, {', '.join(EFFORTS)}")
    out["thinking"] = {"type": "adaptive"}
    out.setdefault("output_config", {})["effort"] = EFFORTS[effort]


def put_schema(out: Json, schema: Any, where: str) -> None:
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{where}: Input should be a JSON schema")
    wanted = {"type": "json_schema", "schema": schema}
    out.setdefault("output_config", {})["format"] = wanted


def tool(function: Any, where: str) -> Json:
    """A function tool; without parameters it takes an empty object."""
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidRequest(f"{where}.name: Field required")
    made: Json = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("strict"):
        made["strict"] = True
    return made


def put_choice(out: Json, choice: Any, parallel: Any) -> None:
    """`choice` is a word, or the name of one function under `name`."""
    words = {"auto": "auto", "none": "none", "required": "any"}
    made: Json = {}
    if isinstance(choice, dict) and isinstance(choice.get("name"), str):
        made = {"type": "tool", "name": choice["name"]}
    elif isinstance(choice, str) and choice in words:
        made = {"type": words[choice]}
    elif choice is not None:
        raise InvalidRequest("tool_choice: must be auto, none, required or one function")
    if parallel is False and out.get("tools"):
        made = made or {"type": "auto"}
        if made["type"] != "none":
            made["disable_parallel_tool_use"] = True
    if made and out.get("tools"):
        out["tool_choice"] = made


def image(url: Any, where: str) -> Json:
    return {"type": "image", "source": source(url, where)}


def pdf(data: Any, name: Any, where: str) -> Json:
    made: Json = {"type": "document", "source": source(data, where, "application/pdf")}
    if isinstance(name, str) and name:
        made["title"] = name
    return made


def source(url: Any, where: str, kind: str = "image/png") -> Json:
    if not isinstance(url, str) or not url:
        raise InvalidRequest(f"{where}: Input should be a data: or https: address")
    if url.startswith(("http://", "https://")):
        return {"type": "url", "url": url}
    found = _DATA_URL.match(url)
    if not found:
        raise InvalidRequest(f"{where}: must be https: or data:…;base64,…")
    return {"type": "base64", "media_type": found[1] or kind, "data": url[found.end() :]}


def arguments(text: Any, where: str) -> Json:
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}: Input should be a string of JSON")
    try:
        value = load(text or "{}")
    except ValueError:
        raise InvalidRequest(f"{where}: this is no valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}: this is no JSON object")
    return value


def merged(usage: Json, more: object) -> Json:
    """Usage that is told bit by bit; what is none is left out."""
    return usage | more if isinstance(more, dict) else usage


def prompt_tokens(usage: Json) -> tuple[Tokens, int]:
    """The tokens, and how many OpenAI would call the prompt's: cached ones included."""
    told = tokens(usage) or Tokens()
    written = told.cache_write_5m + told.cache_write_1h
    return told, told.input + told.cache_read + written


_TOO_LONG = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")
_FIELD = re.compile(r"^([a-z_]+(?:\.[a-z0-9_]+)*): ")
_KINDS = {
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "permission_error": ("invalid_request_error", "permission_denied"),
    "not_found_error": ("invalid_request_error", "not_found"),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "invalid_request_error": ("invalid_request_error", None),
    "request_too_large": ("invalid_request_error", "request_too_large"),
}


def render_error(status: int, type: str, message: str, data: Mapping[str, Any]) -> Json:
    """OpenAI's shape and words: "maximum context length" is what its clients match on."""
    kind, code = _KINDS.get(type, ("server_error", None))
    if status == 404 and "model" in message:
        code = "model_not_found"
    if found := _TOO_LONG.search(message):
        code = "context_length_exceeded"
        message = (
            f"This model's maximum context length is {found[2]} tokens. However, your messages "
            f"resulted in {found[1]} tokens. ({message})"
        )
    field = _FIELD.match(message)
    error: Json = {
        "message": message,
        "type": kind,
        "param": field[1] if field else None,
        "code": code,
    }
    details = {name: value for name, value in data.items() if name not in ("headers", "status")}
    return {"error": error | ({"details": details} if details else {})}
