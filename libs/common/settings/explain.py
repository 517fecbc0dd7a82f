"""A value that does not fit, in words: where it stands, which setting, what is wrong, the fix."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from libs.common.settings import Settings

STEP = re.compile(r"\[\.\.\.\]|\[\d+\]|[^.\[\]]+")
MISSING = re.compile(r"Object missing required field `(.*)`")
UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
UNQUOTED = re.compile(r"Expected `(int|float|bool)\b.*, got `str`")
# What msgspec calls by its JSON name, in the words of TOML.
WORDS = {"`object`": "a table", "`array`": "a list", "`str`": "text"}


def explain(message: str, tree: Any, file: str, sources: Mapping[str, str]) -> str:
    """msgspec's words about the tree of settings, turned into one line for people."""
    words, _, where = message.partition(" - at `$")
    path, kind = _place(where.rstrip("`"), tree)
    if unknown := UNKNOWN.match(words):
        path = f"{path}.{unknown[1]}".lstrip(".")
        line = f"unknown setting `{path}`{_near(kind, unknown[1])}"
    elif missing := MISSING.match(words):
        line = f"`{path}`: lacks `{missing[1]}`"
    else:
        line = f"`{path}`: {words[:1].lower()}{_plain(words[1:])}{_choices(words, kind)}"
    source = _source(path, sources) or file
    if source == file and UNQUOTED.match(words):
        line += "; write it without quotes"
    return f"{source}: {line}; see docs/configuration.md"


def type_at(path: list[str]) -> Any:
    """The declared type of a setting, or None for one that does not exist."""
    kind: Any = Settings
    for part in path:
        kind = _member(kind, part)
    return kind


def _member(kind: Any, name: str) -> Any:
    if get_origin(kind) in (dict, list):
        return get_args(kind)[-1]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return get_type_hints(kind).get(name)
    return None


def _place(where: str, tree: Any) -> tuple[str, Any]:
    """The path of msgspec's words and the type there. For an entry of a table msgspec says
    `[...]`: it is the first one that does not fit."""
    node, kind, path = tree, Settings, ""
    for step in STEP.findall(where):
        kind = _member(kind, step)
        if step == "[...]":
            step = next(name for name, value in node.items() if not _fits(value, kind))
        if isinstance(node, list):
            node, path = node[int(step[1:-1])], path + step
        else:
            node, path = node[step], f"{path}.{step}".lstrip(".")
    return path, kind


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _source(path: str, sources: Mapping[str, str]) -> str:
    """Where the setting, or the first one below it, came from."""
    return next((s for p, s in sources.items() if f"{p}.".startswith(f"{path}.")), "")


def _plain(words: str) -> str:
    for theirs, ours in WORDS.items():
        words = words.replace(theirs, ours)
    return words


def _choices(words: str, kind: Any) -> str:
    """What a setting may say, where it says something else."""
    if not words.startswith("Invalid enum value"):
        return ""
    parts = [kind]
    texts: list[str] = []
    for part in parts:
        texts += [part] if isinstance(part, str) and part else []
        parts += get_args(part)
    return f"; use one of {', '.join(dict.fromkeys(texts))}" if texts else ""


def _near(kind: Any, name: str) -> str:
    near = difflib.get_close_matches(name, get_type_hints(kind), 1)
    return f" (did you mean `{near[0]}`?)" if near else ""
