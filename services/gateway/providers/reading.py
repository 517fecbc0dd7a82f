"""A canonical request, read once for every dialect.

Each block becomes one of a few plain kinds (text, image, PDF document, tool_use, tool_result,
thinking, redacted_thinking): what only Anthropic has is put into words, counted as dropped, or
refused with the field's name. Nothing disappears silently. What is not in the form of the API at
all is refused by `form`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from libs.common.catalogue import ModelFacts
from libs.common.errors import InvalidRequest
from services.gateway.providers.base import Json
from services.gateway.providers.client_tools import CLIENT_TOOLS
from services.gateway.providers.form import (
    STRING,
    blocks_of,
    check_block,
    check_fields,
    check_tool,
    choice_of,
    messages_of,
    must,
    results_of,
    system_of,
)
from services.gateway.providers.names import short, shortened
from services.gateway.providers.schemas import check

# Claude Code's first system block changes with every prompt: kept, it would spoil the cache of
# every other provider.
BILLING = "x-anthropic-billing-header"
THREAD = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}

# Only Anthropic can do these; a caller who asks for them wants more than words.
REFUSED = {
    "container": "containers run at Anthropic only",
    "mcp_servers": "MCP servers are called by Anthropic only",
}
# Read by every dialect; all others are counted as dropped.
READ = frozenset(
    (
        "model",
        "messages",
        "system",
        "max_tokens",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "temperature",
        "top_p",
        "stop_sequences",
        "thread",
    )
)


MOST_NAMES = 24
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PLACES = {
    "user": frozenset(("text", "image", "document", "tool_result")),
    "assistant": frozenset(("text", "tool_use", "thinking", "redacted_thinking")),
    "system": frozenset(("text",)),
}


class Tool(NamedTuple):
    name: str
    description: str
    schema: Json
    strict: bool


class Turn(NamedTuple):
    """One message: its place in the request, its role, its plain blocks."""

    at: int
    role: str
    blocks: list[Json]


class Request(NamedTuple):
    """`effort` is "" when the request does not say, "off" when thinking is switched off. `names`
    are the tools' names that were too long: what they go by here -> what the client calls them."""

    system: list[str]
    turns: list[Turn]
    tools: list[Tool]
    choice: Json
    effort: str
    schema: Json | None
    names: dict[str, str]


def read(request: Json, dropped: Counter[str], handled: frozenset[str] = READ) -> Request:
    """Raises InvalidRequest naming the field that cannot be kept."""
    check_fields(request)
    _count_fields(request, dropped, handled)
    turns, tools = list(_turns(request, dropped)), tools_of(request, dropped)
    called = (b["name"] for turn in turns for b in turn.blocks if b["type"] == "tool_use")
    names = shortened(*called, *(tool.name for tool in tools))
    choice = choice_of(request)
    if names:
        turns = [turn._replace(blocks=list(map(_short, turn.blocks))) for turn in turns]
        tools = [tool._replace(name=short(tool.name)) for tool in tools]
        choice = _short(choice) if choice.get("name") else choice
    return Request(
        system=list(_system(request)),
        turns=turns,
        tools=tools,
        choice=choice,
        effort=_effort(request),
        schema=_schema(request),
        names=names,
    )


def _short(named: Json) -> Json:
    return {**named, "name": short(named["name"])} if "name" in named else named


def text_of(blocks: list[Json]) -> str:
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")


def check_media(asked: Request, facts: ModelFacts | None, model: str) -> None:
    """Raises InvalidRequest for a picture or PDF that the model cannot see."""
    if facts is None:
        return
    for turn in asked.turns:
        for block in turn.blocks:
            inner = block["content"] if block["type"] == "tool_result" else [block]
            for each in inner:
                if each["type"] == "image" and not facts.images:
                    raise InvalidRequest(f"messages.{turn.at}: {model} takes no images")
                if each["type"] == "document" and not facts.documents:
                    raise InvalidRequest(f"messages.{turn.at}: {model} takes no PDF documents")


def reminder(text: str) -> str:
    """Words of the system for models that take none in the middle."""
    return f"<system-reminder>\n{text}\n</system-reminder>"


def _count_fields(request: Json, dropped: Counter[str], handled: frozenset[str]) -> None:
    if request.get("thread") is not None:
        raise InvalidRequest("thread: message threads are kept by Anthropic only", THREAD)
    for name, value in request.items():
        if value is None or name in handled:
            continue
        if name in REFUSED and value:
            raise InvalidRequest(f"{name}: {REFUSED[name]}; ask for a Claude model")
        count_dropped(dropped, name)


def count_dropped(dropped: Counter[str], name: str) -> None:
    """Names of the client's making end in a response header: plain ones only, and not many."""
    plain_name = _PLAIN_NAME.fullmatch(name) and (name in dropped or len(dropped) < MOST_NAMES)
    dropped[name if plain_name else "other fields"] += 1


def _system(request: Json) -> Iterator[str]:
    for index, block in enumerate(system_of(request)):
        check_block(block, f"system.{index}")
        if block["type"] != "text":
            raise InvalidRequest(f"system.{index}: only text blocks are allowed")
        if block["text"] and not block["text"].startswith(BILLING):
            yield block["text"]


def _turns(request: Json, dropped: Counter[str]) -> Iterator[Turn]:
    for index, role, content in messages_of(request):
        where = f"messages.{index}.content"
        blocks: list[Json] = []
        for at, block in enumerate(blocks_of(content, where)):
            found = plain(block, f"{where}.{at}", dropped)
            _check_place(found, role, f"{where}.{at}")
            blocks += found
        yield Turn(index, role, blocks)


