"""Names that announce a secret, found in lower-cased text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Every branch begins with a letter of its own, so that the search skips quickly.
STEM = re.compile(
    r"pass(?:w(?:or)?d|wort|phrase|code)?|pwd|pw(?![a-z])|psw|secret|token|key|credential"
    r"|bearer|authoriz|auth(?![a-z])|kennwort|contrase[nñ]a|mot[ _-]de[ _-]passe|senha|wachtwoord"
    r"|пароль|парол|パスワード|密码|密碼|비밀번호|dsn(?![a-z])|signature|sig(?==)|salt(?![a-z])"
)
WEAK = re.compile(r"pass|p[s]?wd?|kennwort|contrase|mot|senha|wachtwoord|паро|パス|密|비밀")
# A key is a secret only as one of these.
KEY_OF = re.compile(
    r"(?:api|app|access|private|auth|encrypt(?:ion)?|sign(?:ing)?|account|master|secure|secret"
    r"|crypto|server|service|licen[sc]e|session|webhook|deploy|hmac|jwt|aes|shared|storage|client"
    r"|subscription|integration|admin|ingest|functions|consumer|fernet|cipher|bot|vault|cookie"
    r"|maps|db|user|recovery|signature|write|read|project|org|azure|openai|stripe|sendgrid)[ _.-]?$"
)
NOT_KEY_OF = re.compile(
    r"(?:public|primary|foreign|cache|sort|partition|hash|routing|idempotency|object|s3|row|column"
    r"|group|hot|short|arrow|map|dict|json|field|index|composite|natural|surrogate|query|host|known"
    r"|on|is|has|no|by|the|a|any|this|that|shift|ctrl|alt|tab|enter|delete|escape|site)[ _.-]?$"
)
# Before a stem, these make it the name of something else.
OTHER = re.compile(
    r"(?:next|page|paging|continuation|sync|pad|eos|bos|unk|mask|sep|cls|stop|special|prompt|max|min"
    r"|num|cursor|cancellation|cancel|start|end|resume|prev|previous|last|public|change|syntax|lexer"
    r"|parser?|keyword|completion|input|output|cached|reasoning|total|per|no|without|design|invalid"
    r"|missing|upload|image|video|audio|text|first|second|each|by|com|tres|sur|under|over|tooling"
    r"|(?<![a-z])by)[ _-]?$"
)
# What may follow the stem inside the name; anything else makes it the name of another thing.
TAIL = re.compile(
    r"(?:ation|s(?![a-z])|_?[0-9]{1,3}(?![a-z])|[_-]?(?:value|base|main|prod(?:uction)?|live|dev"
    r"|staging|primary|secondary|default|current|new|old|raw|plain(?:text)?|text|str|string|env"
    r"|admin|root|user|access|bot|key|secret|token|hex|b64|base64|data|global|local|eu|us|v[0-9]))*"
)
PASS_AFTER = re.compile(
    r"(?:^|[^a-z]|db|user|my|smtp|mail|root|admin|sql|ftp|ssh|pg|redis|the|your)$"
)
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
        end = tail.end() if tail else match.end()
        following = lower[end : end + 1]
        if not (following.isalnum() or following == "_"):
            yield Name(match.start(), end, stem, WEAK.match(stem) is not None)


def _announces(stem: str, before: str) -> bool:
    if OTHER.search(before):
        return False
    if stem == "key":
        return _is_secret_key(before)
    if stem in ("pass", "pw", "psw"):
        return PASS_AFTER.search(before) is not None
    if stem in ("auth", "dsn", "salt", "sig", "signature"):
        return not before[-1:].isalnum()
    return True


def _is_secret_key(before: str) -> bool:
    """`…_key` in general, but for the keys of tables and maps; `key` alone never."""
    if KEY_OF.search(before):
        return True
    return before.endswith("_") and not NOT_KEY_OF.search(before)
