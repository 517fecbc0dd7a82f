"""OpenAI Chat Completions, and everything compatible with it.

Source: developers.openai.com/api/reference/chat. Servers differ in a few fields; the catalogue
provider of the model (`facts.provider`) tells which, an unknown one gets the common ground.
"""

import hashlib
import re
from collections import Counter

from libs.common.catalogue import ModelFacts
from libs.common.errors import InvalidRequest
from services.gateway import signatures
from services.gateway.providers import efforts
from services.gateway.providers.base import Json, Options, Origin, Translated
from services.gateway.providers.chat_answers import NAME, Stream, answer, error_of, usage_of
from services.gateway.providers.reading import Request, Turn, check_media, read, reminder, text_of
from services.gateway.providers.schemas import for_openai, is_strict
from services.gateway.providers.text import dump_text

__all__ = [
    "Stream",
    "error_of",
    "from_upstream",
    "headers",
    "path",
    "to_upstream",
    "usage_of",
]

# OpenAI itself, here or at Azure: its newest fields, system messages anywhere, PDF files.
GENUINE = frozenset(("openai", "azure"))
MAX_STOPS = 4
MAX_TOOLS = 128
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


def path(model: str, stream: bool, options: Options) -> str:
    return options.get("path", "/chat/completions").format(model=model, **options)


def headers(credential: str, options: Options) -> dict[str, str]:
    if not credential:
        return {}
    if options.get("auth") == "api-key":
        return {"api-key": credential}
    return {"authorization": f"Bearer {credential}"}


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    dropped: Counter[str] = Counter()
    asked = read(request, dropped)
    provider = _provider(model, facts)
    thinks = facts.thinking != "none" if facts else efforts.reasons(model)
    check_media(asked, facts, model)
    body: Json = {"model": model, "messages": _messages(asked, model, provider, dropped)}
    if request.get("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    put_limits(body, request, facts, "max_tokens", dropped)
    if provider in GENUINE or efforts.reasons(model):
        body["max_completion_tokens"] = body.pop("max_tokens")
    _put_sampling(body, request, facts, thinks and provider != "deepseek", dropped)
    put_tools(body, asked, facts, dropped)
    if asked.schema is not None:
        _put_schema(body, asked.schema, provider)
    _put_effort(body, asked, model, provider, thinks, dropped)
    return Translated(body, dict(dropped), names=asked.names)


def _provider(model: str, facts: ModelFacts | None) -> str:
    """Whose rules count. DeepSeek's own names have no slash; those of its weights elsewhere do."""
    if facts:
        return facts.provider
    return "deepseek" if model.startswith("deepseek-") else ""


def put_limits(
    body: Json, request: Json, facts: ModelFacts | None, field: str, dropped: Counter[str]
) -> None:
    """The output limit, lowered to what the model can write: Claude Code asks for 64 000."""
    wanted = request.get("max_tokens")
    if not isinstance(wanted, int):
        raise InvalidRequest("max_tokens: Field required")
    ceiling = facts.max_output if facts and facts.max_output else wanted
    if wanted > ceiling:
        dropped["max_tokens"] += 1
    body[field] = min(wanted, ceiling)


def _put_sampling(
    body: Json, request: Json, facts: ModelFacts | None, fixed: bool, dropped: Counter[str]
) -> None:
    fixed = not facts.sampling if facts else fixed
    for name in ("temperature", "top_p"):
        if request.get(name) is not None:
            if fixed:
                dropped[name] += 1
            else:
                body[name] = request[name]
    stops = request.get("stop_sequences")
    if stops and fixed:
        raise InvalidRequest(f"stop_sequences: {body['model']} takes none; leave them out")
    if stops and len(stops) > MAX_STOPS:
        raise InvalidRequest(f"stop_sequences: {body['model']} takes at most {MAX_STOPS}")
    if stops:
        body["stop"] = stops


def put_tools(body: Json, asked: Request, facts: ModelFacts | None, dropped: Counter[str]) -> None:
    if not asked.tools:
        return
    check_tools(asked, body["model"])
    body["tools"] = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": for_openai(tool.schema),
                **({"strict": True} if tool.strict and is_strict(tool.schema) else {}),
            },
        }
        for tool in asked.tools
    ]
    choice = choice_of(asked, facts, dropped)
    if isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": choice["name"]}}
    if choice:
        body["tool_choice"] = choice
    if asked.choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False


