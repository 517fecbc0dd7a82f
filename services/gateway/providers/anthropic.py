"""Anthropic Messages: the canonical form, so nothing is translated.

Also for everything that speaks it (`dialect = "anthropic"` with another `base_url`).
"""

from collections.abc import Mapping
from typing import Any

from libs.common.catalogue import ModelFacts
from libs.common.contracts.usage import Tokens
from services.gateway.providers.base import Json, Options, Origin, ProviderError, Translated
from services.gateway.providers.counts import believed, maybe, told
from services.gateway.providers.failures import (
    MAX_WORDS,
    TYPES,
    failure,
    parse,
    refusing,
    words_of,
)

# Only for a client that sends none: the newer version refuses fields that old clients send.
VERSION = "2023-06-01"


def path(model: str, stream: bool, options: Options) -> str:
    return options.get("path", "/v1/messages")


def headers(credential: str, options: Options) -> dict[str, str]:
    """One credential header only; subscription tokens and `auth = "bearer"` go as Bearer."""
    if not credential:
        return {}
    if options.get("auth") == "bearer" or credential.startswith("sk-ant-oat"):
        return {"authorization": f"Bearer {credential}"}
    return {"x-api-key": credential}


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    return Translated({**request, "model": model}, {})


def from_upstream(response: Json, model: str) -> Json:
    return response


class Stream:
    """The bytes as they come: events, their order and unknown ones are the provider's."""

    def __init__(self, model: str, input_tokens: int) -> None:
        pass

    def feed(self, chunk: bytes) -> list[bytes]:
        return [chunk] if chunk else []

    def close(self) -> list[bytes]:
        return []


def usage_of(response: Mapping[str, Any]) -> Tokens | None:
    """Tokens of a message."""
    return tokens(response.get("usage"))


def tokens(usage: object) -> Tokens | None:
    """Of a usage, or of those of a whole stream put together."""
    return believed(_tokens, usage)


def _tokens(usage: Any) -> Tokens:
    """Anthropic's kinds do not overlap: `input_tokens` excludes cache reads and writes. Writes
    without a breakdown by lifetime are the default one, five minutes."""
    hour = maybe(usage, "cache_creation", "ephemeral_1h_input_tokens")
    five_minutes = maybe(usage, "cache_creation", "ephemeral_5m_input_tokens")
    written, output = maybe(usage, "cache_creation_input_tokens"), told(usage, "output_tokens")
    return Tokens(
        input=told(usage, "input_tokens"),
        cache_read=maybe(usage, "cache_read_input_tokens"),
        cache_write_5m=max(five_minutes, written - hour),
        cache_write_1h=hour,
        output=output,
        reasoning=min(maybe(usage, "output_tokens_details", "thinking_tokens"), output),
        web_searches=maybe(usage, "server_tool_use", "web_search_requests"),
    )


def own_error(body: bytes) -> dict[str, Any] | None:
    """What stands under `error`, if a body is an error in Anthropic's shape."""
    parsed = parse(body)
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) and isinstance(error.get("message"), str) else None


def error_of(status: int, body: bytes) -> ProviderError:
    """Anthropic's own words and type are kept as they are; anything else is read."""
    if error := own_error(body):
        kind = str(error.get("type") or TYPES.get(status, "api_error"))
        return ProviderError(kind, error["message"][:MAX_WORDS], refusing(status))
    return failure(status, "", words_of(body))
