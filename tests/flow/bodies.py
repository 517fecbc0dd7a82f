"""Messages requests as real clients make them, one for each thing that must arrive unharmed.

All texts are made up. `RAW` are bytes that no JSON writer of Python's would write.
"""

import base64
import json
from typing import Any

from tests.support.provider.seal import seal, sign

Json = dict[str, Any]
OPUS, HAIKU = "claude-opus-4-8", "claude-haiku-4-5"
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
BETAS = {
    "context_management": "context-management-2025-06-27",
    "thread": "message-threads-2026-08-12",
    "system": "mid-conversation-system-2026-04-07",
}
PICTURE = base64.b64encode(bytes(range(256)) * 40).decode()
NAMES = ("Bash", "Edit", "Glob", "Grep", "Read", "Task", "TodoWrite", "WebFetch", "Write", "Skill")
PROSE = "Prefer small steps; read before you write, and say what you did. Ünïcödé – 日本語 👋🏽.\n"


def tool(name: str, number: int) -> Json:
    """A tool as Claude Code declares one: a long description and a schema with `$schema`."""
    properties = {
        "file_path": {"type": "string", "description": PROSE * 3, "minLength": 1},
        "limit": {"type": "number", "exclusiveMinimum": 0, "default": number + 0.5},
        "edits": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"old": {"type": "string"}, "all": {"type": "boolean"}},
                "required": ["old"],
                "additionalProperties": False,
            },
        },
        "mode": {"anyOf": [{"enum": ["a", "b", None]}, {"type": "null"}]},
    }
    return {
        "name": name,
        "description": PROSE * 25,
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": ["file_path"],
            "additionalProperties": False,
        },
    }


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def user(*blocks: Json | str) -> Json:
    if len(blocks) == 1 and isinstance(blocks[0], str):
        return {"role": "user", "content": blocks[0]}
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def call(id: str, name: str = "Read", **given: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": given}


def result(id: str, content: Any, **more: Any) -> Json:
    return {"tool_use_id": id, "type": "tool_result", "content": content, **more}


def request(*messages: Json, model: str = OPUS, **more: Any) -> Json:
    return {"model": model, "messages": list(messages), "max_tokens": 1024, **more}


def claude_code(*messages: Json, **more: Any) -> Json:
    """The main request of Claude Code: three blocks of system, many tools, its own fields."""
    billing = "x-anthropic-billing-header: cc_version=2.1.197.a1f; cc_entrypoint=cli;"
    system = [
        text(billing),
        text("You are Claude Code, Anthropic's official CLI for Claude.", cache_control=MARK),
        text(PROSE * 90, cache_control=MARK),
    ]
    ids = {"device_id": "d" * 64, "account_uuid": "", "session_id": "5e55-10"}
    return {
        "model": OPUS,
        "messages": list(messages),
        "system": system,
        "tools": [tool(name, number) for number, name in enumerate(NAMES)],
        "metadata": {"user_id": json.dumps(ids)},
        "max_tokens": 64000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
        **more,
    }


REMINDER = text("<system-reminder>\nThe user opened main.py.\n</system-reminder>\n\n")
FIRST = user(REMINDER, text("Rename foo to bar.", cache_control=MARK))
THOUGHT = {"type": "thinking", "thinking": "foo is used twice.", "signature": sign("")}
HIDDEN = {"type": "thinking", "thinking": "", "signature": sign("")}
SEALED = {"type": "redacted_thinking", "data": seal("kept to itself")}
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
}
ASKED = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "q"},
}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {
            "type": "web_search_result",
            "url": "https://example.com/?a=1&b=%20",
            "title": "A page",
            "encrypted_content": "Eo8B" * 40,
            "page_age": None,
        }
    ],
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "One. Two.\r\n\tThree."},
    "title": "Notes",
    "context": "from the wiki",
    "citations": {"enabled": True},
}
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}

