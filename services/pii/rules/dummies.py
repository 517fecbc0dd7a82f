"""Values that stand for a value: `changeme`, `<your key>`, `${TOKEN}`, `xxxxxxxx`.

Masking one of these would only break the text it stands in.
"""

import re

# Matched against the lower-cased value.
WORDS = re.compile(
    r"example|changeme|change[_-]me|placeholder|redacted|removed|your[_-]?|insert[_-]|replace[_-]"
    r"|dummy|sample|foobar|foo_?bar|todo|fixme|xxxx|\*\*\*|\.\.\.|____|----|passw(?:or|0r)d"
    r"|p[a@][s$][s$]w(?:or|0r)d|s[e3]cr[e3]t|letmein|qwerty|default|hidden|masked|testing|mytoken"
    r"|my[_-]|test[_-]|[_-]test|fake|mock|notreal|invalid|abcdefgh|12345678|87654321|00000000|deadbeef"
    r"|lorem|ipsum|undefined|unknown|pii_"
)
# Anything with these is a template, a reference or an expression.
TEMPLATE = re.compile(
    r"\$\{|\$\(|\{\{|^\$[A-Za-z_]|^%[A-Za-z(_]|^<|>$|<[A-Za-z _-]+>|^\{|^@[A-Za-z]|%\(|%s$"
)


def stands_for_one(value: str) -> bool:
    """Whether a value is a dummy, a template or a reference rather than a value."""
    return (
        len(set(value)) <= max(2, len(value) // 8)
        or TEMPLATE.search(value) is not None
        or WORDS.search(value.lower()) is not None
    )


def is_filler(value: str) -> bool:
    """The same for long vendor keys, where a word may stand by chance: only plain fillers."""
    lowered = value.lower()
    return len(set(lowered)) <= max(4, min(len(value) // 8, 12)) or any(
        word in lowered for word in ("example", "xxxx", "your", "....", "0123456789", "abcdefghij")
    )
