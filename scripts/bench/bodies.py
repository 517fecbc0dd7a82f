"""Request bodies in three sizes, made here: small, like Claude Code's, and large.

Each body has a slot of fixed width in the user's last words, which the load generator fills
with a new number per request: no two requests are the same, and none is answered from a cache.
"""

import json
import random
from typing import Any

SLOT = b"0000000000"
MODEL = "claude-sonnet-5-5"
TEXT = (
    "when the file exists read it before you change it and keep to the style of the code around "
    "prefer small steps run the tests after each of them say what failed and why never guess a "
    "path ask for it use absolute paths quote names with spaces do not print secrets stop when "
    "the user asks you to answer in the language of the question return only what was asked for"
)
WORDS = TEXT.split()


def body(size: str, *, stream: bool = False, order: str = "", mail: bool = False) -> bytes:
    """`size`: 1k, 78k or 1m. `order` is a marker for the mock. `mail` puts an e-mail address
    into the user's last words, so that there is something to mask and to restore."""
    chooser = random.Random(size)
    words = f"Please fix item {SLOT.decode()}. {order}"
    if mail:
        words += " Write to ada.lovelace@gmx.net when it is done."
    request: dict[str, Any] = {"model": MODEL, "max_tokens": 1024, "messages": []}
    if size == "78k":
        request |= _claude_code(chooser)
    if size == "1m":
        request["messages"] = _history(chooser, 1_000_000)
    if size == "1k":
        words = _prose(chooser, 800) + " " + words
    request["messages"].append({"role": "user", "content": [{"type": "text", "text": words}]})
    if stream:
        request["stream"] = True
    return json.dumps(request).encode()


def _claude_code(chooser: random.Random) -> dict[str, Any]:
    """Two dozen tools with long descriptions, three system blocks, a reminder, two turns."""
    mark = {"cache_control": {"type": "ephemeral"}}
    system: list[dict[str, Any]] = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.abc;"},
        {"type": "text", "text": "You are a coding agent.", **mark},
        {"type": "text", "text": _prose(chooser, 9_000), **mark},
    ]
    reminder = f"<system-reminder>\n{_prose(chooser, 1_500)}\n</system-reminder>"
    turns = [
        {"role": "user", "content": [{"type": "text", "text": reminder}]},
        {"role": "assistant", "content": [{"type": "text", "text": _prose(chooser, 300)}]},
    ]
    tools = [_tool(chooser, number) for number in range(24)]
    return {"system": system, "tools": tools, "messages": turns, "max_tokens": 32_000}


def _tool(chooser: random.Random, number: int) -> dict[str, Any]:
    names = [f"argument_{index}" for index in range(6)]
    properties = {n: {"type": "string", "description": _prose(chooser, 90)} for n in names}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": names[:2],
        "additionalProperties": False,
    }
    return {
        "name": f"Tool{number}",
        "description": _prose(chooser, 1_700),
        "input_schema": schema,
    }


def _history(chooser: random.Random, size: int) -> list[dict[str, Any]]:
    """A long session: questions and answers of a few kilobytes each."""
    turns: list[dict[str, Any]] = []
    while sum(len(turn["content"][0]["text"]) for turn in turns) < size:
        role = "assistant" if len(turns) % 2 else "user"
        turns.append({"role": role, "content": [{"type": "text", "text": _prose(chooser, 8_000)}]})
    return turns if len(turns) % 2 == 0 else turns[:-1]


def _prose(chooser: random.Random, size: int) -> str:
    words: list[str] = []
    length = 0
    while length < size:
        word = chooser.choice(WORDS)
        words.append(word)
        length += len(word) + 1
    return " ".join(words)[:size].strip()