def check_tools(asked: Request, model: str) -> None:
    if len(asked.tools) > MAX_TOOLS:
        raise InvalidRequest(f"tools: {model} takes at most {MAX_TOOLS}, got {len(asked.tools)}")
    for at, tool in enumerate(asked.tools):
        if not _TOOL_NAME.match(tool.name):
            raise InvalidRequest(
                f"tools.{at}.name: {tool.name!r} must be 1 to 64 letters, digits, '_' or '-' "
                f"for {model}"
            )


def choice_of(asked: Request, facts: ModelFacts | None, dropped: Counter[str]) -> str | Json:
    """OpenAI's word for the tool choice, or the canonical choice of one tool; "" for none."""
    kind = asked.choice.get("type")
    if kind in ("any", "tool") and facts and not facts.forced_tools:
        dropped["tool_choice"] += 1
        return "auto"
    if kind == "tool":
        return asked.choice
    return {"auto": "auto", "any": "required", "none": "none"}.get(str(kind), "")


def _put_schema(body: Json, schema: Json, provider: str) -> None:
    if provider == "deepseek":
        # It only knows "some JSON object": the schema is told in words.
        body["response_format"] = {"type": "json_object"}
        order = f"Answer with one JSON object that follows this schema:\n{dump_text(schema)}"
        body["messages"] = [{"role": "system", "content": order}, *body["messages"]]
        return
    body["response_format"] = format_of(schema)


def format_of(schema: Json) -> Json:
    named = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
    return {"type": "json_schema", "json_schema": named}


def _put_effort(
    body: Json, asked: Request, model: str, provider: str, thinks: bool, dropped: Counter[str]
) -> None:
    if provider == "deepseek":
        _put_deepseek(body, asked, dropped)
    elif not thinks:
        if asked.effort not in ("", "off"):
            dropped["thinking"] += 1
    elif efforts.version(model) >= (5, 4) and body.get("tools"):
        # "Function tools with reasoning_effort are not supported … in /v1/chat/completions":
        # only an explicit "none" is taken. The dialect openai-responses keeps both.
        body["reasoning_effort"] = "none"
        if asked.effort not in ("", "off"):
            dropped["thinking"] += 1
    elif effort := efforts.nearest(asked.effort, model):
        body["reasoning_effort"] = effort


def _put_deepseek(body: Json, asked: Request, dropped: Counter[str]) -> None:
    """Thinking is on unless switched off; then every assistant message must bring its
    `reasoning_content` (api-docs.deepseek.com/guides/thinking_mode)."""
    on = asked.effort not in ("", "off")
    body["thinking"] = {"type": "enabled" if on else "disabled"}
    if not on:
        for each in body["messages"]:
            each.pop("reasoning_content", None)
        return
    body["reasoning_effort"] = {"low": "low", "max": "max"}.get(asked.effort, "high")
    if body.pop("tool_choice", "auto") != "auto":
        dropped["tool_choice"] += 1
    for each in body["messages"]:
        if each["role"] == "assistant":
            each.setdefault("reasoning_content", "")


def _messages(asked: Request, model: str, provider: str, dropped: Counter[str]) -> list[Json]:
    out: list[Json] = []
    if asked.system:
        out.append({"role": "system", "content": "\n\n".join(asked.system)})
    for turn in asked.turns:
        if turn.role == "assistant":
            out += _assistant(turn, model, provider, dropped)
        elif turn.role == "system":
            out += _system(turn, provider)
        else:
            out += _user(turn, provider)
    return out


