"""Chat Completions clients (developers.openai.com/api/reference/chat)."""

import time
from typing import Any

from libs.common.errors import InvalidRequest
from services.gateway.doors import canonical
from services.gateway.doors.canonical import Conversation, Json, render_error
from services.gateway.providers.sse import EventData
from services.gateway.providers.text import dump, dump_text, load_object, string

__all__ = ["Stream", "from_canonical", "render_error", "to_canonical"]

READ = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "n",
        "user",
        "safety_identifier",
    )
)
# Hints that change no answer, and requests for what is never kept here.
IGNORED = frozenset(
    (
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "seed",
        "service_tier",
        "store",
        "verbosity",
    )
)
# Harmless at the value that means nothing.
NEUTRAL: Json = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "modalities": ["text"],
    "logit_bias": {},
    "top_logprobs": 0,
    "functions": [],
}
FINISHES = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def to_canonical(body: Json) -> Json:
    """Raises InvalidRequest, naming the field."""
    try:
        return _canonical(body)
    except canonical.MISFORMED:
        raise InvalidRequest("the request is not in the form of Chat Completions") from None


def _canonical(body: Json) -> Json:
    body = {name: v for name, v in body.items() if name not in NEUTRAL or v != NEUTRAL[name]}
    out = canonical.start(body, IGNORED, READ)
    if body.get("n") not in (None, 1):
        raise InvalidRequest("n: only one choice is made here; send 1")
    out["max_tokens"] = canonical.limit(body, "max_completion_tokens", "max_tokens")
    talk = _conversation(body.get("messages"))
    _put_tools(out, body)
    _put_format(out, body.get("response_format"), talk)
    canonical.put_effort(out, body.get("reasoning_effort"), "reasoning_effort")
    stop = body.get("stop")
    if stop:
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if talk.system:
        out["system"] = talk.system
    out["messages"] = talk.messages
    return out


def _conversation(messages: Any) -> Conversation:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages: Input should be a list of at least one message")
    talk = Conversation()
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if not isinstance(message, dict):
            raise InvalidRequest(f"{where}: Input should be an object")
        _add(talk, message, where)
    if not talk.messages:
        raise InvalidRequest("messages: at least one user message is required")
    return talk


def _add(talk: Conversation, message: Json, where: str) -> None:
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        talk.instruct("\n".join(b["text"] for b in _blocks(content, where) if "text" in b))
    elif role == "user":
        talk.say("user", _blocks(content, where))
    elif role == "assistant":
        talk.say("assistant", [*_blocks(content, where), *_calls(message, where)])
    elif role == "tool":
        id = message.get("tool_call_id")
        if not isinstance(id, str):
            raise InvalidRequest(f"{where}.tool_call_id: Field required")
        talk.answer_call(id, _blocks(content, where))
    else:
        raise InvalidRequest(
            f"{where}.role: must be system, developer, user, assistant or tool, not {role!r}"
        )


def _blocks(content: Any, where: str) -> list[Json]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise InvalidRequest(f"{where}.content: Input should be a string or a list of parts")
    blocks = [_block(part, f"{where}.content.{at}") for at, part in enumerate(content)]
    return [block for block in blocks if block.get("text") != ""]


