"""Changes to the settings files of clients, as pure functions over text.

A change keeps whatever else stands in the file. What cannot be kept (comments of a JSON file)
is refused with the lines to add by hand; nothing is ever guessed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Path = tuple[str, ...]
Values = Mapping[Path, object]

MISSING = object()

BEGIN = "# >>> modelmuxer: `modelmuxer disconnect` takes these lines out >>>"
END = "# <<< modelmuxer <<<"
STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


class CannotEdit(Exception):
    """The file cannot be changed without losing something; the text says what to do."""


def set_json(text: str, values: Values) -> str:
    """The JSON text with each path set to its value, in the style of the file."""
    tree = _read_json(text, values)
    for path, value in values.items():
        _set(tree, path, value)
    return _write_json(tree, text)


def unset_json(text: str, before: str, values: Values, owned: Sequence[Path] = ()) -> str:
    """The JSON text with each path as it was in `before`; what we made empty is gone. A path
    that holds another value by now is somebody else's, unless it is `owned`."""
    tree, old = _read_json(text, values), _read_json(before, values)
    for path, value in values.items():
        found = _get(old, path)
        if _get(tree, path) != value and path not in owned:
            continue
        if found is MISSING:
            _delete(tree, path, old)
        else:
            _set(tree, path, found)
    return _write_json(tree, text)


def as_json(values: Values) -> str:
    """The values alone, to be added by hand."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        _set(tree, path, value)
    return json.dumps(tree, indent=2, ensure_ascii=False)


def _read_json(text: str, values: Values) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        tree = json.loads(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise CannotEdit(f"{_fault(text, error)}; add this by hand:\n{as_json(values)}") from None
    if not isinstance(tree, dict):
        raise CannotEdit("it is no JSON object; repair it, or move it away")
    return tree


def _fault(text: str, error: ValueError) -> str:
    """Comments and trailing commas are legal for some clients, but rewriting loses them."""
    bare = STRING_OR_COMMENT.sub(lambda m: m[0] if m[0].startswith('"') else " ", text)
    try:
        json.loads(re.sub(r",(\s*[}\]])", r"\1", bare))
    except ValueError:
        return f"it is no valid JSON ({error})"
    return "it has comments or trailing commas, which rewriting it would lose"


def _write_json(tree: Mapping[str, Any], like: str) -> str:
    indent = re.search(r"^([ \t]+)\S", like, re.MULTILINE)
    body = json.dumps(tree, indent=indent[1] if indent else 2, ensure_ascii=False)
    end = "\n" if not like.strip() or like.endswith("\n") else ""
    newline = "\r\n" if "\r\n" in like else "\n"
    return (body + end).replace("\n", newline)


def _get(tree: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return MISSING
        tree = tree[name]
    return tree


def _set(tree: dict[str, Any], path: Path, value: object) -> None:
    for depth, name in enumerate(path[:-1]):
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise CannotEdit(f"`{'.'.join(path[: depth + 1])}` is no object; repair it by hand")
    tree[path[-1]] = value


def _delete(tree: dict[str, Any], path: Path, old: Mapping[str, Any]) -> None:
    """Delete, and the objects around it that are empty now and did not exist before."""
    for depth in range(len(path), 0, -1):
        around = _get(tree, path[: depth - 1])
        if not isinstance(around, dict) or path[depth - 1] not in around:
            continue
        empty = depth == len(path) or around[path[depth - 1]] == {}
        if empty and _get(old, path[:depth]) is MISSING:
            del around[path[depth - 1]]


def add_block(text: str, lines: Sequence[str], keys: Sequence[str]) -> str:
    """Append marked lines to a YAML file whose top level must not hold `keys` yet."""
    for key in keys:
        if re.search(rf"^{re.escape(key)}\s*:", text, re.MULTILINE):
            shown = "\n".join(lines)
            raise CannotEdit(f"it has `{key}:` already; change it by hand to:\n{shown}")
    gap = "" if not text or text.endswith("\n") else "\n"
    return text + gap + "\n".join([BEGIN, *lines, END]) + "\n"


def add_item(text: str, key: str, lines: Sequence[str], whole: Sequence[str]) -> str:
    """Put a marked item first into the block list `key` of a YAML file; an empty file gets the
    lines of `whole` above it. `lines` have no indent of their own."""
    if not text.strip():
        marked = "\n".join(f"  {line}" for line in [BEGIN, *lines, END])
        return "\n".join(whole) + f"\n{key}:\n{marked}\n"
    found = re.search(rf"^{re.escape(key)}:[ \t]*(#.*)?\r?\n", text, re.MULTILINE)
    if found is None:
        if re.search(rf"^{re.escape(key)}\s*:", text, re.MULTILINE):
            shown = "\n".join(f"  {line}" for line in lines)
            raise CannotEdit(f"`{key}` is not a block list; add this item by hand:\n{shown}")
        return add_block(text, [f"{key}:", *(f"  {line}" for line in lines)], ())
    item = re.match(r"(?:[ \t]*(?:#.*)?\n)*([ \t]*)- ", text[found.end() :])
    indent = item[1] if item else "  "
    marked = "".join(f"{indent}{line}\n" for line in [BEGIN, *lines, END])
    return text[: found.end()] + marked + text[found.end() :]


def remove_block(text: str) -> str:
    """The text without the marked lines."""
    pattern = rf"^[ \t]*{re.escape(BEGIN)}\n.*?^[ \t]*{re.escape(END)}\n"
    return re.sub(pattern, "", text, flags=re.MULTILINE | re.DOTALL)
