"""OpenAI Responses: the API in which OpenAI's models think and call tools at once.

Source: developers.openai.com/api/reference/responses. Nothing is stored there: reasoning
travels encrypted, to the client in a thinking block's signature and back.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from libs.common.catalogue import ModelFacts
from libs.common.contracts.usage import Tokens
from libs.common.errors import InvalidRequest, UpstreamFailed
from services.gateway import signatures
from services.gateway.providers import efforts
from services.gateway.providers.base import Json, Options, Origin, ProviderError, Translated
from services.gateway.providers.chat_answers import error_of, words
from services.gateway.providers.counts import believed, maybe, told
from services.gateway.providers.events import CUT, GARBLED, UNREADABLE, Writer, call_id, message
from services.gateway.providers.openai_chat import (
    check_tools,
    choice_of,
    headers,
    put_limits,
    result_text,
    short_id,
    url_of,
)
from services.gateway.providers.reading import Request, Turn, check_media, read, text_of
from services.gateway.providers.schemas import for_openai, is_strict
from services.gateway.providers.sse import EventData
from services.gateway.providers.text import (
    dump,
    dump_text,
    load,
    load_arguments,
    load_object,
    string,
)

__all__ = [
    "Stream",
    "error_of",
    "from_upstream",
    "headers",
    "path",
    "to_upstream",
    "usage_of",
]

NAME = "openai-responses"
# Less is refused; Claude Code asks for one token to see whether a key works.
LEAST_OUTPUT = 16
INCOMPLETE = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}


def path(model: str, stream: bool, options: Options) -> str:
    return options.get("path", "/responses").format(model=model, **options)


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    dropped: Counter[str] = Counter()
    asked = read(request, dropped)
    check_media(asked, facts, model)
    thinks = facts.thinking != "none" if facts else efforts.reasons(model)
    items = [item for turn in asked.turns for item in _items(turn, model, dropped)]
    body: Json = {"model": model, "input": items, "store": False}
    if asked.system:
        body["instructions"] = "\n\n".join(asked.system)
    if request.get("stream"):
        body["stream"] = True
    put_limits(body, request, facts, "max_output_tokens", dropped)
    body["max_output_tokens"] = max(LEAST_OUTPUT, body["max_output_tokens"])
    _put_sampling(body, request, facts.sampling if facts else not thinks, dropped)
    _put_tools(body, asked, facts, dropped)
    if asked.schema is not None:
        kept = {"name": "answer", "schema": asked.schema, "strict": is_strict(asked.schema)}
        body["text"] = {"format": {"type": "json_schema", **kept}}
    _put_reasoning(body, request, asked, thinks, dropped)
    return Translated(body, dict(dropped), names=asked.names)


def _put_sampling(body: Json, request: Json, free: bool, dropped: Counter[str]) -> None:
    if request.get("stop_sequences"):
        raise InvalidRequest(f"stop_sequences: {body['model']} takes none; leave them out")
    for name in ("temperature", "top_p"):
        if request.get(name) is not None:
            if free:
                body[name] = request[name]
            else:
                dropped[name] += 1


def _put_tools(body: Json, asked: Request, facts: ModelFacts | None, dropped: Counter[str]) -> None:
    if not asked.tools:
        return
    check_tools(asked, body["model"])
    body["tools"] = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": for_openai(tool.schema),
            "strict": tool.strict and is_strict(tool.schema),
        }
        for tool in asked.tools
    ]
    choice = choice_of(asked, facts, dropped)
    if isinstance(choice, dict):
        choice = {"type": "function", "name": choice["name"]}
    if choice:
        body["tool_choice"] = choice
    if asked.choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False


def _put_reasoning(
    body: Json, request: Json, asked: Request, thinks: bool, dropped: Counter[str]
) -> None:
    if not thinks:
        if asked.effort not in ("", "off"):
            dropped["thinking"] += 1
        return
    body["include"] = ["reasoning.encrypted_content"]
    reasoning: Json = {}
    if effort := efforts.nearest(asked.effort, body["model"]):
        reasoning["effort"] = effort
    # Summaries need a verified organisation: only for a client that asks to see them.
    if (request.get("thinking") or {}).get("display") == "summarized":
        reasoning["summary"] = "auto"
    if reasoning:
        body["reasoning"] = reasoning


def _items(turn: Turn, model: str, dropped: Counter[str]) -> Iterator[Json]:
    if turn.role == "assistant":
        yield from _assistant(turn, model, dropped)
    elif turn.role == "system":
        text = text_of(turn.blocks)
        if text:
            yield {"role": "system", "content": [{"type": "input_text", "text": text}]}
    else:
        yield from _user(turn)


def _assistant(turn: Turn, model: str, dropped: Counter[str]) -> Iterator[Json]:
    """In order: a reasoning item must stand before what it led to, so one at the end goes."""
    items: list[Json] = []
    for block in turn.blocks:
        kind = block["type"]
        if kind == "text":
            items.append({"role": "assistant", "content": block["text"]})
        elif kind == "tool_use":
            items.append(
                {
                    "type": "function_call",
                    "call_id": short_id(block["id"]),
                    "name": block["name"],
                    "arguments": dump_text(block.get("input") or {}),
                }
            )
        elif reasoning := _reasoning(block, model):
            items.append(reasoning)
        else:
            dropped["thinking"] += 1
    while items and items[-1].get("type") == "reasoning":
        items.pop()
        dropped["thinking"] += 1
    yield from items


def _reasoning(block: Json, model: str) -> Json | None:
    made = signatures.read(str(block.get("signature") or ""))
    if not made or made.dialect != NAME or made.model != model or not made.payload:
        return None
    id, encrypted = load(made.payload)
    text = str(block.get("thinking") or "")
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "id": id, "summary": summary, "encrypted_content": encrypted}


def _user(turn: Turn) -> Iterator[Json]:
    where = f"messages.{turn.at}"
    parts: list[Json] = []
    for block in turn.blocks:
        if block["type"] == "tool_result":
            yield _output(block, where)
        else:
            parts.append(_part(block, where))
    if parts:
        yield {"role": "user", "content": parts}


def _output(block: Json, where: str) -> Json:
    output: str | list[Json] = result_text(block)
    media = [_part(each, where) for each in block["content"] if each["type"] != "text"]
    if media:
        output = [{"type": "input_text", "text": str(output)}, *media]
    id = short_id(block["tool_use_id"])
    return {"type": "function_call_output", "call_id": id, "output": output}


def _part(block: Json, where: str) -> Json:
    if block["type"] == "text":
        return {"type": "input_text", "text": block["text"]}
    source = block["source"]
    if block["type"] == "image":
        return {"type": "input_image", "image_url": url_of(source), "detail": "auto"}
    if source["type"] == "url":
        return {"type": "input_file", "file_url": source["url"]}
    name = str(block.get("title") or "document.pdf")
    return {"type": "input_file", "filename": name, "file_data": url_of(source)}


def from_upstream(response: Json, model: str) -> Json:
    if response.get("status") == "failed" or response.get("error"):
        found = _failure(response.get("error"))
        raise UpstreamFailed(found.message, {"type": found.type, "status": found.status})
    content: list[Json] = []
    for item in response.get("output") or []:
        content += _blocks(item, model)
    refused = any(_is_refusal(item) for item in response.get("output") or [])
    stop = _stop(response, any(block["type"] == "tool_use" for block in content), refused)
    return message(response.get("id"), model, content, stop, usage_of(response))


def _blocks(item: Json, model: str) -> list[Json]:
    kind = item.get("type")
    if kind == "reasoning":
        signature = signatures.sign(NAME, model, _payload(item))
        return [{"type": "thinking", "thinking": _summary(item), "signature": signature}]
    if kind == "message":
        texts = (_said(part) for part in item.get("content") or [])
        return [{"type": "text", "text": text} for text in texts if text]
    if kind == "function_call":
        return [
            {
                "type": "tool_use",
                "id": call_id(item.get("call_id")),
                "name": str(item.get("name") or ""),
                "input": load_arguments(item.get("arguments")),
            }
        ]
    return []


def _payload(item: Json) -> str:
    """What the model wants back: the item's id and its encrypted content."""
    encrypted = item.get("encrypted_content")
    return dump_text([item.get("id"), encrypted]) if encrypted else ""