def _block(part: Any, where: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    if kind == "image_url":
        address = part.get("image_url")
        url = address.get("url") if isinstance(address, dict) else address
        return canonical.image(url, f"{where}.image_url")
    if kind == "file" and isinstance(part.get("file"), dict):
        file = part["file"]
        if file.get("file_data"):
            return canonical.pdf(file["file_data"], file.get("filename"), f"{where}.file")
        raise InvalidRequest(
            f"{where}.file.file_data: Field required; files by id are not kept here"
        )
    raise InvalidRequest(f"{where}.type: {kind!r} is not supported; send text, image_url or file")


def _calls(message: Json, where: str) -> list[Json]:
    calls: list[Json] = []
    for at, call in enumerate(message.get("tool_calls") or []):
        place = f"{where}.tool_calls.{at}"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise InvalidRequest(f"{place}: a call needs id and function")
        given = canonical.arguments(function.get("arguments"), f"{place}.function.arguments")
        block = {"type": "tool_use", "id": call["id"], "name": function.get("name"), "input": given}
        calls.append(block)
    return calls


def _put_tools(out: Json, body: Json) -> None:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise InvalidRequest("tools: Input should be a list")
    made = []
    for at, each in enumerate(tools):
        if not isinstance(each, dict) or each.get("type") != "function":
            raise InvalidRequest(f"tools.{at}.type: only function tools are supported")
        made.append(canonical.tool(each.get("function"), f"tools.{at}.function"))
    if made:
        out["tools"] = made
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        choice = choice.get("function") or choice
    canonical.put_choice(out, choice, body.get("parallel_tool_calls"))


def _put_format(out: Json, wanted: Any, talk: Conversation) -> None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        named = wanted.get("json_schema")
        schema = named.get("schema") if isinstance(named, dict) else None
        canonical.put_schema(out, schema, "response_format.json_schema.schema")
    elif kind == "json_object":
        talk.system.append(dict(canonical.JSON_ONLY))
    elif wanted is not None and kind != "text":
        raise InvalidRequest("response_format.type: must be text, json_object or json_schema")


def from_canonical(message: Json) -> Json:
    said: Json = {"role": "assistant", "content": None, "refusal": None}
    blocks = message.get("content") or []
    texts = [string(block["text"]) for block in blocks if block["type"] == "text"]
    thoughts = [string(block["thinking"]) for block in blocks if block["type"] == "thinking"]
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    if texts or not calls:
        said["content"] = "".join(texts)
    if any(thoughts):
        said["reasoning_content"] = "\n".join(filter(None, thoughts))
    if calls:
        said["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": said,
        "logprobs": None,
        "finish_reason": _finish(message.get("stop_reason")),
    }
    return {
        "id": _id(message),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": string(message.get("model")),
        "choices": [choice],
        "usage": _usage(message.get("usage") or {}),
    }


def _id(message: Json) -> str:
    return "chatcmpl-" + str(message.get("id") or "").removeprefix("msg_")


def _call(block: Json) -> Json:
    arguments = dump_text(block.get("input") or {})
    function = {"name": string(block["name"]), "arguments": arguments}
    return {"id": string(block["id"]), "type": "function", "function": function}


def _finish(stop: object) -> str:
    return FINISHES.get(str(stop), "stop")


def _usage(usage: Json) -> Json:
    told, prompt = canonical.prompt_tokens(usage)
    written = told.cache_write_5m + told.cache_write_1h
    return {
        "prompt_tokens": prompt,
        "completion_tokens": told.output,
        "total_tokens": prompt + told.output,
        "prompt_tokens_details": {
            "cached_tokens": told.cache_read,
            "cache_write_tokens": written,
        },
        "completion_tokens_details": {"reasoning_tokens": told.reasoning},
    }


class Stream:
    """Canonical events to chunks. `body` is the client's request."""

    def __init__(self, body: Json | None = None) -> None:
        self._events = EventData()
        options = (body or {}).get("stream_options")
        self._counts = isinstance(options, dict) and bool(options.get("include_usage"))
        self._base: Json = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._calls, self._kind = -1, ""
        self._usage: Json = {}
        self._ended = False

    def feed(self, chunk: bytes) -> list[bytes]:
        out: list[bytes] = []
        for data in self._events.feed(chunk):
            if not self._ended:
                out += self._take(load_object(data))
        return out

    def close(self) -> list[bytes]:
        """Nothing is left to say: an answer without its end is seen by its missing [DONE]."""
        return []

    def _take(self, event: Json) -> list[bytes]:
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event.get("delta") or {})
        if kind == "content_block_start":
            return self._start(event.get("content_block") or {})
        if kind == "message_start":
            return self._begin(event.get("message") or {})
        if kind == "message_delta":
            self._usage = canonical.merged(self._usage, event.get("usage"))
            stop = (event.get("delta") or {}).get("stop_reason")
            return [self._chunk({}, _finish(stop))]
        return self._rest(kind, event)

    def _rest(self, kind: object, event: Json) -> list[bytes]:
        if kind == "message_stop":
            self._ended = True
            usage = {**self._base, "choices": [], "usage": _usage(self._usage)}
            return [*([_data(usage)] if self._counts else []), b"data: [DONE]\n\n"]
        if kind == "error":
            self._ended = True
            error = event.get("error") or {}
            return [_data(render_error(200, str(error.get("type")), str(error.get("message")), {}))]
        # A comment: OpenAI's clients know no ping, but connections must be kept alive.
        return [b": ping\n\n"] if kind == "ping" else []

    def _begin(self, message: Json) -> list[bytes]:
        self._usage = canonical.merged({}, message.get("usage"))
        self._base |= {
            "id": _id(message),
            "created": int(time.time()),
            "model": string(message.get("model")),
        }
        return [self._chunk({"role": "assistant", "content": ""})]

    def _start(self, block: Json) -> list[bytes]:
        self._kind = str(block.get("type"))
        if self._kind != "tool_use":
            return []
        self._calls += 1
        function = {"name": string(block["name"]), "arguments": ""}
        call = {"id": string(block["id"]), "type": "function", "function": function}
        return [self._chunk({"tool_calls": [{"index": self._calls, **call}]})]

    def _delta(self, delta: Json) -> list[bytes]:
        kind = delta.get("type")
        if kind == "text_delta":
            return [self._chunk({"content": string(delta.get("text"))})]
        if kind == "input_json_delta" and self._kind == "tool_use" and delta.get("partial_json"):
            function = {"arguments": string(delta["partial_json"])}
            return [self._chunk({"tool_calls": [{"index": self._calls, "function": function}]})]
        if kind == "thinking_delta":
            return [self._chunk({"reasoning_content": string(delta.get("thinking"))})]
        return []

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._base, "choices": [choice]}
        if self._counts:
            chunk["usage"] = None
        return _data(chunk)


def _data(value: Json) -> bytes:
    return b"data: %b\n\n" % dump(value)
