"""Google Gemini: generateContent and streamGenerateContent.

Sources: ai.google.dev/api/generate-content, …/docs/thinking, …/docs/thought-signatures.
A call's thought signature travels to the client in a thinking block before the call, and back.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from libs.common.catalogue import ModelFacts
from libs.common.contracts.usage import Tokens
from libs.common.errors import InvalidRequest, UpstreamFailed
from services.gateway import signatures
from services.gateway.providers.base import Json, Options, Origin, ProviderError, Translated
from services.gateway.providers.counts import believed, maybe, told
from services.gateway.providers.events import (
    CUT,
    GARBLED,
    UNREADABLE,
    Garbled,
    Writer,
    call_id,
    message,
)
from services.gateway.providers.failures import failure, parse, words_of
from services.gateway.providers.reading import (
    READ,
    Request,
    Turn,
    check_media,
    read,
    reminder,
    text_of,
)
from services.gateway.providers.schemas import for_gemini, for_openai
from services.gateway.providers.sse import EventData
from services.gateway.providers.text import dump_text, load_arguments, load_object

NAME = "gemini"
HANDLED = READ | {"top_k"}
STOPS = {"STOP": "end_turn", "MAX_TOKENS": "max_tokens"}
# Everything else ends an answer that must not, or cannot, be given.
BROKEN = frozenset(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"))
# What Google documents for calls that another model made.
NO_SIGNATURE = "skip_thought_signature_validator"
LEVELS = {"off": "minimal", "low": "low", "medium": "medium"}
BUDGETS = {"off": 0, "low": 2048, "medium": 8192}
MAX_STOPS = 5
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def path(model: str, stream: bool, options: Options) -> str:
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{model}:{method}"


def headers(credential: str, options: Options) -> dict[str, str]:
    if not credential:
        return {}
    if options.get("auth") == "bearer":
        return {"authorization": f"Bearer {credential}"}
    return {"x-goog-api-key": credential}


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    dropped: Counter[str] = Counter()
    asked = read(request, dropped, HANDLED)
    check_media(asked, facts, model)
    by_level = _by_level(model, facts)
    body: Json = {"contents": _contents(asked, model, NO_SIGNATURE if by_level else "", dropped)}
    system = list(asked.system)
    if asked.schema is not None and asked.tools and not by_level:
        # Before Gemini 3 a JSON answer and functions exclude each other: told in words.
        system.append(f"Answer with JSON that follows this schema:\n{dump_text(asked.schema)}")
        asked = asked._replace(schema=None)
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if asked.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in asked.tools]}]
        _put_choice(body, asked, dropped)
    body["generationConfig"] = _generation(request, asked, model, facts, dropped)
    return Translated(body, dict(dropped), names=asked.names)


def _declaration(tool: Any) -> Json:
    schema = for_gemini(for_openai(tool.schema))
    declared: Json = {"name": tool.name, "description": tool.description or tool.name}
    # An object without properties is refused: then a function without parameters.
    if schema.get("properties"):
        declared["parameters"] = schema
    return declared


def _put_choice(body: Json, asked: Request, dropped: Counter[str]) -> None:
    kind = asked.choice.get("type")
    mode = {"auto": "AUTO", "any": "ANY", "tool": "ANY", "none": "NONE"}.get(str(kind))
    if asked.choice.get("disable_parallel_tool_use"):
        dropped["disable_parallel_tool_use"] += 1
    if not mode:
        return
    config: Json = {"mode": mode}
    if kind == "tool":
        config["allowedFunctionNames"] = [asked.choice["name"]]
    body["toolConfig"] = {"functionCallingConfig": config}


def _generation(
    request: Json, asked: Request, model: str, facts: ModelFacts | None, dropped: Counter[str]
) -> Json:
    wanted = request.get("max_tokens")
    if not isinstance(wanted, int):
        raise InvalidRequest("max_tokens: Field required")
    ceiling = facts.max_output if facts and facts.max_output else wanted
    if wanted > ceiling:
        dropped["max_tokens"] += 1
    config: Json = {"maxOutputTokens": min(wanted, ceiling)}
    names = {"temperature": "temperature", "top_p": "topP", "top_k": "topK"}
    config |= {
        there: request[here] for here, there in names.items() if request.get(here) is not None
    }
    stops = request.get("stop_sequences")
    if stops and len(stops) > MAX_STOPS:
        raise InvalidRequest(f"stop_sequences: {model} takes at most {MAX_STOPS}")
    if stops:
        config["stopSequences"] = stops
    if asked.schema is not None:
        config |= {
            "responseMimeType": "application/json",
            "responseSchema": for_gemini(asked.schema),
        }
    _put_thinking(config, asked, model, facts, dropped)
    return config


def _put_thinking(
    config: Json, asked: Request, model: str, facts: ModelFacts | None, dropped: Counter[str]
) -> None:
    """A level from Gemini 3 on, a budget before."""
    effort = asked.effort
    if facts and facts.thinking == "none":
        if effort not in ("", "off"):
            dropped["thinking"] += 1
        return
    if not effort:
        return
    thinking: Json = {"includeThoughts": effort != "off"}
    if effort == "off" and facts and not facts.thinking_off:
        effort = "low"
    if _by_level(model, facts):
        thinking["thinkingLevel"] = LEVELS.get(effort, "high")
    else:
        thinking["thinkingBudget"] = BUDGETS.get(effort, 24_576)
    config["thinkingConfig"] = thinking


def _by_level(model: str, facts: ModelFacts | None) -> bool:
    if facts:
        return facts.thinking == "adaptive"
    return not model.startswith(("gemini-1", "gemini-2"))


def _contents(asked: Request, model: str, unsigned: str, dropped: Counter[str]) -> list[Json]:
    """Turns of alternating roles; neighbours of the same role become one."""
    names = {
        block["id"]: block["name"]
        for turn in asked.turns
        for block in turn.blocks
        if block["type"] == "tool_use"
    }
    out: list[Json] = []
    for turn in asked.turns:
        role = "model" if turn.role == "assistant" else "user"
        if role == "model":
            parts = list(_model_parts(turn, model, unsigned, dropped))
        else:
            parts = list(_user_parts(turn, names))
        if not parts:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["parts"] += parts
        else:
            out.append({"role": role, "parts": parts})
    for content in out:
        content["parts"].sort(key=lambda part: "functionResponse" not in part)
    return out


def _model_parts(turn: Turn, model: str, unsigned: str, dropped: Counter[str]) -> Iterator[Json]:
    """Only the first of parallel calls is signed. A call that this model did not make gets
    Google's word for that."""
    signature, first = "", True
    for block in turn.blocks:
        kind = block["type"]
        if kind in ("thinking", "redacted_thinking"):
            made = signatures.read(str(block.get("signature") or ""))
            if made and made.dialect == NAME and made.model == model:
                signature = made.payload or signature
            else:
                dropped["thinking"] += 1
        elif kind == "tool_use":
            part: Json = {"functionCall": {"name": block["name"], "args": block.get("input") or {}}}
            if first and (signature or unsigned):
                part["thoughtSignature"] = signature or unsigned
            first = False
            yield part
        elif kind == "text":
            yield {"text": block["text"]}


