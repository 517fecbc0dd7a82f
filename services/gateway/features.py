"""A request's features for the router: what it looks like, never what it says at length.

Claude Code's simplest prompt is a 76-115 KB body (24 tools, a long system prompt), so sizes of
the body say nothing; the user's words are the last text block of the last user message that is
not a `<system-reminder>`. Wrong types are skipped here: refusing them is the provider's work.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from libs.common.contracts.routing import Features, Thinking
from libs.common.estimate import text_tokens
from services.gateway.body import ITEMS, Body, Fields, first_byte
from services.gateway.bounds import KNOWN_BYTES, KNOWN_TOOLS

T = TypeVar("T")
USER_TEXT = 4096
WORD = 64  # of a field that holds one word; a longer one is unknown to everybody
IMAGE_TOKENS = 1_600
DOCUMENT_TOKENS = 3_000
OVERHEAD_TOKENS = 64
REMINDER = "<system-reminder>"
SAMPLING = ("temperature", "top_p", "top_k")
BASE64_FIELD = re.compile(rb'"data"\s*:\s*"[A-Za-z0-9+/=_-]{64,}"')


class Message(Struct):
    role: Any = ""
    content: Raw | UnsetType = UNSET


class Block(Struct):
    type: Any = ""
    text: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET
    source: Raw | UnsetType = UNSET
    signature: Any = ""
    is_error: Any = False
    cache_control: Raw | UnsetType = UNSET


class Tool(Struct, frozen=True):
    type: Any = ""
    name: Any = ""
    max_uses: Any = 0


class ThinkingField(Struct):
    type: Any = ""
    budget_tokens: Any = 0


class OutputConfig(Struct):
    effort: Any = ""
    format: Raw | UnsetType = UNSET


MESSAGES = msgspec.json.Decoder(list[Message])
MESSAGE = msgspec.json.Decoder(Message)
BLOCKS = msgspec.json.Decoder(list[Block])
TOOLS = msgspec.json.Decoder(tuple[Tool, ...])
TEXT = msgspec.json.Decoder(str)

# How Claude Code's calls for itself give themselves away: who wrote the system prompt, and
# the words of its own prompts (there or before the user's text). A compaction is none of them:
# it needs the whole conversation and a model that can hold it.
OURSELVES = ("x-anthropic-billing-header", "you are claude code", "claude code session")
COMPACTION = ("summary of the conversation so far", "tasked with summarizing conversations")
BACKGROUND = {
    "topic": ("new conversation topic",),
    "summary": ("<conversation>", "summarize this", "summarizing", "summary of"),
}


class Seen(Struct):
    """What the walk over the messages gathers."""

    messages: int = 0
    user_turns: int = 0
    tool_results: int = 0
    images: int = 0
    documents: int = 0
    opaque: bool = False
    signatures: list[str] = msgspec.field(default_factory=list)
    thinking_blocks: bool = False
    cache_marks: int = 0
    user_text: str = ""
    user_chars: int = 0
    plan_mode: bool = False
    last_is_tool_result: bool = False
    last_tool_error: bool = False
    prefill: bool = False


def features_of(
    body: Body, *, door: str, betas: Sequence[str], headers: dict[str, str]
) -> Features:
    """Everything the router and the ledger want to know of a request."""
    fields = body.fields
    seen = _walk(fields)
    tools = _tools(body.tools)
    thinking, budget = _thinking(fields)
    output = _decoded(fields, "output_config", OutputConfig) or OutputConfig()
    system = _system_text(fields)
    return Features(
        model=body.model,
        door=door,
        user_text=seen.user_text[-USER_TEXT:],
        user_chars=seen.user_chars,
        system_chars=len(fields.get("system") or b""),
        tools_chars=len(fields.get("tools") or b""),
        input_tokens=estimate(body, seen),
        max_tokens=body.max_tokens,
        stream=body.stream,
        messages=seen.messages,
        user_turns=seen.user_turns,
        tool_results=seen.tool_results,
        tools=len(tools),
        tool_choice=_type_of(fields, "tool_choice"),
        server_tools=tuple(sorted({t for t in map(_server_tool, tools) if t})),
        images=seen.images,
        documents=seen.documents,
        opaque=seen.opaque or "thread" in fields,
        thinking=thinking,
        thinking_budget=budget,
        effort=str(output.effort or "")[:WORD],
        structured=output.format is not UNSET or "output_format" in fields,
        thread="thread" in fields,
        continues_thread=_type_of(fields, "thread") == "continue",
        last_is_tool_result=seen.last_is_tool_result,
        last_tool_error=seen.last_tool_error,
        plan_mode=seen.plan_mode,
        subagent=bool(headers.get("agent")) or "cc_is_subagent=true" in system[:300],
        background=_background(seen, tools, system, output),
        has_thinking_blocks=seen.thinking_blocks,
        signatures=tuple(seen.signatures[-64:]),
        cache_marks=seen.cache_marks,
        speed=_plain(fields, "speed"),
        service_tier=_plain(fields, "service_tier"),
        betas=tuple(betas),
        version=headers.get("version", ""),
        prefill=seen.prefill,
        sampling=any(name in fields for name in SAMPLING),
        server_tool_uses=sum(_most_uses(tool) for tool in tools),
    )


def estimate(body: Body, seen: Seen) -> int:
    """Input tokens, never under for text. Base64 is not text: images and documents count by
    the piece. What cannot be seen (threads, files by id or URL) the ledger prices by context."""
    data = body.raw
    if seen.images or seen.documents:
        data = BASE64_FIELD.sub(b"", data)
    extra = seen.images * IMAGE_TOKENS + seen.documents * DOCUMENT_TOKENS
    extra += (len(body.raw) - len(data)) // 100 if seen.documents else 0
    return text_tokens(data) + extra + OVERHEAD_TOKENS


def signature_hash(signature: str) -> str:
    return hashlib.blake2b(signature.encode(), digest_size=12).hexdigest()


def _walk(fields: Fields) -> Seen:
    seen = Seen()
    last: Message | None = None
    for message in _messages(fields):
        seen.messages += 1
        _count_message(message, seen)
        if message.role != "system":
            last = message
    if last is not None and last.role == "user":
        _read_last(last, seen)
    seen.prefill = last is not None and last.role == "assistant"
    return seen


def _count_message(message: Message, seen: Seen) -> None:
    plain = True
    for block in _blocks(message):
        plain = plain and block.type != "tool_result"
        _count_block(block, seen)
    if message.role == "user" and plain:
        seen.user_turns += 1


def _count_block(block: Block, seen: Seen) -> None:
    seen.cache_marks += block.cache_control is not UNSET
    match block.type:
        case "tool_result":
            seen.tool_results += 1
            if block.content is not UNSET and first_byte(block.content) == b"[":
                for inner in _decode_blocks(block.content):
                    _count_block(inner, seen)
        case "image":
            seen.images += 1
            seen.opaque |= _is_opaque(block)
        case "document":
            seen.documents += 1
            seen.opaque |= _is_opaque(block)
        case "thinking" | "redacted_thinking":
            seen.thinking_blocks = True
            if isinstance(block.signature, str) and block.signature:
                seen.signatures.append(signature_hash(block.signature))


def _read_last(message: Message, seen: Seen) -> None:
    """The user's own words, and whether this turn only brings tool results."""
    texts: list[str] = []
    blocks = list(_blocks(message))
    for block in blocks:
        if block.type == "tool_result":
            seen.last_is_tool_result = True
            seen.last_tool_error = bool(block.is_error)
        elif block.type == "text" and (text := _text(block.text)):
            if text.lstrip().startswith(REMINDER):
                seen.plan_mode |= "plan mode is active" in text.lower()
            else:
                texts.append(text)
    if texts:
        seen.last_is_tool_result = False
        seen.user_text, seen.user_chars = texts[-1], len(texts[-1])