BODIES: dict[str, Json] = {
    "claude-code": claude_code(FIRST),
    "a system message inside": claude_code(FIRST, {"role": "system", "content": PROSE * 60}),
    "an agent's third turn": claude_code(
        FIRST,
        assistant(THOUGHT, SEALED, call("toolu_1", file_path="/a b/ü.py", limit=2.0)),
        user(result("toolu_1", "1\tfoo = 1\n2\tprint(foo)\n")),
        assistant(HIDDEN, text("Now I edit."), call("toolu_2", "Edit", old="foo", all=True)),
        user(result("toolu_2", [text("no such file"), IMAGE], is_error=True, cache_control=MARK)),
    ),
    "a thinking budget": claude_code(
        FIRST,
        model=HAIKU,
        max_tokens=32000,
        thinking={"type": "enabled", "budget_tokens": 31999},
        output_config={},
    ),
    "hours on system, tools and calls": request(
        user(text("Hi", cache_control=HOUR)),
        assistant({**call("t1"), "cache_control": HOUR}),
        user(result("t1", "done")),
        system=[text("Be brief.", cache_control=HOUR)],
        tools=[{**tool("Read", 1), "cache_control": HOUR}],
    ),
    "hours on results, images, documents": request(
        user("Hi"),
        assistant(call("t1")),
        user(
            {**result("t1", "done"), "cache_control": HOUR},
            {**IMAGE, "cache_control": HOUR},
            {**DOCUMENT, "cache_control": HOUR},
            text("And?", cache_control={"ttl": "1h", "type": "ephemeral"}),
        ),
    ),
    "hours on searches and their results": request(
        user("Hi"),
        assistant({**ASKED, "cache_control": HOUR}, {**FOUND, "cache_control": HOUR}, text("So.")),
        user(
            {
                "type": "search_result",
                "source": "wiki",
                "title": "t",
                "content": [text("found")],
                "cache_control": HOUR,
            }
        ),
        cache_control=HOUR,
    ),
    "redacted thinking before a call": request(
        user("Hi"), assistant(SEALED, call("t1")), user(result("t1", [])), max_tokens=4096
    ),
    "tools the provider runs": request(
        user("What is new?"),
        assistant(ASKED, FOUND, text("Much.", citations=[{"type": "web_search_result_location"}])),
        user("And now?"),
        tools=[
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
            {"type": "code_execution_20250825", "name": "code_execution"},
            {"type": "mcp_toolset", "mcp_server_name": "m", "name": "mcp"},
        ],
        tool_choice={"type": "tool", "name": "web_search"},
        mcp_servers=[{"type": "url", "url": "https://example.com/mcp", "name": "m"}],
        container={"id": "c_1", "skills": []},
    ),
    "documents of every source": request(
        user(
            DOCUMENT,
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_011"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE},
            },
            {"type": "document", "source": {"type": "content", "content": [text("a"), IMAGE]}},
            {"type": "container_upload", "file_id": "file_012"},
            text("Sum up."),
        )
    ),
    "images of every source": request(
        user(
            IMAGE,
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_013"}},
            text("Which?"),
        )
    ),
    "a thread begins": request(user("Hi"), thread={"type": "create"}),
    "a title": claude_code(
        user(text("Rename foo")),
        tools=[],
        thinking={"type": "disabled"},
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    ),
    "fields nobody knows yet": request(
        user({"type": "text", "text": "Hi", "tone": {"warm": [1, None]}}),
        assistant({"type": "hologram", "rays": [[1, [2, [3, {}]]]], "on": False}),
        user("Well?"),
        zebra={"z": 1, "a": {"y": [], "b": None}},
        speed="fast",
        service_tier="standard_only",
        inference_geo="eu",
        stop_sequences=["\n\nHuman:", "\u2028"],
        output_format={"type": "json_schema", "schema": SCHEMA},
    ),
    "a body of twelve megabytes": request(
        user(
            text(PROSE * 70_000),
            {**IMAGE, "source": {**IMAGE["source"], "data": "QUJD" * 14 * 10**5}},
        ),
    ),
}

HEAD = b'{"model":"claude-opus-4-8","max_tokens":64,"messages":'
RAW: dict[str, bytes] = {
    "numbers": HEAD + b'[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":'
    b'"tool_use","id":"t1","name":"n","input":{"a":1.0,"b":1e3,"c":1E+2,"d":-0,"e":-0.0,"f":0.10,'
    b'"g":123456789012345678901234567890,"h":1.7976931348623157e309,"i":3.141592653589793238462643'
    b',"j":5e-324}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":'
    b'"ok"}]}],"odd":[1.50,2E0,18446744073709551616,1.0e0]}',
    "an order of its own": b'{"stream":false,"messages":[{"content":[{"text":"Hi","type":"text"}],'
    b'"role":"user"}],"zz":{"b":1,"a":{"d":1,"c":2}},"max_tokens":64,"aa":1,'
    b'"model":"claude-opus-4-8","tools":[{"input_schema":{"type":"object","properties":{"z":{},'
    b'"a":{}}},"name":"t","description":"d"}]}',
    "white space": b' {\r\n\t"model" : "claude-opus-4-8" ,\n "max_tokens":\t64,"messages" : [ {\n'
    b' "role" : "user" , "content" : "Hi" } ] , "odd" : { } }\n',
    "lone surrogates": HEAD + b'[{"role":"user","content":"cut \\ud83d here, \\uDC4B there, '
    b'\\ud83d\\udc4b whole, \\\\ud83d none"},{"role":"assistant","content":[{"type":"tool_use",'
    b'"id":"t1","name":"n","input":{"\\udfff":"\\ud800"}}]},{"role":"user","content":[{"type":'
    b'"tool_result","tool_use_id":"t1","content":"\\udead"}]}]}',
    "escapes": HEAD + b'[{"role":"user","content":"\\u0041\\/\\u00e9\\b\\f\\u2028 \xe2\x80\xa8 \\"'
    b'\\\\ \\u0000 \xf0\x9f\x91\x8b"}],"\\u006fdd":"\\u0022"}',
}


def raw(name: str) -> bytes:
    return RAW[name] if name in RAW else json.dumps(BODIES[name], ensure_ascii=False).encode()


def betas_of(name: str) -> list[str]:
    """The betas without which the provider refuses the body."""
    body = BODIES.get(name, {})
    wanted = [beta for field, beta in BETAS.items() if field in body and field != "system"]
    return [*wanted, BETAS["system"]]
