"""Secrets in formats of their own: private keys, web tokens, passwords in URLs, dotted keys."""

import re
from collections.abc import Iterator

from services.pii.rules import shape
from services.pii.rules.dummies import is_filler, stands_for_one
from services.pii.rules.hit import Hit, Text
from services.pii.rules.vendors import DOTTED

BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
END = re.compile(r"-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
MAX_PEM = 16_384
# Also with headers, as a string on one line, in quotes, or indented.
BODY = re.compile(r"(?:[A-Za-z0-9+/=:,. \t\r\n\"'>|-]|\\{1,2}[nr])*")
# A key that is cut off: lines of base64.
LINES = re.compile(r"(?:(?:\s|\\{1,2}[nr]|[\"'+]){1,40}[A-Za-z0-9+/=]{16,}){1,400}")
LEAST_BODY = 64
JWT = re.compile(
    r"eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{0,8000}\.[A-Za-z0-9_-]{8,2000}(?:\.[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{8,100})?"
)
LOGIN = re.compile(
    r"[^\s/:@\"'<>`\\]{0,80}:([^\s/@\"'<>`\\](?:[^\s\"'<>`/\\]{0,120}[^\s/\"'<>`@\\])?)@(?=[\w.\[$%{-])"
)
TOKEN = re.compile(r"([A-Za-z0-9_-]{16,200})(?::x-oauth-basic)?@(?=[\w\[])")
# Vendor, literal, how far before it the key begins, format.
Format = tuple[str, str, int, "re.Pattern[str]"]
# A rare character of each literal, where there is one: the search skips from one to the next.
RARE = "~$./:"


def _sieves() -> Iterator[tuple["re.Pattern[str]", tuple[Format, ...]]]:
    """The dotted formats by their rare character, with a pattern that says if there is any."""
    groups: dict[str, list[Format]] = {}
    for vendor, literal, back, pattern in DOTTED:
        rare = next((char for char in RARE if char in literal), literal)
        groups.setdefault(rare, []).append((vendor, literal, back, re.compile(pattern)))
    for rare, formats in groups.items():
        ways = (
            f"{re.escape(literal.partition(rare)[2])}(?<={re.escape(literal)})"
            for _, literal, _, _ in formats
        )
        yield re.compile(f"{re.escape(rare)}(?:{'|'.join(ways)})"), tuple(formats)


SIEVES = tuple(_sieves())


def find(text: Text) -> Iterator[Hit]:
    yield from _private_keys(text.text)
    yield from _web_tokens(text.text)
    yield from _logins(text.text)
    for sieve, formats in SIEVES:
        if sieve.search(text.text):
            for vendor, literal, back, pattern in formats:
                yield from _dotted(text.text, vendor, literal, back, pattern)


def _private_keys(text: str) -> Iterator[Hit]:
    at = text.find("-----BEGIN ")
    while at != -1:
        hit = _private_key(text, at)
        if hit:
            yield hit
        at = text.find("-----BEGIN ", hit.end if hit else at + 11)


def _private_key(text: str, at: int) -> Hit | None:
    begin = BEGIN.match(text, at)
    if begin is None:
        return None
    end = _end_of_key(text, begin.end())
    # Only the header, as code that parses keys has it, is no key.
    if end - begin.end() < LEAST_BODY:
        return None
    return Hit(at, end, "SECRET", 1.0, "a private key")


def _end_of_key(text: str, start: int) -> int:
    stop = text.find("-----END ", start, start + MAX_PEM)
    end = END.match(text, stop) if stop != -1 else None
    if end and text.find("-----BEGIN", start, stop) == -1 and BODY.fullmatch(text, start, stop):
        return end.end()
    lines = LINES.match(text, start, start + MAX_PEM)
    return lines.end() if lines else start


def _web_tokens(text: str) -> Iterator[Hit]:
    at = text.find("eyJ")
    while at != -1:
        match = JWT.match(text, at)
        alone = at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "-_")
        if match and alone and not is_filler(match[0]):
            yield Hit(at, match.end(), "SECRET", 1.0, "a JSON web token")
        at = text.find("eyJ", match.end() if match else at + 3)


def _logins(text: str) -> Iterator[Hit]:
    at = text.find("://")
    while at != -1:
        match = LOGIN.match(text, at + 3)
        if match and _is_password(match):
            yield Hit(match.start(1), match.end(1), "SECRET", 0.95, "the password in a URL")
        elif (match := TOKEN.match(text, at + 3)) and shape.is_random(match[1]):
            yield Hit(match.start(1), match.end(1), "SECRET", 0.9, "the token in a URL")
        at = text.find("://", at + 3)


def _is_password(match: "re.Match[str]") -> bool:
    value = match[1]
    user = match[0].partition(":")[0]
    if (
        len(value) < 4
        or value == user
        or stands_for_one(value)
        or value.startswith(("$", "%", "{"))
    ):
        return False
    return len(shape.kinds(value)) >= 2 and not value.isupper()


def _dotted(
    text: str, vendor: str, literal: str, back: int, pattern: "re.Pattern[str]"
) -> Iterator[Hit]:
    at = text.find(literal)
    while at != -1:
        tries = (pattern.match(text, start) for start in range(max(0, at - back), at + 1))
        match = next((match for match in tries if match), None)
        if match and not is_filler(match[0]):
            yield Hit(match.start(), match.end(), "SECRET", 1.0, f"the key format of {vendor}")
        at = text.find(literal, max(at + len(literal), match.end() if match else 0))