def _messages(fields: Fields) -> list[Message]:
    try:
        return MESSAGES.decode(fields["messages"])
    except (msgspec.MsgspecError, RecursionError):
        return [m for raw in ITEMS.decode(fields["messages"]) if (m := _one(raw))]


def _one(raw: Raw) -> Message | None:
    try:
        return MESSAGE.decode(raw)
    except msgspec.MsgspecError:
        return None


def _blocks(message: Message) -> Iterator[Block]:
    if message.content is UNSET:
        return
    first = first_byte(message.content)
    if first == b'"':
        yield Block(type="text", text=message.content)
    elif first == b"[":
        yield from _decode_blocks(message.content)


def _decode_blocks(raw: Raw) -> list[Block]:
    try:
        return BLOCKS.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return []


def _text(raw: Raw | UnsetType) -> str:
    if raw is UNSET:
        return ""
    try:
        return TEXT.decode(raw)
    except msgspec.MsgspecError:
        return ""


def _tools(raw: bytes) -> tuple[Tool, ...]:
    return _known_tools(raw) if len(raw) <= KNOWN_BYTES else _read_tools(raw)


def _read_tools(raw: bytes) -> tuple[Tool, ...]:
    try:
        return TOOLS.decode(raw) if raw else ()
    except msgspec.MsgspecError:
        return ()


