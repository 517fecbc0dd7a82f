"""What the stand-in shall do with a call, told by the test or by a marker in the user's text.

`[[stand-in: NAME key=value key="two words"]]` in the last user text that holds one. NAME is a
function below (`say`, `use`, `think`, `fail`, `hang`, `agent`, …) or an HTTP status.
"""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

MARK = re.compile(r"\[\[stand-in:\s*(.*?)\]\]", re.DOTALL)
QUOTE = "{{user}}"
UNICODE = "Grüße 👋🏽 – привет, 你好, 🧑‍💻 done."


@dataclass(frozen=True, kw_only=True)
class Text:
    text: str
    citations: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Use:
    """A call of the client's tool. `id` empty: one is made."""

    name: str
    input: dict[str, Any]
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Think:
    """Thinking, signed. Empty text: only the signature arrives, as with `display: omitted`."""

    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Redacted:
    """Thinking that only the provider can read."""

    seed: str = "hidden"


@dataclass(frozen=True, kw_only=True)
class Search:
    """The provider's own web search: its call and its result, in two blocks."""

    query: str = "weather"


Part = Text | Use | Think | Redacted | Search


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`deltas` is how many pieces each text is cut into, `delay` the seconds between events,
    `first` the seconds before anything is answered. `fault` happens before the content delta
    number `at` (0: before the first block): error, drop, eof or hang; `drop-first` comes before
    anything was said.
    `cut` writes the stream in pieces of so many bytes. `times` ends the scene after N calls.
    `usage` overrides figures of the answer's usage by the names of `Used`."""

    parts: tuple[Part, ...] = (Text(text="Hello from the stand-in."),)
    deltas: int = 4
    delay: float = 0.0
    first: float = 0.0
    status: int = 200
    error_type: str = ""
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False
    empty: bool = False
    fault: str = ""
    at: int = 1
    cut: int = 0
    crlf: bool = False
    comments: bool = False
    pings: bool = False
    unknown: bool = False
    gzip: bool = False
    stop: str = ""
    stop_sequence: str = ""
    model: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    times: int = 0


def say(text: str = "Hello from the stand-in.", **more: Any) -> Scene:
    return replace(Scene(parts=(Text(text=text),)), **more)


def use(name: str, input: dict[str, Any] | None = None, text: str = "", **more: Any) -> Scene:
    """One tool call, after a text if given."""
    before: tuple[Part, ...] = (Text(text=text),) if text else ()
    return replace(Scene(parts=(*before, Use(name=name, input=input or {}))), **more)


def uses(*calls: tuple[str, dict[str, Any]], **more: Any) -> Scene:
    """Parallel tool calls in one answer."""
    parts = tuple(Use(name=name, input=input) for name, input in calls)
    return replace(Scene(parts=parts), **more)


def think(thought: str = "Let me see.", text: str = "The answer is 42.", **more: Any) -> Scene:
    return replace(Scene(parts=(Think(text=thought), Text(text=text))), **more)


def redacted(text: str = "The answer is 42.", **more: Any) -> Scene:
    return replace(Scene(parts=(Redacted(), Text(text=text))), **more)


def search(query: str = "weather", text: str = "It is sunny.", **more: Any) -> Scene:
    cited = {
        "type": "web_search_result_location",
        "url": "https://example.com/",
        "title": "Example",
        "encrypted_index": "aW5kZXg=",
        "cited_text": "It is sunny today.",
    }
    parts = (Search(query=query), Text(text=text, citations=(cited,)))
    return replace(Scene(parts=parts), **more)


def fail(status: int, message: str = "", *, retry_after: float | None = None, **more: Any) -> Scene:
    """An HTTP error in the provider's own shape."""
    headers = dict(more.pop("headers", {}))
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    return replace(Scene(status=status, message=message, headers=headers), **more)


def hang(seconds: float = 3600.0, **more: Any) -> Scene:
    """Nothing at all for a while."""
    return replace(Scene(first=seconds), **more)


def broken(fault: str, at: int = 1, text: str = "one two three four", **more: Any) -> Scene:
    """A stream that ends badly before content delta `at`: error, drop, eof or hang."""
    return replace(say(text, fault=fault, at=at), **more)


# ------------------------------------------------------------------ markers