def _system(turn: Turn, provider: str) -> list[Json]:
    """In its place: moved to the front it would spoil the cache of all that follows."""
    text = text_of(turn.blocks)
    if not text:
        return []
    if provider in GENUINE:
        return [{"role": "system", "content": text}]
    return [{"role": "user", "content": reminder(text)}]


def _assistant(turn: Turn, model: str, provider: str, dropped: Counter[str]) -> list[Json]:
    text = text_of(turn.blocks)
    calls = [
        {
            "id": short_id(block["id"]),
            "type": "function",
            "function": {
                "name": block["name"],
                "arguments": dump_text(block.get("input") or {}),
            },
        }
        for block in turn.blocks
        if block["type"] == "tool_use"
    ]
    if not text and not calls:
        _thoughts(turn, model, provider, dropped)
        return []
    out: Json = {"role": "assistant", "content": text or None}
    if calls:
        out["tool_calls"] = calls
    return [out | _thoughts(turn, model, provider, dropped)]


def short_id(id: str) -> str:
    """At most 40 characters, the same for a call and its result."""
    return id if len(id) <= 40 else hashlib.sha256(id.encode()).hexdigest()[:40]


def _thoughts(turn: Turn, model: str, provider: str, dropped: Counter[str]) -> Json:
    """Thinking goes back to the model that made it, under the name it came by; DeepSeek wants
    some with every call, whoever made it."""
    kept: dict[str, list[str]] = {}
    for block in turn.blocks:
        if block["type"] == "redacted_thinking":
            dropped["thinking"] += 1
        elif block["type"] == "thinking":
            made = signatures.read(str(block.get("signature") or ""))
            if provider == "deepseek":
                kept.setdefault("reasoning_content", []).append(str(block.get("thinking") or ""))
            elif made and made.dialect == NAME and made.model == model and made.payload:
                kept.setdefault(made.payload, []).append(str(block.get("thinking") or ""))
            else:
                dropped["thinking"] += 1
    return {name: "\n".join(texts) for name, texts in kept.items()}


def _user(turn: Turn, provider: str) -> list[Json]:
    """Tool results first, each its own message: nothing may stand before them. Images in them
    follow as the user's, since a tool message holds text only."""
    out: list[Json] = []
    parts: list[Json] = []
    for block in turn.blocks:
        if block["type"] != "tool_result":
            parts.append(_part(block, f"messages.{turn.at}", provider))
            continue
        media = [each for each in block["content"] if each["type"] != "text"]
        out.append(
            {
                "role": "tool",
                "tool_call_id": short_id(block["tool_use_id"]),
                "content": result_text(block),
            }
        )
        if media:
            parts.append({"type": "text", "text": f"Files of {block['tool_use_id']}:"})
            parts += [_part(each, f"messages.{turn.at}", provider) for each in media]
    if parts:
        plain = all(part["type"] == "text" for part in parts)
        text = "\n\n".join(part["text"] for part in parts) if plain else ""
        out.append({"role": "user", "content": text if plain else parts})
    return out


def result_text(block: Json) -> str:
    """A tool result as text; a failure says so, as no field can."""
    text = text_of(block["content"])
    if block.get("is_error") and "error" not in text[:80].lower():
        text = f"Error: {text}"
    if not text and block["content"]:
        text = "See the files below."
    return text


def _part(block: Json, where: str, provider: str) -> Json:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    source = block["source"]
    if block["type"] == "image":
        return {"type": "image_url", "image_url": {"url": url_of(source)}}
    if provider not in GENUINE and provider != "openrouter":
        raise InvalidRequest(f"{where}: PDF documents cannot go to this provider")
    if source["type"] == "url":
        raise InvalidRequest(f"{where}: a PDF by url cannot go to this provider; send its bytes")
    name = str(block.get("title") or "document.pdf")
    return {"type": "file", "file": {"filename": name, "file_data": url_of(source)}}


def url_of(source: Json) -> str:
    if source["type"] == "url":
        return str(source["url"])
    return f"data:{source.get('media_type')};base64,{source.get('data')}"


def from_upstream(response: Json, model: str) -> Json:
    return answer(response, model, NAME)
