"""JSON at the edges of masking: strings in and out, containers one level deep.

msgspec refuses lone surrogates, which JSON allows; the standard library takes them, so it
answers where msgspec will not.
"""

import json

import msgspec
from msgspec import Raw

_STRING = msgspec.json.Decoder(str)
_LIST = msgspec.json.Decoder(list[Raw])
_OBJECT = msgspec.json.Decoder(dict[str, Raw])

# What msgspec raises for bytes that are no JSON of the wanted shape, no UTF-8, or nested too deep.
REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def string(raw: bytes) -> str | None:
    """The text of a JSON string; None for any other value."""
    try:
        return _STRING.decode(raw)
    except msgspec.ValidationError:
        return None
    except REFUSED:
        value = _loads(raw)
        return value if isinstance(value, str) else None


def items(raw: bytes) -> list[Raw] | None:
    """The elements of a JSON array, undecoded; None for any other value."""
    try:
        return _LIST.decode(raw)
    except msgspec.ValidationError:
        return None
    except REFUSED:
        value = _loads(raw)
        return [encoded(item) for item in value] if isinstance(value, list) else None


def members(raw: bytes) -> dict[str, Raw] | None:
    """The fields of a JSON object, undecoded and in order; None for any other value."""
    try:
        return _OBJECT.decode(raw)
    except msgspec.ValidationError:
        return None
    except REFUSED:
        value = _loads(raw)
        return {k: encoded(v) for k, v in value.items()} if isinstance(value, dict) else None


def encoded(value: object) -> Raw:
    """A value as JSON bytes. Raw parts go on verbatim."""
    try:
        return Raw(msgspec.json.encode(value))
    except UnicodeEncodeError:
        return Raw(json.dumps(_plain(value), separators=(",", ":")).encode())


def inner(text: str) -> str:
    """How a text stands inside a JSON string, without the quotes."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def kind(raw: Raw | bytes | None) -> bytes:
    """The first byte of a value: what kind of JSON it is."""
    return bytes(memoryview(raw)[:1]) if raw is not None else b""


def _loads(raw: bytes) -> object:
    try:
        value: object = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        return None
    return value


def _plain(value: object) -> object:
    if isinstance(value, Raw):
        return json.loads(bytes(value))
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
