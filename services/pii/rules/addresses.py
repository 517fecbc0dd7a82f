"""Internet addresses of machines on the public internet. Private, reserved and well-known ones,
versions and object identifiers are not personal."""

import ipaddress
import re
from collections.abc import Iterator

from services.pii.rules.hit import Hit, Text
from services.pii.rules.words import words

V4 = re.compile(r"[0-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![\w]|[.-][0-9])")
V6 = re.compile(r"[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2,39}(?![\w:])")
V6_COLON = re.compile(r":(?<=[23][0-9a-fA-F]{3}:)")
VERSION = re.compile(
    r"(?:vers(?:ion)?s?|release|\brev|build|firmware|driver|\bv|oid|[a-z+]/|[=<>~^!]=\s?|[<>~^])[\"':=\s(]{0,4}$"
)
NAMED = re.compile(
    r"(?:\bip|addr(?:ess)?|forwarded-for|host|client|remote|from|peer|src|source|dst|inet|server)[\w-]{0,8}[\"':=\s(\[]{1,4}$"
)
# The numbers of a drawing run together: `2.83-2.12 3.51.98.32 2.03.5`.
FLOATS = re.compile(r"\.[0-9]+[ ,-]$")
NUMBER = re.compile(r"[ ,-]{1,2}-?[0-9]*\.[0-9]+(?![0-9]|\.[0-9]+\.)")
# Resolvers that everyone writes into examples, and test addresses of well-known APIs.
WELL_KNOWN = frozenset(
    words(
        """8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 208.67.222.222 208.67.220.220 1.2.3.4 5.6.7.8
        4.4.4.4 2.2.2.2 3.3.3.3 4.3.2.1 2606:4700:4700::1111 2606:4700:4700::1001
        2001:4860:4860::8888 2001:4860:4860::8844"""
    )
)


def find(text: Text) -> Iterator[Hit]:
    for match in text.numbers(V4, digits=4, dots=3):
        if _is_public(match[0]) and _stands_alone(text, match) and not _is_version(text, match):
            yield Hit(match.start(), match.end(), "IP", 0.95, "a public IPv4 address")
    for match in _with_colons(text.text):
        value = _without_port(match[0])
        if value.count(":") >= 3 and _is_public(value) and _stands_alone(text, match):
            end = match.start() + len(value)
            yield Hit(match.start(), end, "IP", 0.95, "a public IPv6 address")


def _with_colons(text: str) -> "Iterator[re.Match[str]]":
    """The matches of V6, looked for at the colons, which are rare."""
    done = 0
    for colon in V6_COLON.finditer(text):
        match = V6.match(text, colon.start() - 4)
        if match and match.start() >= done:
            done = match.end()
            yield match


def _without_port(value: str) -> str:
    value = value.rstrip(":")
    return value.rpartition(":")[0] if value.count(":") == 8 else value


def _is_public(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and str(address) not in WELL_KNOWN


def _stands_alone(text: Text, match: "re.Match[str]") -> bool:
    before = text.text[max(0, match.start() - 1) : match.start()]
    return not (before.isalnum() or before in ("_", ".", ":", "-", "+"))


def _is_version(text: Text, match: "re.Match[str]") -> bool:
    before = text.before(match.start(), 24)
    if match[0].endswith(".0") and text.text[match.end() : match.end() + 1] == "/":
        return True  # a network, not a machine
    if NAMED.search(before) or before.endswith("//"):
        return False
    if match[0].endswith(".0"):
        return True
    if FLOATS.search(before) or NUMBER.match(text.text, match.end()):
        return True
    small = sum(len(part) == 1 for part in match[0].split("."))
    return small >= 2 or VERSION.search(before) is not None
