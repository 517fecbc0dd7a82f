"""E-mail addresses: every `@` with a local part before it and a known domain behind it."""

import re
from collections.abc import Iterator

from services.pii.rules.hit import Hit, Text
from services.pii.rules.suffixes import is_top_level

LATIN = re.compile(r"[A-Za-z]{2,24}(?=[^\x00-\u024f])")
LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.!#$%&*+/=?^_`{|}~-"
# What a local part may hold but hardly ever begins with: rather punctuation of the text around.
LEADING = ".!#$%&*+/=?^`{|}~-'"
MAX_LOCAL = 64
DOMAIN = re.compile(r"[^\W_][\w-]{0,62}(?:\.[^\W_][\w-]{0,62}){1,6}")
RESERVED_DOMAIN = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost|local|internal|localdomain)$"
    r"|(?:^|\.)example\.(?:com|org|net|edu)$|(?:^|\.)(?:domain|yourdomain|mydomain)\.com$"
    r"|(?:^|\.)(?:users\.)?noreply\.github\.com$|^(?:email|test|foo|bar)\.com$"
    r"|\.gserviceaccount\.com$"
)
RESERVED_LOCAL = re.compile(
    r"(?:.*[._+-])?(?:no-?reply|do-?not-?reply)|git|hg|svn|mailer-daemon|postmaster"
    r"|(?:test|your|my|some)?[._-]?(?:user|username|name|email|e-mail|address)[0-9]?|you|foo|bar|baz"
    r"|someone|somebody|nobody|test[0-9]{0,2}|a|x|xx|xxx"
)


def find(text: Text) -> Iterator[Hit]:
    plain = text.text
    at = plain.find("@")
    while at != -1:
        hit = _around(plain, at)
        if hit:
            yield hit
        at = plain.find("@", hit.end if hit else at + 1)


def _around(text: str, at: int) -> Hit | None:
    domain = DOMAIN.match(text, at + 1)
    if domain is None or text[domain.end() : domain.end() + 1] == "@":
        return None
    end = _end_of(domain[0])
    start = _start_of(text, at)
    # `https://token@host` is a login, not an address.
    if start == at or end == 0 or text.endswith("://", 0, start):
        return None
    local, host = text[start:at].lower(), domain[0][:end].lower()
    if RESERVED_DOMAIN.search(host) or RESERVED_LOCAL.fullmatch(local):
        return None
    return Hit(start, at + 1 + end, "EMAIL", 1.0, "an @ between a local part and a public domain")


def _start_of(text: str, at: int) -> int:
    before = text[max(0, at - MAX_LOCAL) : at]
    local = before[len(before.rstrip(LOCAL)) :]
    if not local.isascii():
        return at
    # `user=anna@…` and `mailto:anna@…`: what precedes the last of these is no part of it.
    for mark in "=/?&|`{}!#$%^*~":
        local = local.rpartition(mark)[2]
    local = local.lstrip(LEADING)
    return at - len(local) if not local.endswith(".") and ".." not in local else at


def _end_of(domain: str) -> int:
    """The length of the domain proper: trailing labels that are no suffix are other text."""
    labels = domain.rstrip("-_").split(".")
    while len(labels) > 1:
        if is_top_level(labels[-1].lower()):
            return len(".".join(labels))
        # Languages without spaces go on right behind it: `anna@firma.deまで`.
        latin = LATIN.match(labels[-1])
        if latin and latin.end() < len(labels[-1]) and is_top_level(latin[0].lower()):
            return len(".".join([*labels[:-1], latin[0]]))
        labels.pop()
    return 0