# Remembered, as a client brings the same ones with every request.
_known_tools = lru_cache(maxsize=KNOWN_TOOLS)(_read_tools)


def _server_tool(tool: Tool) -> str:
    """The type of a tool that the provider runs itself, e.g. web_search_20250305."""
    kind = tool.type if isinstance(tool.type, str) else ""
    client_side = ("", "custom", "bash_", "text_editor_", "computer_", "memory_")
    return "" if kind in client_side[:2] or kind.startswith(client_side[2:]) else kind[:WORD]


def _most_uses(tool: Tool) -> int:
    """How often a server tool may be called; 0 where it says nothing."""
    return _number(tool.max_uses, 10**6) if _server_tool(tool) else 0


def _thinking(fields: Fields) -> tuple[Thinking, int]:
    field = _decoded(fields, "thinking", ThinkingField)
    if field is None or field.type == "disabled":
        return "off", 0
    if field.type == "adaptive":
        return "adaptive", 0
    if field.type == "enabled":
        return "budget", _number(field.budget_tokens, 10**9)
    return "off", 0


def _number(value: Any, end: int) -> int:
    """A number below `end`; 0 for all else, `true` too, which Python counts among the numbers."""
    return value if type(value) is int and 0 < value < end else 0


def _decoded(fields: Fields, name: str, kind: type[T]) -> T | None:
    if name not in fields:
        return None
    try:
        return msgspec.json.decode(fields[name], type=kind)
    except msgspec.MsgspecError:
        return None


def _type_of(fields: Fields, name: str) -> str:
    field = _decoded(fields, name, Tool)
    return field.type[:WORD] if field and isinstance(field.type, str) else ""


def _plain(fields: Fields, name: str) -> str:
    return (_decoded(fields, name, str) or "")[:WORD]


def _system_text(fields: Fields) -> str:
    """The start of the system prompt, enough to recognise who wrote it."""
    raw = fields.get("system")
    return bytes(memoryview(raw)[:4096]).decode("utf-8", "replace") if raw is not None else ""


def _background(seen: Seen, tools: Sequence[Tool], system: str, output: OutputConfig) -> str:
    """The kind of a call that Claude Code makes for itself: title, topic, summary, web_search."""
    if len(tools) == 1 and str(tools[0].type).startswith("web_search"):
        return "web_search"
    if tools:
        return ""
    words = f"{system} {seen.user_text[:2000]}".lower()
    if not any(mark in words for mark in OURSELVES) or any(mark in words for mark in COMPACTION):
        return ""
    # A title request brings no tools and wants a structured answer.
    if output.format is not UNSET and "title" in words:
        return "title"
    found = (kind for kind, marks in BACKGROUND.items() if any(mark in words for mark in marks))
    return next(found, "") if seen.messages <= 2 else ""


def _is_opaque(block: Block) -> bool:
    """A source that cannot be counted here: a file by id, a document by URL."""
    raw = b"" if block.source is UNSET else bytes(memoryview(block.source)[:256])
    return b'"file"' in raw or b'"url"' in raw