def marked(text: str) -> str:
    """The last marker of a text, without its brackets; empty if there is none."""
    found = MARK.findall(text)
    return found[-1].strip() if found else ""


def unmarked(text: str) -> str:
    return MARK.sub("", text).strip()


def quoting(scene: Scene, words: str) -> Scene:
    """The scene with `{{user}}` replaced by what the provider was told last."""
    parts = tuple(_quoting(part, words) for part in scene.parts)
    return replace(scene, parts=parts)


def _quoting(part: Part, words: str) -> Part:
    match part:
        case Text() | Think():
            return replace(part, text=part.text.replace(QUOTE, words))
        case Use():
            text = json.dumps(part.input)
            return replace(part, input=json.loads(text.replace(QUOTE, json.dumps(words)[1:-1])))
        case _:
            return part


def from_marker(mark: str, results: int) -> Scene:
    """The scene a marker names. `results` counts the tool results since it was said.
    Raises ValueError for a marker that is not understood."""
    words = shlex.split(mark)
    options = {name: value for name, _, value in (word.partition("=") for word in words[1:])}
    common = {
        key: _typed(options.pop(key), kind) for key, kind in _COMMON.items() if key in options
    }
    name = words[0]
    scene = _error(name, options) if name.isdigit() else _named(name, options, results)
    return replace(scene, **common)


_COMMON: dict[str, type] = {
    "deltas": int,
    "delay": float,
    "first": float,
    "at": int,
    "cut": int,
    "crlf": bool,
    "pings": bool,
    "unknown": bool,
    "comments": bool,
    "stop": str,
    "model": str,
    "times": int,
}


def _typed(value: str, kind: type) -> Any:
    return value not in ("0", "no", "false") if kind is bool else kind(value)


def _error(status: str, options: dict[str, str]) -> Scene:
    retry = options.pop("retry-after", None)
    headers = {"x-should-retry": options["should-retry"]} if "should-retry" in options else {}
    return fail(
        int(status),
        options.get("message", ""),
        retry_after=None if retry is None else float(retry),
        headers=headers,
        error_type=options.get("type", ""),
        html="html" in options,
    )


def _named(name: str, options: dict[str, str], results: int) -> Scene:
    maker = _MAKERS.get(name)
    if maker is None:
        raise ValueError(f"unknown stand-in scene {name!r}")
    return maker(options, results)


def _say(options: dict[str, str], results: int) -> Scene:
    return say(options.get("text", UNICODE if "unicode" in options else "Hello from the stand-in."))


def _tool(options: dict[str, str], results: int) -> Scene:
    if results:
        return say(options.get("then", "The tool has answered."))
    return use(options["name"], json.loads(options.get("input", "{}")), options.get("text", ""))


def _think(options: dict[str, str], results: int) -> Scene:
    return think(options.get("thought", "Let me see."), options.get("text", "The answer is 42."))


def _broken(options: dict[str, str], results: int) -> Scene:
    return broken(options.get("fault", "error"))


def _agent(options: dict[str, str], results: int) -> Scene:
    """Write, read, edit, run: one tool per turn, then a word that all is done."""
    path, done = f"{options['dir']}/greeting.txt", options.get("done", "AGENT-DONE")
    steps = (
        ("Write", {"file_path": path, "content": "hello world\nsecond line\n"}),
        ("Read", {"file_path": path}),
        ("Edit", {"file_path": path, "old_string": "hello", "new_string": "goodbye"}),
        ("Bash", {"command": f"cat {path} && wc -l {path}", "description": "Show the file"}),
    )
    if results >= len(steps):
        return say(done)
    name, input = steps[results]
    scene = use(name, dict(input), text=f"Step {results + 1}.")
    if "think" in options:
        scene = replace(scene, parts=(Think(text=f"I plan step {results + 1}."), *scene.parts))
    return scene


_MAKERS: dict[str, Callable[[dict[str, str], int], Scene]] = {
    "say": _say,
    "tool": _tool,
    "think": _think,
    "redacted": lambda options, results: redacted(),
    "search": lambda options, results: search(),
    "hang": lambda options, results: hang(float(options.get("seconds", 3600))),
    "broken": _broken,
    "agent": _agent,
}