def _check_place(blocks: list[Json], role: str, where: str) -> None:
    for block in blocks:
        if block["type"] not in PLACES[role]:
            raise InvalidRequest(
                f"{where}.type: {block['type']!r} is not allowed in a {role} message"
            )


def plain(block: Json, where: str, dropped: Counter[str]) -> list[Json]:
    """A block as plain blocks; empty texts vanish, as every provider refuses them."""
    check_block(block, where)
    kind = block["type"]
    if block.get("cache_control"):
        dropped["cache_control"] += 1
    if kind == "text":
        if block.get("citations"):
            dropped["citations"] += 1
        return [block] if block["text"] else []
    if kind in ("thinking", "redacted_thinking"):
        return [block]
    if kind in ("tool_use", "image"):
        return [_call(block, where) if kind == "tool_use" else _image(block, where)]
    if kind == "tool_result":
        return [_result(block, where, dropped)]
    if kind == "document":
        return _document(block, where, dropped)
    return _in_words(block, where, dropped)


def _call(block: Json, where: str) -> Json:
    if not block["name"]:
        raise InvalidRequest(f"{where}.name: Field required")
    return block


def _result(block: Json, where: str, dropped: Counter[str]) -> Json:
    """A result whose `content` is a list of text, image and document blocks."""
    inner: list[Json] = []
    for at, part in enumerate(results_of(block, where)):
        inner += plain(part, f"{where}.content.{at}", dropped)
    return {**block, "content": inner}


def _image(block: Json, where: str) -> Json:
    kind = block["source"]["type"]
    if kind not in ("base64", "url"):
        raise _only_claude(f"{where}.source", f"an image by {kind!r}")
    return block


def _document(block: Json, where: str, dropped: Counter[str]) -> list[Json]:
    if (block.get("citations") or {}).get("enabled"):
        dropped["citations"] += 1
    source = block["source"]
    kind = source["type"]
    if kind in ("base64", "url"):
        return [block]
    if kind == "text":
        return [_titled(block, source["data"])]
    if kind == "content":
        inner: list[Json] = []
        for at, part in enumerate(blocks_of(source.get("content"), f"{where}.source.content")):
            inner += plain(part, f"{where}.source.content.{at}", dropped)
        return inner
    raise _only_claude(f"{where}.source", f"a document by {kind!r}")


def _titled(block: Json, text: str) -> Json:
    title = block.get("title")
    note = f"<document title={title!r}>\n" if title else "<document>\n"
    return {"type": "text", "text": f"{note}{text}\n</document>"}


def _in_words(block: Json, where: str, dropped: Counter[str]) -> list[Json]:
    """What an Anthropic server did earlier in the conversation, as text a model can read."""
    kind = str(block.get("type"))
    if kind in ("server_tool_use", "mcp_tool_use"):
        text = f"[called {block.get('name')} with {block.get('input')}]"
    elif kind == "search_result":
        source = block.get("source")
        text = f"[{block.get('title')}]({source})\n{_gather(block.get('content'))}"
    elif kind == "tool_reference":
        text = f"[tool available: {block.get('tool_name')}]"
    elif kind == "compaction" or kind.endswith("_tool_result"):
        text = _gather(block.get("content")) or f"[{kind}]"
    else:
        raise _only_claude(f"{where}.type", f"{kind!r} blocks")
    count_dropped(dropped, kind)
    return [{"type": "text", "text": text}]


def _gather(value: Any) -> str:
    """The readable texts in a foreign block: titles, addresses, text; nothing encrypted."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_gather, value)))
    if isinstance(value, dict):
        names = ("title", "url", "text", "stdout", "stderr", "error_code", "content")
        return "\n".join(filter(None, (_gather(value.get(name)) for name in names)))
    return ""


def tools_of(request: Json, dropped: Counter[str]) -> list[Tool]:
    tools = request.get("tools") or ()
    read_tools = (_tool(tool, f"tools.{at}", dropped) for at, tool in enumerate(tools))
    return [tool for tool in read_tools if tool]


def _tool(tool: Json, where: str, dropped: Counter[str]) -> Tool | None:
    check_tool(tool, where)
    kind = tool.get("type") or "custom"
    name = must(tool, "name", STRING, where)
    if kind == "custom":
        if tool.get("cache_control"):
            dropped["cache_control"] += 1
        text, schema = tool.get("description") or "", tool["input_schema"]
        return Tool(name, text, schema, bool(tool.get("strict")))
    for prefix, (text, schema) in CLIENT_TOOLS.items():
        if kind.startswith(prefix):
            return Tool(name, text, schema, False)
    if kind.startswith("tool_search_tool"):
        # Every deferred tool is sent at once instead: nothing is left to search for.
        dropped["tool_search"] += 1
        return None
    raise InvalidRequest(
        f"{where}.type: {kind} runs at Anthropic, so only a Claude model can answer this request: "
        "ask for one, or leave the tool out"
    )


def _effort(request: Json) -> str:
    """How hard to think: "off", low, medium, high, xhigh, max; "" for the model's own way."""
    thinking = request.get("thinking") or {}
    wanted = (request.get("output_config") or {}).get("effort") or ""
    kind = thinking.get("type")
    if kind == "disabled":
        return "off"
    if wanted or kind not in ("enabled", "adaptive"):
        return str(wanted)
    if kind == "adaptive":
        return "high"  # what Claude does when nothing is said
    budget = thinking["budget_tokens"]
    return "low" if budget < 4096 else "medium" if budget < 16384 else "high"


def _schema(request: Json) -> Json | None:
    """The JSON schema that the answer must follow."""
    wanted = (request.get("output_config") or {}).get("format") or request.get("output_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise InvalidRequest("output_config.format.schema: Input should be an object")
    check(schema, "output_config.format.schema")
    return schema


def _only_claude(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {what} can only go to a Claude model: ask for one")
