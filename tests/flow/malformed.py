"""Bodies that must be refused, with the field that the refusal names."""

from typing import Any

from tests.flow.asks import SMALL, WEATHER

Case = tuple[str, Any, str]


def without(name: str) -> dict[str, Any]:
    return {field: value for field, value in SMALL.items() if field != name}


def says(content: Any, role: Any = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}]}


# Refused before anybody is asked.
BAD: list[Case] = [
    ("no model", without("model"), "model"),
    ("no max_tokens", without("max_tokens"), "max_tokens"),
    ("no messages", without("messages"), "messages"),
    ("model is a number", SMALL | {"model": 5}, "model"),
    ("max_tokens is text", SMALL | {"max_tokens": "many"}, "max_tokens"),
    ("max_tokens is zero", SMALL | {"max_tokens": 0}, "max_tokens"),
    ("max_tokens is a fraction", SMALL | {"max_tokens": 1.5}, "max_tokens"),
    ("messages is an object", SMALL | {"messages": {}}, "messages"),
    ("messages is empty", SMALL | {"messages": []}, "messages"),
    ("stream is text", SMALL | {"stream": "yes"}, "stream"),
    ("the body is a list", [SMALL], "object"),
]
# Refused by whoever reads the fields: a provider, the simulator, a translation, our own count.
MISFORMED: list[Case] = [
    (field + " " + repr(value), {field: value}, field)
    for field, values in {
        "messages": (["hi"], [5], [None], [[]]),
        "tools": ("x", 5, ["x"], [{}], [{"name": "t"}], [WEATHER | {"input_schema": 5}]),
        "tool_choice": ("auto", {"type": "some"}, {"type": "tool", "name": "none"}),
        "system": (5, {"text": "x"}, ["x"], [{"type": "text"}], [{"type": "text", "text": 5}]),
        "temperature": ("hot", True, [1]),
        "top_p": ("all", {}),
        "top_k": (1.5, "x"),
        "thinking": ("on", {}, {"type": "enabled"}, {"type": "enabled", "budget_tokens": "x"}),
        "stop_sequences": ("x", [5]),
        "metadata": ("x", {"user_id": 5}),
        "output_config": ("high", {"effort": 5}),
    }.items()
    for value in values
]
MISFORMED += [
    ("content " + repr(content), says(content), "messages.0.content")
    for content in (
        None,
        5,
        {"type": "text", "text": "x"},
        ["x"],
        [{"text": "no type"}],
        [{"type": "text"}],
        [{"type": "text", "text": 5}],
        [{"type": "image", "source": "x"}],
        [{"type": "image", "source": {"type": "base64", "data": 5, "media_type": "image/png"}}],
        [{"type": "tool_result", "tool_use_id": 5}],
        [{"type": "tool_result", "tool_use_id": "t", "content": 5}],
        [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}],
        [{"type": "document", "source": {}}],
    )
]
MISFORMED += [
    ("no content", {"messages": [{"role": "user"}]}, "messages.0.content"),
    ("no role", {"messages": [{"content": "hi"}]}, "messages.0.role"),
    ("a role unknown", says("hi", "bot"), "messages.0.role"),
    ("a role of no type", says("hi", ["user"]), "messages.0.role"),
    (
        "a call without a name",
        says([{"type": "tool_use", "id": "t", "input": {}}], "assistant"),
        "messages.0.content.0.name",
    ),
]
# Bytes that are not UTF-8, and the field that has them.
HEAD = b'{"model":"claude-sonnet-5-5","max_tokens":50,'
HI = b'"messages":[{"role":"user","content":"hi"}]'
NOT_UTF8: list[tuple[str, bytes, str]] = [
    ("in a text", HEAD + HI.replace(b"hi", b"\xff\xfe") + b"}", "messages"),
    ("in a key", HEAD + HI + b',"\xff":1}', "body"),
    ("in an inner key", HEAD + HI.replace(b'"role"', b'"\xff":1,"role"') + b"}", "messages"),
    ("in system", HEAD + HI + b',"system":"\xc3("}', "system"),
    ("in tools", HEAD + HI + b',"tools":[{"name":"\xf0\x9f"}]}', "tools"),
    ("a surrogate", HEAD + HI.replace(b"hi", b"\xed\xa0\x80") + b"}", "messages"),
]


def ids(cases: list[Case]) -> list[str]:
    return [case[0] for case in cases]
