"""Names that announce a secret, found in lower-cased text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.pii.rules.words import words

# One branch for each first letter, so that the search skips quickly.
STEM = re.compile(
    r"token|a(?:uthoriz|uth(?![a-z]))|s(?:ecret|ig(?:nature)?=|alt(?![a-z])|enha)"
    r"|c(?:redential|ontrase[nñ]a)|p(?:ass(?:w(?:or)?d|wort|phrase|code)?|wd|w(?![a-z])|sw"
    r"|sk(?![a-z]))|dsn(?![a-z])|mot[ _-]de[ _-]passe|bearer|wachtwoord|k(?:ey|ennwort)"
    r"|пароль?|パスワード|密[码碼]|비밀번호"
)
WEAK = re.compile(r"pass|psk|p[s]?wd?|kennwort|contrase|mot|senha|wachtwoord|паро|パス|密|비밀")
# A key is a secret only as one of these.
KEY_OF = words(
    """api app access private auth encrypt encryption sign signing account master secure secret
    crypto server service license licence session webhook deploy hmac jwt aes shared storage
    client subscription integration admin ingest functions consumer fernet cipher bot vault
    cookie maps db user recovery signature write read project org azure openai stripe
    sendgrid"""
)
NOT_KEY_OF = words(
    """public primary foreign cache sort partition hash routing idempotency object s3 row column
    group hot short arrow map dict json field index composite natural surrogate query host
    known on is has no by the a any this that shift ctrl alt tab enter delete escape site"""
)
# Before a stem, these make it the name of something else: `next_token`, `public key`, `bypass`.
OTHER = words(
    """continuation special prompt cursor cancellation cancel resume previous public change syntax
    lexer parse parser keyword completion input output cached reasoning total without design
    invalid missing upload image video audio first second"""
)
# The same, but as words of their own: admin, rsync and send are none of them.
SHORT_OTHER = words(
    """next page paging sync pad eos bos unk mask sep cls stop max min num start end prev last per
    no text each by com tres sur under over"""
)
# What may follow the stem inside the name; anything else makes it the name of another thing.
TAIL = re.compile(
    r"(?:ation|s(?![a-z])|_?[0-9]{1,3}(?![a-z])|[_-]?(?:value|base|main|prod(?:uction)?|live|dev"
    r"|staging|primary|secondary|default|current|new|old|raw|plain(?:text)?|text|str|string|env"
    r"|admin|root|user|access|private|bot|key|secret|token|hex|b64|base64|data|global|local|eu|us|v[0-9]))*"
)
PASS_OF = words("db user my smtp mail root admin sql ftp ssh pg redis the your")
KEY_BEFORE = 24


class Name(NamedTuple):
    start: int
    end: int
    stem: str
    weak: bool


def find(lower: str) -> Iterator[Name]:
    """`weak` marks passwords, which people choose; what the others name is random."""
    for match in STEM.finditer(lower):
        stem = match[0]
        before = lower[max(0, match.start() - KEY_BEFORE) : match.start()]
        if not _announces(stem, before):
            continue
        tail = TAIL.match(lower, match.end())
        end = match.end() - 1 if stem.endswith("=") else tail.end() if tail else match.end()
        following = lower[end : end + 1]
        if not (following.isalnum() or following == "_"):
            yield Name(match.start(), end, stem, WEAK.match(stem) is not None)


def _announces(stem: str, before: str) -> bool:
    word = before[:-1] if before[-1:] in (" ", "_", "-") else before
    if word.endswith(OTHER) or word.endswith(SHORT_OTHER) and _ends_alone(word):
        return False
    if stem == "key":
        return _is_secret_key(before)
    if stem in ("pass", "pw", "psw"):
        return not before[-1:].isalpha() or before.endswith(PASS_OF)
    if stem in ("sig=", "signature="):
        return before[-1:] in ("&", "?", "-")
    if stem in ("auth", "dsn", "salt", "psk"):
        return not before[-1:].isalnum()
    return True


def _ends_alone(word: str) -> bool:
    """Whether one of the short words at the end is no part of a longer one."""
    ends = (word[: -len(other)] for other in SHORT_OTHER if word.endswith(other))
    return any(not rest[-1:].isalpha() for rest in ends)


def _is_secret_key(before: str) -> bool:
    """`…_key` in general, but for the keys of tables and maps; `key` alone never."""
    word = before[:-1] if before[-1:] in (" ", "_", "-", ".") else before
    if word.endswith(KEY_OF):
        return True
    return before.endswith("_") and not word.endswith(NOT_KEY_OF)
