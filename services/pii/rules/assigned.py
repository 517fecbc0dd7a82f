"""Secrets by the name they are given: `DB_PASSWORD=…`, `"client_secret": "…"`, `--token …`.

The name says that a secret may follow; the value must then look like one. Most of what follows
such names in source code are references, types, messages and fillers.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.pii.rules import names, values
from services.pii.rules.hit import Hit, Text

# What may stand between a name and its value, by the syntaxes that have one.
ASSIGNS = re.compile(
    r"""\\?["'`\])*]{0,4}                                   # the end of a quoted or indexed name
    (?:
      \s?:\s?[A-Za-z_&*][\w\[\], .|?&'<>]{0,40}=\s{0,4}(?=["'])    # a typed declaration
    | \s{0,12}(?:=>|:=|\?=|={1,2}|:\*{0,2}|->)\s{0,12}       # assignment, mapping
    | \s{0,12}\|\s{0,12}                                    # a table
    | \s{0,4},\s{0,4}(?=\\?["'])                            # two arguments
    | \((?=["'`])                                           # one argument
    | >(?=[^<>\s]{6,300}</)                                 # an XML element
    | \s{1,4}(?:value|default|content)\s?=\s?(?=["'])       # an XML attribute
    | \s{0,4}[,{]?\s{0,12}["']?(?:value|default)["']?\s{0,4}[:=]\s{0,4}  # name and value apart
    | \s(?:is|was|are|ist|lautet|war|est|es|é|era)\s{1,2}:?\s?           # prose
    )""",
    re.VERBOSE,
)
BLANK = re.compile(r"[ \t=]{1,4}")
BEFORE_QUOTE = re.compile(r"\s{1,4}(?=\\?['\"])")
QUOTED = re.compile(r"""\\?(["'`])((?:(?!\1)[^\r\n\\]|\\(?!\1).){4,500}?)\\?\1""")
BARE = re.compile(r"[^\s\"'`<>\\]{4,300}")
SCHEME = re.compile(r"(?:bearer|basic|token|apikey|digest)[ :]{1,2}", re.IGNORECASE)
# A line of an environment file, or of a shell, a Dockerfile or a file viewer that shows one.
ENV_LINE = re.compile(r"(?:^|\n)[\w \t:|→+>$#-]{0,24}?[A-Z][A-Z0-9_]{2,60}$")
FLAG = re.compile(r"(?:^|\s)--?[a-z][a-z0-9-]{0,30}$")
# A literal to look for in lower case, and what stands there if a password follows.
MYSQL = r"\w*\b[^\n|;]{0,120}?\s-p([^\s'\"]{6,128})"
LOGIN = r"[\s=][\"']?[\w.@+-]{1,64}:([^\s\"']{6,128})"
COMMANDS = tuple(
    (literal, re.compile(re.escape(literal) + rest, re.IGNORECASE))
    for literal, rest in (
        ("mysql", MYSQL),
        ("mariadb", MYSQL),
        ("redis-cli", r"\b[^\n|;]{0,120}?\s-a\s([^\s'\"]{6,128})"),
        ("mosquitto_", r"(?:pub|sub)\b[^\n|;]{0,120}?\s-P\s([^\s'\"]{6,128})"),
        (" -u", LOGIN),
        (" --user", LOGIN),
        (" --proxy-user", LOGIN),
        (" --creds", LOGIN),
        ("sshpass -p", r"\s?[\"']?([^\s'\"]{6,128})"),
        ("identified by", r"\s[\"']([^\s'\"]{6,128})"),
        ("login ", r"\S{1,80}\s+password\s+(\S{6,128})"),
        ("login -u", r"\s\S{1,80}\s(?:-p|--password)[ =][\"']?([^\s'\"]{6,128})"),
        ("-securestring", r"\s{1,4}(?:-string\s{1,4})?[\"']([^\s'\"]{6,128})"),
        ("net user ", r"\S{1,64}\s([^\s/'\"][^\s'\"]{5,127})"),
        (":5432:", r"[\w*.-]{1,64}:[\w.@-]{1,64}:([^\s:'\"]{6,128})(?=\s|$)"),
    )
)
# Without one of these in the text, only commands without a dash can be there.
DASH = re.compile(r"-(?:(?<=\s-)[apu-]|securestring)")
PLAIN_COMMANDS = tuple(
    command
    for command in COMMANDS
    if command[0] in ("identified by", "login ", "net user ", ":5432:")
)
# What may stand on a line before a name whose value is the rest of the line.
LINE_START = re.compile(r"[\w \t.\-\[\]#;:]*\Z")


class Value(NamedTuple):
    start: int
    end: int
    quoted: bool
    env: bool = False


def find(text: Text) -> Iterator[Hit]:
    done = 0
    for name in names.find(text.lower):
        if name.start < done:
            continue
        value = _given(text, name)
        if value:
            done = value.end
            why = f"the value given to a name with {name.stem!r} in it"
            yield Hit(value.start, value.end, "SECRET", 0.9, why)
    yield from _in_commands(text)


def _given(text: Text, name: names.Name) -> Value | None:
    """The secret that this name is given, if it is given one."""
    after = _value_starts(text, name)
    if after is None:
        return None
    value = _read(text, name, after)
    if value is None:
        return None
    written = text.text[value.start : value.end]
    if not value.quoted and not value.env and values.is_code(written):
        return None
    # Tokens that are UUIDs are mostly idempotency tokens and cursors, but for those of settings.
    shouted = text.text[name.start : name.end].isupper()
    uuid = name.weak or name.stem in ("secret", "key") or shouted
    known = values.is_secret(written, weak=name.weak, env=value.env, uuid=uuid)
    return value if known else None


def _value_starts(text: Text, name: names.Name) -> int | None:
    match = ASSIGNS.match(text.text, name.end)
    if match is None and name.weak:
        match = BEFORE_QUOTE.match(text.text, name.end)
    if match is None and _takes_blank(text, name):
        match = BLANK.match(text.text, name.end)
    return match.end() if match else None


def _takes_blank(text: Text, name: names.Name) -> bool:
    """`--password x`, `Bearer x`, `ENV API_TOKEN x`."""
    if name.stem == "bearer":
        return True
    line = text.text[max(0, name.start - 48) : name.end]
    return FLAG.search(line) is not None or bool(
        re.search(r"(?:^|\n)\s{0,8}(?:ENV|ARG|setx?|setenv|set -[gUx]{1,3})\s+[A-Z0-9_]+$", line)
    )


def _read(text: Text, name: names.Name, at: int) -> Value | None:
    if text.text.startswith(":-", at - 1):  # the default of a shell's variable
        at += 1
    scheme = SCHEME.match(text.text, at)
    if scheme:
        at = scheme.end()
    quoted = QUOTED.match(text.text, at)
    if quoted:
        inner = SCHEME.match(quoted[2])
        start = quoted.start(2) + (inner.end() if inner else 0)
        return Value(start, quoted.end(2), True)
    bare = BARE.match(text.text, at)
    if bare is None:
        return None
    env = _is_env_line(text, name)
    value = bare[0] if env else _trimmed(text, bare, _is_whole_line(text, name, bare.end()))
    return Value(at, at + len(value), False, env)


def _is_whole_line(text: Text, name: names.Name, end: int) -> bool:
    """`name = value` alone on a line, as in settings; then a comma may be part of the value."""
    if text.text[end : end + 1] not in ("", "\n", "\r"):
        return False
    start = text.text.rfind("\n", max(0, name.start - 60), name.start) + 1
    return LINE_START.match(text.text[max(start, name.start - 60) : name.start]) is not None


def _trimmed(text: Text, bare: "re.Match[str]", whole_line: bool) -> str:
    """A bare value without the punctuation of what it stands in."""
    value = bare[0]
    if whole_line:
        return value.rstrip(",;")
    for stop in (",", ";", "&", "|"):
        head = value.split(stop)[0]
        value = head if len(head) >= 6 else value
    value = value.rstrip(",;)]}")
    ends_sentence = text.text[bare.end() : bare.end() + 1] in (" ", "", "\n")
    return value.rstrip(".,:") if ends_sentence else value


def _is_env_line(text: Text, name: names.Name) -> bool:
    """`NAME=value` at the start of a line, as files of settings have it."""
    start = text.text.rfind("\n", max(0, name.start - 90), name.start)
    equals = text.text.find("=", name.end, name.end + 40)
    line = text.text[max(start, 0, name.start - 90) : equals] if equals != -1 else ""
    return ENV_LINE.search(line) is not None


def _in_commands(text: Text) -> Iterator[Hit]:
    lower = text.lower
    commands = COMMANDS if DASH.search(lower) else PLAIN_COMMANDS
    for literal, pattern in commands:
        at = lower.find(literal)
        while at != -1:
            match = pattern.match(text.text, at)
            if match and _is_argument(match[1]):
                yield Hit(match.start(1), match.end(1), "SECRET", 0.9, "a password argument")
            at = lower.find(literal, match.end() if match else at + len(literal))


def _is_argument(value: str) -> bool:
    return "(" not in value and values.is_secret(value, weak=True, env=True)
