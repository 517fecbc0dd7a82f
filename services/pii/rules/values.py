"""Whether a value that bears a secret's name is a secret."""

import base64
import binascii
import re

from services.pii.rules import shape
from services.pii.rules.dummies import stands_for_one

STRONG_SIGNS = frozenset("!@#$%^&*?~+")
IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.|-)[A-Za-z_$][\w$]*)*[!?]?\Z")
REFERENCE = re.compile(
    r"(?:\.{0,2}/[A-Za-z_.-]{1,24}(?:/|\Z|\.)|\.{1,2}/|~/|[A-Za-z]:\\|[a-z][a-z0-9+.-]{1,20}://|arn:|urn:|file:|env:|vault:|ref:|op://"
    r"|secret[s]?[:/.]|sha(?:1|256|384|512)[:-]|md5:|data:|bcrypt|\$2[aby]\$|\$argon|\$pbkdf|\$[156]\$"
    r"|pbkdf2|argon2|ssh-|-----|[*&][A-Za-z_]+\Z)"
)
CODE = re.compile(r"[(){}\[\]]|==|&&|\|\||=>|->|::|\+\+|[<>]|\w\.\w+\.\w|;$")
RANDOM = re.compile(r"[A-Za-z0-9+/_.~-]+={0,2}\Z")
LEAST = 8
LONGEST_PASSWORD = 64


def is_code(value: str) -> bool:
    """An expression, unless it is random."""
    return CODE.search(value) is not None and not (RANDOM.match(value) and shape.is_random(value))


def is_secret(value: str, *, weak: bool, env: bool = False, uuid: bool = True) -> bool:
    """`weak`: it is named as a password, so a person may have chosen it. `env`: it stands in a
    file of settings, where a value is hardly ever an expression. `uuid`: a UUID may be one."""
    if len(value) < LEAST or REFERENCE.match(value) or stands_for_one(value):
        return False
    if any(char.isspace() for char in value):
        return False
    if shape.UUID.match(value):
        return uuid
    if shape.is_random(value) or is_basic(value):
        return True
    return weak and len(value) <= LONGEST_PASSWORD and _is_password(value, env)


def is_basic(value: str) -> bool:
    """`user:password` in base64, as basic authentication and registries have it."""
    if len(value) < 12 or len(value) % 4 or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", value):
        return False
    try:
        plain = base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    if not (plain.isascii() and plain.decode("ascii").isprintable()):
        return False
    user, colon, password = plain.decode("ascii").partition(":")
    return bool(colon and user != password) and len(password) >= 4 and not stands_for_one(password)


def _is_password(value: str, env: bool) -> bool:
    found = shape.kinds(value)
    strong = bool(STRONG_SIGNS & set(value))
    if IDENTIFIER.match(value):
        return _is_mixed(value, env)
    if shape.DIGIT in found and len(found) >= 3:
        mixed = len(found) == 4 or shape.SIGN not in found or shape.jumble(value) >= 0.15
        return strong or env or mixed
    return (strong or env) and len(found) >= 3 or (strong and env)


def _is_mixed(value: str, env: bool) -> bool:
    """Letters and digits that could be an identifier: a password only if in no order."""
    found = shape.kinds(value) - {shape.SIGN}
    if shape.DIGIT in found:
        return env or len(found) == 3 and ("_" not in value or shape.jumble(value) >= 0.15)
    return len(found) == 2 and len(value) >= 10 and shape.jumble(value) >= 0.2
