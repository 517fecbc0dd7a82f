"""JSON text in and out, where strangers' strings may hold lone surrogates."""

import json
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def dump(value: object) -> bytes:
    """Compact JSON; a lone surrogate is written as its escape."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def dump_text(value: object) -> str:
    return dump(value).decode()


def load(data: bytes | str) -> Any:
    """Any JSON value. Raises ValueError."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        return json.loads(data)


def load_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    value = load(data)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def string(value: object) -> str:
    """A text, "" for none. Raises TypeError for what is something else."""
    if value is None or isinstance(value, str):
        return value or ""
    raise TypeError("no text")


def load_arguments(text: object) -> dict[str, Any]:
    """A tool call's arguments: an object, or text of one. A model's malformed text is kept
    under `_malformed`, so that the tool, not the gateway, refuses it."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        value = load(text)
    except (ValueError, RecursionError):
        return {"_malformed": text}
    return value if isinstance(value, dict) else {"_malformed": text}