def _user_parts(turn: Turn, names: dict[str, str]) -> Iterator[Json]:
    if turn.role == "system":
        text = text_of(turn.blocks)
        if text:
            yield {"text": reminder(text)}
        return
    for block in turn.blocks:
        if block["type"] == "tool_result":
            yield _response(block, names, f"messages.{turn.at}")
            yield from (_media(each) for each in block["content"] if each["type"] != "text")
        elif block["type"] == "text":
            yield {"text": block["text"]}
        else:
            yield _media(block)


def _response(block: Json, names: dict[str, str], where: str) -> Json:
    name = names.get(block["tool_use_id"])
    if not name:
        raise InvalidRequest(f"{where}: no tool_use has the id {block['tool_use_id']!r}")
    said = text_of(block["content"])
    if not said and block["content"]:
        said = "See the files that follow."
    return {
        "functionResponse": {
            "name": name,
            "response": {"error" if block.get("is_error") else "result": said},
        }
    }


def _media(block: Json) -> Json:
    source = block["source"]
    kind = "application/pdf" if block["type"] == "document" else ""
    if source["type"] == "url":
        uri = str(source["url"])
        return {"fileData": {"mimeType": kind or _image_type(uri), "fileUri": uri}}
    mime = str(source.get("media_type") or kind)
    return {"inlineData": {"mimeType": mime, "data": source.get("data")}}


def _image_type(url: str) -> str:
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    return f"image/{ending}" if ending in ("png", "webp", "gif") else "image/jpeg"


def from_upstream(response: Json, model: str) -> Json:
    if error := _error(response):
        raise UpstreamFailed(error.message, {"type": error.type, "status": error.status})
    candidate = (response.get("candidates") or [{}])[0]
    content: list[Json] = []
    for part in (candidate.get("content") or {}).get("parts") or []:
        content += _blocks(part, model, content)
    stop, words = _stop(response, candidate, any(b["type"] == "tool_use" for b in content))
    if words:
        content.append({"type": "text", "text": words})
    return message(response.get("responseId"), model, content, stop, usage_of(response))


def _blocks(part: Json, model: str, before: list[Json]) -> list[Json]:
    """A part as blocks; what continues the block before it is added there."""
    if "functionCall" in part:
        call = part["functionCall"]
        block = {
            "type": "tool_use",
            "id": call_id(call.get("id")),
            "name": str(call.get("name") or ""),
            "input": load_arguments(call.get("args")),
        }
        signature = part.get("thoughtSignature")
        if not signature:
            return [block]
        signed = signatures.sign(NAME, model, str(signature))
        if before and before[-1]["type"] == "thinking":
            before[-1]["signature"] = signed
            return [block]
        return [{"type": "thinking", "thinking": "", "signature": signed}, block]
    text = part.get("text")
    if not isinstance(text, str) or not text:
        return []
    kind = "thinking" if part.get("thought") else "text"
    if before and before[-1]["type"] == kind:
        before[-1][kind] += text
        return []
    if kind == "text":
        return [{"type": "text", "text": text}]
    return [{"type": "thinking", "thinking": text, "signature": signatures.sign(NAME, model)}]


