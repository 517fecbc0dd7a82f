"""How random a string looks, from the changes between kinds of characters.

Random letters and digits change kind at almost every second character; words, identifiers,
CamelCase and versions hardly ever. This decides only where a name, a prefix or a format has
already said that a secret may stand here.
"""

import re

LOWER, UPPER, DIGIT, SIGN = "aA0-"
# Each character's kind; all but Latin letters and digits are signs, and Latin-1 letters letters.
KIND = {
    code: DIGIT if chr(code).isdigit() else UPPER if chr(code).isupper() else LOWER
    for code in range(256)
    if chr(code).isalnum()
}
KIND |= {code: SIGN for code in range(256) if code not in KIND}
# Neighbours of different kind. An upper-case letter before a lower-case one is how words begin.
CHANGES = (LOWER + UPPER, LOWER + DIGIT, UPPER + DIGIT, DIGIT + LOWER, DIGIT + UPPER)
HEX = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+)\Z")
DIGITS = re.compile("[0-9]+")
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def kinds(value: str) -> set[str]:
    return set(value.translate(KIND)) & {LOWER, UPPER, DIGIT, SIGN}


def jumble(value: str) -> float:
    """The share of neighbours of different kind."""
    pattern = value.translate(KIND)
    return sum(map(pattern.count, CHANGES)) / max(len(value) - 1, 1)


def is_hex(value: str, least: int = 16) -> bool:
    """Hexadecimal digits that are neither all digits nor all letters."""
    return (
        len(value) >= least
        and HEX.match(value) is not None
        and any(c.isdigit() for c in value)
        and any(c.isalpha() for c in value)
    )


def is_random(value: str) -> bool:
    """Letters and digits in no order that a person would write."""
    body = value.rstrip("=")
    if is_hex(body, 20):
        return True
    found = kinds(body) - {SIGN}
    if len(body) < 16 or len(found) < 2:
        return False
    if DIGIT not in found:
        return len(body) >= 20 and jumble(body) >= 0.2
    # Words hold one number at most: `S3AccessPoint`, `sha256Digest`.
    scattered = len(found) == 3 and len(DIGITS.findall(body)) > 1
    return jumble(body) >= (0.17 if scattered else 0.22)