def _summary(item: Json) -> str:
    parts = [*(item.get("summary") or []), *(item.get("content") or [])]
    return "\n\n".join(str(part.get("text") or "") for part in parts if part.get("text"))


def _said(part: Json) -> str:
    return str(part.get("text") or part.get("refusal") or "")


def _is_refusal(item: Json) -> bool:
    return any(part.get("type") == "refusal" for part in item.get("content") or [])


def _stop(response: Json, called: bool, refused: bool) -> str:
    if response.get("status") == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        return INCOMPLETE.get(str(reason), "max_tokens")
    if refused:
        return "refusal"
    return "tool_use" if called else "end_turn"


def usage_of(response: Json) -> Tokens | None:
    return believed(_tokens, response.get("usage"))


def _tokens(usage: Any) -> Tokens:
    """`input_tokens` includes what the cache gave and took; reasoning is a part of the output."""
    cached = maybe(usage, "input_tokens_details", "cached_tokens")
    written = maybe(usage, "input_tokens_details", "cache_write_tokens")
    lasting = ("input_tokens_details", "cache_write_tokens_details", "ttl_12h_tokens")
    long, output = maybe(usage, *lasting), told(usage, "output_tokens")
    return Tokens(
        input=max(0, told(usage, "input_tokens") - cached - written),
        cache_read=cached,
        cache_write_5m=max(0, written - long),
        cache_write_1h=long,
        output=output,
        reasoning=min(maybe(usage, "output_tokens_details", "reasoning_tokens"), output),
    )