def _stop(response: Json, candidate: Json, called: bool) -> tuple[str, str]:
    """The stop reason, and words where a refusal would otherwise say nothing."""
    reason = str(candidate.get("finishReason") or "")
    blocked = (response.get("promptFeedback") or {}).get("blockReason")
    if blocked:
        return "refusal", f"The provider blocked the prompt: {blocked}."
    if reason in BROKEN:
        raise Garbled(
            f"The model made a malformed tool call ({reason}).",
            {"type": "api_error", "status": 502},
        )
    if called and reason in ("STOP", ""):
        return "tool_use", ""
    if not reason:
        raise UpstreamFailed("The provider sent no answer.", {"type": "api_error", "status": 502})
    return STOPS.get(reason, "refusal"), ""


def usage_of(response: Json) -> Tokens | None:
    return believed(_tokens, response.get("usageMetadata"))


def _tokens(usage: Any) -> Tokens:
    """`promptTokenCount` includes the cached ones; thoughts are beside the candidates'. What is
    zero is left out."""
    cached = maybe(usage, "cachedContentTokenCount")
    prompt = told(usage, "promptTokenCount") + maybe(usage, "toolUsePromptTokenCount")
    thoughts = maybe(usage, "thoughtsTokenCount")
    return Tokens(
        input=max(0, prompt - cached),
        cache_read=cached,
        output=maybe(usage, "candidatesTokenCount") + thoughts,
        reasoning=thoughts,
    )


def error_of(status: int, body: bytes) -> ProviderError:
    parsed = parse(body)
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict):
        return failure(status, "", words_of(body))
    message_, word = str(error.get("message") or ""), str(error.get("status") or "")
    if status == 400 and "API key not valid" in message_:
        return ProviderError("authentication_error", message_, 401)
    return failure(status, "", message_, word)


def _error(chunk: Json) -> ProviderError | None:
    """An error inside an answer of HTTP 200; Gemini ends streams so."""
    error = chunk.get("error")
    if not isinstance(error, dict):
        return None
    code = error.get("code")
    status = code if isinstance(code, int) else STATUSES.get(str(error.get("status")), 500)
    return error_of(status, dump_text(chunk).encode())


class Stream:
    """Chunks to events. Calls come whole; usage comes with every chunk, the last one counts."""

    def __init__(self, model: str, input_tokens: int) -> None:
        self._events = EventData()
        self._writer = Writer(NAME, model, input_tokens)
        self._tokens: Tokens | None = None
        self._last: Json | None = None
        self._calls = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        for data in self._events.feed(chunk):
            self._take(data)
        return self._writer.take()

    def close(self) -> list[bytes]:
        for data in self._events.close():
            self._take(data)
        if self._last is None:
            self._writer.fail(CUT)
        elif not self._writer.ended:
            self._take(b"", self._last)
        return self._writer.take()

    def _take(self, data: bytes, last: Json | None = None) -> None:
        """The next chunk, or the end, which `last` tells."""
        if self._writer.ended:
            return
        try:
            if last is None:
                self._read(load_object(data))
            else:
                self._end(last)
        except UNREADABLE:
            self._writer.fail(GARBLED)

    def _read(self, chunk: Json) -> None:
        if error := _error(chunk):
            self._writer.fail(error)
            return
        self._writer.start(chunk.get("responseId"))
        if chunk.get("usageMetadata"):
            self._tokens = usage_of(chunk)
        candidate = (chunk.get("candidates") or [{}])[0]
        for part in (candidate.get("content") or {}).get("parts") or []:
            self._part(part)
        if candidate.get("finishReason") or chunk.get("promptFeedback"):
            self._last = chunk

    def _part(self, part: Json) -> None:
        if "functionCall" in part:
            call = part["functionCall"]
            if part.get("thoughtSignature"):
                self._writer.signature(str(part["thoughtSignature"]))
            self._calls += 1
            self._writer.call(self._calls, call.get("id"), str(call.get("name") or ""))
            self._writer.arguments(self._calls, dump_text(load_arguments(call.get("args"))))
        elif isinstance(part.get("text"), str):
            write = self._writer.thinking if part.get("thought") else self._writer.text
            write(part["text"])

    def _end(self, chunk: Json) -> None:
        candidate = (chunk.get("candidates") or [{}])[0]
        try:
            stop, words = _stop(chunk, candidate, self._writer.called)
        except UpstreamFailed as error:
            self._writer.fail(ProviderError("api_error", error.detail, 502))
            return
        self._writer.text(words)
        self._writer.finish(stop, self._tokens)
