"""A provider's error answer in Anthropic's words: type, sentence, status.

Clients match on the sentence: "prompt is too long: N tokens > M maximum" makes Claude Code
compact the conversation, so every provider's way to say it becomes that one.
"""

import html
import re
from typing import Any

import msgspec

from services.gateway.providers.base import ProviderError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MAX_WORDS = 2000
# Bytes of a page that are searched for its sentence; the search takes the square of them.
MAX_PAGE = 4096
# How deep a sentence may be hidden in an error.
MAX_DEPTH = 8

_TAGS = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.S | re.I)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.S | re.I)
_TOO_LONG = re.compile(
    r"prompt is too long|maximum (context|prompt) length|context_length_exceeded|input is too long"
    r"|exceeds the (maximum number of tokens|available context|model's (maximum )?context)"
    r"|context (window|limit)|too large for model|reduce the length of the (messages|input)"
    r"|input token count .{0,40}exceeds|max_new_tokens",
    re.I,
)
# The figures, in the ways in which providers tell them; the first match counts.
_FIGURES = tuple(
    re.compile(pattern.replace("N", r"\d[\d,]*"), re.I | re.S)
    for pattern in (
        r"context length is (?P<limit>N).{0,90}\((?P<used>N) in the messages\D{1,6}(?P<asked>N) in",
        r"context (?:length|window|size)\D{0,40}?(?P<limit>N)"
        r".{0,120}?(?:requested|resulted in|contains?|given|has|used)\D{0,30}(?P<used>N)",
        r"prompt length\D{0,40}?(?P<limit>N).{0,90}?contains\D{0,30}(?P<used>N)",
        r"contains (?P<used>N) tokens.{0,90}?model with (?P<limit>N) maximum",
        r"(?:token count|prompt is too long:?|request \()\D{0,20}(?P<used>N)"
        r".{0,160}?(?:maximum|limit|allowed|context|>)\D{0,40}(?P<limit>N)",
    )
)
_BROKE = re.compile(r"insufficient_quota|insufficient balance|exceeded your current quota", re.I)
# Told with status 400, but about the account or its key and not about the request.
_KEY = re.compile(r"credit balance is too low|api.?key.{0,20}(not valid|invalid|expired)", re.I)
_BUSY = re.compile(r"overloaded|over capacity|capacity exceeded|server is busy", re.I)


def parse(body: bytes) -> Any:
    """The JSON value of an error body, or None for HTML, plain text and nothing."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def words_of(body: bytes) -> str:
    """The sentence in an error body of any shape: JSON, HTML page, plain text."""
    parsed = parse(body)
    if parsed is not None:
        return _sentence(parsed)[:MAX_WORDS]
    text = body[:MAX_PAGE].decode("utf-8", "replace")
    title = _TITLE.search(text)
    if title:
        text = title[1] or title[2] or ""
    return " ".join(html.unescape(_TAGS.sub(" ", text)).split())[:300]


def failure(status: int, kind: str, message: str, code: str = "") -> ProviderError:
    """The answer for the client, from the status, the provider's own type and its sentence."""
    message = message[:MAX_WORDS]
    told = f"{message} {code[:MAX_WORDS]} {kind[:MAX_WORDS]}"
    if status in (400, 413, 422, 500) and _TOO_LONG.search(told):
        return ProviderError("invalid_request_error", too_long(message), 400)
    if _BROKE.search(told):
        return ProviderError("billing_error", message, 402)
    if status in (500, 503) and _BUSY.search(told):
        return ProviderError("overloaded_error", message, 529)
    message = message or f"The provider answered HTTP {status} without saying why."
    status = 400 if status == 422 else refusing(status)
    kind = "invalid_request_error" if status < 500 else "api_error"
    return ProviderError(TYPES.get(status, kind), message, status)


def blames_key(error: ProviderError) -> bool:
    """Would the same request do with another key?"""
    return error.type == "billing_error" or bool(_KEY.search(error.message))


def too_long(message: str) -> str:
    """ "prompt is too long: N tokens > M maximum" where the sentence has the figures."""
    if message.startswith(("prompt is too long", "input length and `max_tokens` exceed")):
        return message
    found = next(filter(None, (figures.search(message) for figures in _FIGURES)), None)
    if found is None:
        return f"prompt is too long: {message}"
    told = {name: int(text.replace(",", "")) for name, text in found.groupdict().items()}
    if "asked" in told:
        return (
            "input length and `max_tokens` exceed context limit: "
            f"{told['used']} + {told['asked']} > {told['limit']} ({message})"
        )
    return f"prompt is too long: {told['used']} tokens > {told['limit']} maximum ({message})"


def refusing(status: int) -> int:
    """The status for the client, where a provider said what HTTP does not know as a refusal."""
    return status if 400 <= status < 600 else 502


def _sentence(value: Any, depth: int = MAX_DEPTH) -> str:
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_sentence(each, depth - 1) for each in value[:5])))
    if isinstance(value, dict):
        for name in ("error", "message", "msg", "detail", "errorMessage", "Message"):
            if value.get(name):
                return _sentence(value[name], depth - 1)
    return ""
