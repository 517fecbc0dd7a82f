"""A Messages request as it arrived: the raw bytes and its top-level fields, undecoded.

Passthrough keeps bytes: only fields that must change are written anew, all others go on as
they came (numbers, key order, unknown fields). msgspec refuses lone surrogates, which JSON
allows; such a body is parsed with stand-ins that are put back when it is sent.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec

from libs.common.errors import InvalidRequest
from libs.common.settings.gateway import GatewaySettings
from services.gateway.bounds import KNOWN_BYTES, KNOWN_TOOLS, check_bounds

Fields = dict[str, msgspec.Raw]
FIELDS = msgspec.json.Decoder(Fields)
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

# Far above any model's name; it is told to every service, and logged.
MAX_MODEL = 500

# What reading bytes as JSON raises, beside a wrong type.
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
NOT_UTF8 = "holds bytes that are not valid UTF-8; send the body as UTF-8"

# A surrogate escape without its other half. Bounded: fixed width, no repetition.
LONE = re.compile(
    rb"(?<!\\)((?:\\\\)*)(?:"
    rb"\\u([dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2}))"
)
# Stand-ins live in the private use area, in a block the body does not use itself.
STAND_IN_BLOCKS = (0xE000, 0xF000)


class Body:
    """`model`, `stream` and `max_tokens` are checked; everything else is the provider's
    business. `fields` is never mutated; `tools` are its tools again, by themselves."""

    __slots__ = ("_shift", "_stood_in", "fields", "max_tokens", "model", "raw", "stream", "tools")

    def __init__(
        self, raw: bytes, settings: GatewaySettings | None = None, *, needs_max_tokens: bool = True
    ) -> None:
        """Without settings: a body of our own making, which is not checked against bounds."""
        self.raw = raw
        self._shift = 0
        self._stood_in: set[int] = set()
        self.fields = self._parse(raw)
        self.tools = bytes(self.fields.get("tools", b""))
        if not raw.isascii():
            check_utf8(self.fields, self.tools)
        if settings:
            check_bounds(self.fields, self.tools, settings)
        self.model = self._text("model")
        self.stream = self._flag("stream")
        self.max_tokens = self._count("max_tokens", required=needs_max_tokens)
        self._check_messages()

    def encoded(self, fields: Fields) -> bytes:
        """The bytes to send for these fields: the original ones if none was changed."""
        original = self.fields
        if len(fields) == len(original) and all(
            fields.get(name) is raw for name, raw in original.items()
        ):
            return self.raw
        return self.restored(msgspec.json.encode(fields))

    def tree(self, fields: Fields) -> dict[str, Any]:
        """Fields decoded in full, for dialects that translate. Raises InvalidRequest for numbers
        that nobody can hold."""
        try:
            decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
        except (msgspec.DecodeError, RecursionError) as error:
            raise unreadable(error) from None
        return decoded

    def _parse(self, raw: bytes) -> Fields:
        try:
            return FIELDS.decode(raw)
        except msgspec.ValidationError:
            raise InvalidRequest("the body must be a JSON object") from None
        except (RecursionError, UnicodeDecodeError) as error:
            raise unreadable(error) from None
        except msgspec.DecodeError as error:
            if not LONE.search(raw):
                raise unreadable(error) from None
        return self._parse_with_stand_ins(raw)

    def _parse_with_stand_ins(self, raw: bytes) -> Fields:
        self._shift = next(
            (b for b in STAND_IN_BLOCKS if not _uses_block(raw, b)), STAND_IN_BLOCKS[0]
        )
        try:
            return FIELDS.decode(LONE.sub(self._stand_in, raw))
        except UNREADABLE as error:
            raise unreadable(error) from None

    def _stand_in(self, match: re.Match[bytes]) -> bytes:
        code = int(match[2] or match[3], 16) - 0xD800
        self._stood_in.add(code)
        return match[1] + b"\\u%04x" % (code + self._shift)

    def restored(self, data: bytes) -> bytes:
        """Bytes made from these fields, with what stands for lone surrogates put back."""
        for code in self._stood_in:
            standing, lone = chr(self._shift + code), b"\\u%04x" % (0xD800 + code)
            data = data.replace(b"\\u%04x" % (self._shift + code), lone)
            data = data.replace(standing.encode(), lone)
        return data

    def _text(self, name: str) -> str:
        value = self._value(name, str)
        if not value:
            raise InvalidRequest(f"{name}: Field required" if value is None else f"{name}: empty")
        if len(value) > MAX_MODEL:
            raise InvalidRequest(f"{name}: over {MAX_MODEL} characters, which no name has")
        return str(value)

    def _flag(self, name: str) -> bool:
        return bool(self._value(name, bool))

    def _count(self, name: str, required: bool) -> int:
        value = self._value(name, int)
        if value is None and required:
            raise InvalidRequest(f"{name}: Field required")
        if value is not None and (value < 1 or value > 10**9):
            raise InvalidRequest(f"{name}: must be between 1 and the model's output limit")
        return int(value or 0)

    def _value(self, name: str, kind: type) -> Any:
        raw = self.fields.get(name)
        if raw is None or bytes(raw) == b"null":
            return None
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError:
            words = {str: "a valid string", int: "a valid integer", bool: "a valid boolean"}
            raise InvalidRequest(f"{name}: Input should be {words[kind]}") from None

    def _check_messages(self) -> None:
        raw = self.fields.get("messages")
        if raw is None:
            raise InvalidRequest("messages: Field required")
        first = bytes(memoryview(raw)[:64]).lstrip()
        if not first.startswith(b"["):
            raise InvalidRequest("messages: Input should be a valid list")
        if first[1:].lstrip().startswith(b"]"):
            raise InvalidRequest("messages: at least one message is required")


def check_utf8(fields: Fields, tools: bytes) -> None:
    """JSON is UTF-8, which msgspec looks at only where it makes a text of the bytes. Raises
    InvalidRequest naming the field."""
    for name, raw in fields.items():
        # Clients bring the same tools with every request, most of its bytes.
        known = name == "tools" and len(tools) <= KNOWN_BYTES
        if not (_known_is_utf8(tools) if known else _is_utf8(raw)):
            raise InvalidRequest(f"{name}: {NOT_UTF8}")


def _is_utf8(raw: bytes | msgspec.Raw) -> bool:
    try:
        str(raw, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


_known_is_utf8 = lru_cache(maxsize=KNOWN_TOOLS)(_is_utf8)


def unreadable(error: Exception) -> InvalidRequest:
    """What to tell a client whose body is no JSON that can be read."""
    if isinstance(error, RecursionError):
        return InvalidRequest("the body is nested too deep")
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest(f"the body {NOT_UTF8}")
    return InvalidRequest(f"the body is no valid JSON: {error}")


def raw_of(value: object) -> msgspec.Raw:
    """A value as a field to put into a body."""
    return msgspec.Raw(msgspec.json.encode(value))


def first_byte(raw: msgspec.Raw) -> bytes:
    """What kind of JSON value it is: `"`, `[`, `{`, a digit or a letter."""
    return bytes(memoryview(raw)[:1])


def _uses_block(raw: bytes, start: int) -> bool:
    lead = chr(start).encode()[:1]
    escape = b"\\u%x" % (start >> 12)
    return lead in raw or escape in raw.lower()