def _failure(error: Any) -> ProviderError:
    body = error if isinstance(error, dict) else {"message": str(error or "The provider failed.")}
    status = 429 if "rate_limit" in str(body.get("code")) else 500
    return error_of(status, dump({"error": body}))


class Stream:
    """Items to blocks. What came without deltas is taken from the item's end."""

    def __init__(self, model: str, input_tokens: int) -> None:
        self._events = EventData()
        self._writer = Writer(NAME, model, input_tokens)
        self._texts: set[Any] = set()
        self._refused = False

    def feed(self, chunk: bytes) -> list[bytes]:
        for data in self._events.feed(chunk):
            self._take(data)
        return self._writer.take()

    def close(self) -> list[bytes]:
        for data in self._events.close():
            self._take(data)
        self._writer.fail(CUT)
        return self._writer.take()

    def _take(self, data: bytes) -> None:
        if self._writer.ended or data == b"[DONE]":
            return
        try:
            self._read(load_object(data))
        except UNREADABLE:
            self._writer.fail(GARBLED)

    def _read(self, event: Json) -> None:
        kind = str(event.get("type") or "")
        if kind == "response.output_text.delta":
            self._text(event, string(event.get("delta")))
        elif kind == "response.function_call_arguments.delta":
            self._writer.arguments(event.get("output_index"), string(event.get("delta")))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(event, kind.endswith("done"))
        elif not self._piece(kind, event):
            self._turn(kind, event)

    def _piece(self, kind: str, event: Json) -> bool:
        """The rarer pieces of content; whether it was one."""
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            self._writer.thinking(string(event.get("delta")))
        elif kind == "response.refusal.delta":
            self._refused = True
            self._text(event, string(event.get("delta")))
        elif kind == "response.reasoning_summary_part.added" and event.get("summary_index"):
            self._writer.thinking("\n\n")
        else:
            return False
        return True

    def _turn(self, kind: str, event: Json) -> None:
        """What begins and ends the answer."""
        response = event.get("response") or {}
        if kind == "response.created":
            self._writer.start(response.get("id"))
        elif kind in ("response.completed", "response.incomplete"):
            self._end(response)
        elif kind == "response.failed":
            self._writer.fail(_failure(response.get("error")))
        elif kind == "error" or words(event):
            self._writer.fail(_failure(event.get("error") or event))

    def _text(self, event: Json, text: str) -> None:
        self._texts.add(event.get("output_index"))
        self._writer.text(text)

    def _item(self, event: Json, done: bool) -> None:
        item, place = event.get("item") or {}, event.get("output_index")
        kind = item.get("type")
        if kind == "function_call":
            self._writer.call(place, item.get("call_id"), str(item.get("name") or ""))
            if done and not self._writer.has_arguments(place):
                self._writer.arguments(place, string(item.get("arguments")))
        elif done and kind == "reasoning":
            self._writer.signature(_payload(item))
            self._writer.end_thinking()
        elif done and kind == "message" and place not in self._texts:
            self._refused = self._refused or _is_refusal(item)
            self._writer.text("".join(map(_said, item.get("content") or [])))

    def _end(self, response: Json) -> None:
        stop = _stop(response, self._writer.called, self._refused)
        self._writer.finish(stop, usage_of(response))
