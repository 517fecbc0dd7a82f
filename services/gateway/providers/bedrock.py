"""Claude on AWS Bedrock: InvokeModel and InvokeModelWithResponseStream.

Sources: docs.aws.amazon.com/bedrock model-parameters-anthropic-claude-messages, and the
event-stream framing of smithy.io. The key is a Bedrock API key (sent as Bearer) or
`ACCESS:SECRET[:SESSION]`; empty means the machine's own AWS credentials (see signing.py).
"""

import base64
import struct
import zlib
from urllib.parse import quote

from libs.common.catalogue import ModelFacts
from services.gateway.providers.anthropic import from_upstream, usage_of
from services.gateway.providers.base import Json, Options, Origin, ProviderError, Translated
from services.gateway.providers.claude_cloud import prepare, refuse_server_tools, tidy
from services.gateway.providers.events import CUT, GARBLED, UNREADABLE, error_event, event, failed
from services.gateway.providers.failures import failure, parse, words_of
from services.gateway.providers.text import load_object

__all__ = [
    "STREAM_TYPE",
    "Stream",
    "error_of",
    "from_upstream",
    "headers",
    "path",
    "to_upstream",
    "usage_of",
]

STREAM_TYPE = "application/vnd.amazon.eventstream"
VERSION = "bedrock-2023-05-31"
TAKES = frozenset(
    (
        "messages",
        "system",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "context_management",
    )
)
BETAS = frozenset(
    (
        "compact-2026-01-12",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dev-full-thinking-2025-05-14",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "mid-conversation-system-2026-04-07",
        "output-128k-2025-02-19",
        "thinking-binding-controls-2026-08-01",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    )
)
# Models older than the plain names; a line in the provider's options overrides any.
IDS = {
    "claude-opus-4-1": "anthropic.claude-opus-4-1-20250805-v1:0",
    "claude-sonnet-4-5": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-haiku-4-5": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "claude-opus-4-5": "anthropic.claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-6": "anthropic.claude-opus-4-6-v1",
}
PROFILES = {"us": "us.", "eu": "eu.", "ap": "apac."}
# Bytes of a frame: what stands around its payload, and more than AWS sends in one.
SHORTEST, LONGEST = 16, 25 * 1024 * 1024
STATUSES = {
    "throttlingException": 429,
    "validationException": 400,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 504,
}


def path(model: str, stream: bool, options: Options) -> str:
    method = "invoke-with-response-stream" if stream else "invoke"
    return f"/model/{quote(model_id(model, options), safe='')}/{method}"


def model_id(model: str, options: Options) -> str:
    """Bedrock's id: through the region's inference profile, unless options say otherwise."""
    if model in options:
        return options[model]
    if "." in model or model.startswith("arn:"):
        return model
    area = options.get("region", "").partition("-")[0]
    profile = options.get("profile", PROFILES.get(area, "global."))
    return profile + IDS.get(model, f"anthropic.{model}")


def headers(credential: str, options: Options) -> dict[str, str]:
    """A Bedrock API key as Bearer. Anything else is signed over the whole request."""
    if is_api_key(credential):
        return {"authorization": f"Bearer {credential}"}
    return {}


def is_api_key(credential: str) -> bool:
    return bool(credential) and ":" not in credential


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    made, betas = prepare(request, model, origin, TAKES, BETAS)
    body = made.body
    refuse_server_tools(body, "Bedrock")
    tidy(body)
    body["anthropic_version"] = VERSION
    if betas:
        body["anthropic_beta"] = betas
    return made


def error_of(status: int, body: bytes) -> ProviderError:
    parsed = parse(body)
    kind = str(parsed.get("__type") or "") if isinstance(parsed, dict) else ""
    return failure(status, kind, words_of(body))


class Stream:
    """AWS event-stream frames to Anthropic's own events, which they carry."""

    def __init__(self, model: str, input_tokens: int) -> None:
        self._rest = b""
        self._content = self._ended = False

    def feed(self, chunk: bytes) -> list[bytes]:
        self._rest += chunk
        out: list[bytes] = []
        while len(self._rest) >= SHORTEST and not self._ended:
            (length,) = struct.unpack_from(">I", self._rest)
            if not SHORTEST <= length <= LONGEST:
                return out + self._fail(GARBLED)
            if len(self._rest) < length:
                break
            frame, self._rest = self._rest[:length], self._rest[length:]
            out += self._frame(frame)
        return out

    def close(self) -> list[bytes]:
        if self._ended:
            return []
        return self._fail(CUT)

    def _frame(self, frame: bytes) -> list[bytes]:
        try:
            kinds, payload = read_frame(frame)
            if kinds.get(":message-type") in ("exception", "error"):
                name = kinds.get(":exception-type") or kinds.get(":error-code", "")
                return self._fail(failure(STATUSES.get(name, 500), name, words_of(payload)))
            data = base64.b64decode(load_object(payload).get("bytes") or "")
            return self._event(load_object(data)) if data else []
        except UNREADABLE:
            return self._fail(GARBLED)

    def _event(self, told: Json) -> list[bytes]:
        kind = str(told.get("type"))
        if not kind.isidentifier():
            raise ValueError("no type of an event")
        self._content = self._content or kind == "content_block_start"
        self._ended = self._ended or kind == "message_stop"
        return [event(told)]

    def _fail(self, error: ProviderError) -> list[bytes]:
        self._ended = True
        if not self._content:
            raise failed(error)
        return [error_event(error.type, error.message)]


def read_frame(frame: bytes) -> tuple[dict[str, str], bytes]:
    """(headers, payload) of one frame: lengths and their checksum, headers, payload, checksum.
    Raises ValueError, IndexError."""
    length, header_length, checksum = struct.unpack_from(">III", frame)
    (whole,) = struct.unpack_from(">I", frame, length - 4)
    if zlib.crc32(frame[:8]) != checksum or zlib.crc32(frame[:-4]) != whole:
        raise ValueError("a checksum")
    found: dict[str, str] = {}
    at, end = 12, 12 + header_length
    while at < end:
        name_length = frame[at]
        name = frame[at + 1 : at + 1 + name_length].decode()
        at += 1 + name_length
        if frame[at] != 7:  # Bedrock sends texts only
            raise ValueError("a type")
        size = int.from_bytes(frame[at + 1 : at + 3])
        found[name] = frame[at + 3 : at + 3 + size].decode()
        at += 3 + size
    return found, frame[end : length - 4]
