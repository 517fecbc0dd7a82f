"""Answers in the form of Chat Completions, whole and streamed: OpenAI's and Mistral's."""

from typing import Any

from libs.common.contracts.usage import Tokens
from libs.common.errors import UpstreamFailed
from services.gateway import signatures
from services.gateway.providers.base import Json, ProviderError
from services.gateway.providers.counts import believed, maybe, told
from services.gateway.providers.events import CUT, GARBLED, UNREADABLE, Writer, call_id, message
from services.gateway.providers.failures import failure, parse, words_of
from services.gateway.providers.sse import EventData
from services.gateway.providers.text import dump_text, load_arguments, load_object, string

NAME = "openai"
DONE = b"[DONE]"
STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def answer(response: Json, model: str, dialect: str) -> Json:
    choices = response.get("choices")
    if not choices or not isinstance(choices, list):
        raise UpstreamFailed(words(response) or "The provider sent no choices.", {"status": 502})
    choice = choices[0]
    said = choice.get("message") or {}
    content: list[Json] = []
    name, thought = _thought(said)
    if thought:
        signature = signatures.sign(dialect, model, name)
        content.append({"type": "thinking", "thinking": thought, "signature": signature})
    text = _text(said.get("content")) or string(said.get("refusal"))
    if text:
        content.append({"type": "text", "text": text})
    content += [_tool_use(call) for call in said.get("tool_calls") or []]
    stop = stop_of(choice.get("finish_reason"), bool(said.get("tool_calls")))
    if said.get("refusal"):
        stop = "refusal"
    sequence = _sequence(choice)
    if sequence and stop == "end_turn":
        stop = "stop_sequence"
    return message(response.get("id"), model, content, stop, usage_of(response), sequence)


def _sequence(choice: Json) -> str | None:
    """The stop sequence that ended the answer, from the servers that tell (vLLM)."""
    told = choice.get("stop_reason")
    return told if isinstance(told, str) and told else None


def _tool_use(call: Json) -> Json:
    function = call.get("function") or {}
    return {
        "type": "tool_use",
        "id": call_id(call.get("id")),
        "name": str(function.get("name") or ""),
        "input": load_arguments(function.get("arguments")),
    }


def stop_of(reason: object, called: bool) -> str:
    """Some servers say "stop" where they call tools."""
    stop = STOPS.get(str(reason), "end_turn")
    return "tool_use" if called and stop == "end_turn" else stop


def _text(content: object) -> str:
    """A message's or delta's text: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def _thought(said: Json) -> tuple[str, str]:
    """The reasoning in a message or delta, and the name of the field it came under."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(said.get(name), str) and said[name]:
            return name, said[name]
    content = said.get("content")
    if not isinstance(content, list):
        return "", ""
    parts = [part.get("thinking") for part in content if isinstance(part, dict)]
    return "content", "".join(each if isinstance(each, str) else _text(each) for each in parts)


def usage_of(response: Json) -> Tokens | None:
    usage, groq = response.get("usage"), response.get("x_groq")
    return believed(_tokens, usage or (groq.get("usage") if isinstance(groq, dict) else None))


def _tokens(usage: Any) -> Tokens:
    """`prompt_tokens` includes what the cache gave. Reasoning is a part of `completion_tokens`,
    but at xAI beside it: the total tells."""
    cached = (
        maybe(usage, "prompt_tokens_details", "cached_tokens")
        or maybe(usage, "prompt_cache_hit_tokens")
        or maybe(usage, "cached_tokens")
    )
    written = maybe(usage, "prompt_tokens_details", "cache_write_tokens")
    prompt, output = told(usage, "prompt_tokens"), told(usage, "completion_tokens")
    reasoning = maybe(usage, "completion_tokens_details", "reasoning_tokens")
    if reasoning and usage.get("total_tokens") == prompt + output + reasoning:
        output += reasoning
    return Tokens(
        input=max(0, prompt - cached - written),
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(reasoning, output),
    )


def words(response: Any) -> str:
    """The sentence of an error inside an answer, or ""."""
    error = response.get("error") if isinstance(response, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "The provider failed.")
    return str(error or "")


def error_of(status: int, body: bytes) -> ProviderError:
    parsed = parse(body)
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict):
        return failure(status, "", words_of(body))
    kind, code = str(error.get("type") or ""), str(error.get("code") or "")
    return failure(status, kind, words_of(body), code)


class Stream:
    """Chunks to events. The end is written when the usage has come: it follows the last
    choice."""

    def __init__(self, model: str, input_tokens: int, dialect: str = NAME) -> None:
        self._events = EventData()
        self._writer = Writer(dialect, model, input_tokens)
        self._stop = ""
        self._sequence: str | None = None
        self._tokens: Tokens | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        for data in self._events.feed(chunk):
            self._take(data)
        return self._writer.take()

    def close(self) -> list[bytes]:
        for data in self._events.close():
            self._take(data)
        if not self._writer.ended and self._stop:
            self._take(DONE)
        elif not self._writer.ended:
            self._writer.fail(CUT)
        return self._writer.take()

    def _take(self, data: bytes) -> None:
        if self._writer.ended:
            return
        try:
            if data == DONE:
                self._end()
            else:
                self._read(data)
        except UNREADABLE:
            self._writer.fail(GARBLED)

    def _read(self, data: bytes) -> None:
        chunk = load_object(data)
        if error := words(chunk):
            self._writer.fail(error_of(500, data)._replace(message=error))
            return
        self._writer.start(chunk.get("id"))
        if chunk.get("usage") or chunk.get("x_groq"):
            self._tokens = usage_of(chunk)
        for choice in chunk.get("choices") or []:
            if not choice.get("index"):
                self._choice(choice)

    def _choice(self, choice: Json) -> None:
        delta = choice.get("delta") or {}
        name, thought = _thought(delta)
        if thought:
            self._writer.thinking(thought)
            self._writer.signature(name)
        self._writer.text(_text(delta.get("content")) or string(delta.get("refusal")))
        for call in delta.get("tool_calls") or []:
            self._call(call)
        self._sequence = _sequence(choice) or self._sequence
        if delta.get("refusal"):
            self._stop = "refusal"
        elif choice.get("finish_reason") and self._stop != "refusal":
            self._stop = str(choice["finish_reason"])

    def _call(self, call: Json) -> None:
        """Some servers leave the index out and send each call whole, under its id."""
        key = call.get("index")
        key = call.get("id") if key is None else key
        function = call.get("function") or {}
        if not self._writer.knows(key):
            self._writer.call(key, call.get("id"), str(function.get("name") or ""))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = dump_text(arguments)
        self._writer.arguments(key, string(arguments))

    def _end(self) -> None:
        stop = self._stop
        stop = stop if stop == "refusal" else stop_of(stop, self._writer.called)
        if self._sequence and stop == "end_turn":
            stop = "stop_sequence"
        self._writer.finish(stop, self._tokens, self._sequence)
