"""Anthropic Messages: the canonical form, so nothing is translated.

Also for everything that speaks it (`dialect = "anthropic"` with another `base_url`).
"""

from collections.abc import Mapping
from typing import Any

from libs.common.catalogue import ModelFacts
from libs.common.contracts.usage import Tokens
from services.gateway.providers.base import Json, Options, Origin, ProviderError, Translated
from services.gateway.providers.failures import TYPES, failure, parse, words_of

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


def usage_of(response: Mapping[str, Any]) -> Tokens:
    """Tokens of a message, or of the `message` of a message_start, or of a message_delta."""
    usage = response.get("usage") or (response.get("message") or {}).get("usage") or {}
    return tokens(usage)


def tokens(usage: Mapping[str, Any]) -> Tokens:
    """Anthropic's kinds do not overlap: `input_tokens` excludes cache reads and writes. Writes
    without a breakdown by lifetime are the default one, five minutes."""
    split = usage.get("cache_creation") or {}
    hour = split.get("ephemeral_1h_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return Tokens(
        input=usage.get("input_tokens") or 0,
        cache_read=usage.get("cache_read_input_tokens") or 0,
        cache_write_5m=max(split.get("ephemeral_5m_input_tokens") or 0, written - hour),
        cache_write_1h=hour,
        output=usage.get("output_tokens") or 0,
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        web_searches=(usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
    )


def error_of(status: int, body: bytes) -> ProviderError:
    """Anthropic's own words and type are kept as they are; anything else is read."""
    parsed = parse(body)
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        kind = str(error.get("type") or TYPES.get(status, "api_error"))
        return ProviderError(kind, error["message"], status if status >= 400 else 502)
    return failure(status, "", words_of(body))
