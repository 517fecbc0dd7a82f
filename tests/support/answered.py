"""Answers that use all there is, in the form of each dialect: whole, and as a stream's events."""

import base64
import json
import struct
import zlib
from typing import Any

from services.gateway.providers.events import replay

Json = dict[str, Any]
CITED = {"type": "char_location", "cited_text": "Hello", "document_index": 0, "start_char_index": 0}
CLAUDE: Json = {
    "id": "msg_0123456789",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "text", "text": "I ask PII_EMAIL_0123456789.", "citations": [CITED]},
        {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.py", "n": 1}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": "x"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 2},
        "server_tool_use": {"web_search_requests": 1},
    },
}
FUNCTIONS: list[Json] = [
    {"index": 0, "id": "call_AAAAAAAA", "function": {"name": "Read", "arguments": '{"a":1}'}},
    {"index": 1, "id": "call_BBBBBBBB", "function": {"name": "Now", "arguments": {}}},
]
CHAT_USAGE: Json = {
    "prompt_tokens": 50,
    "completion_tokens": 10,
    "total_tokens": 60,
    "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
CHAT: Json = {
    "id": "chatcmpl-Answered001",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "stop_reason": None,
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                    {"type": "text", "text": "I look."},
                ],
                "refusal": None,
                "tool_calls": FUNCTIONS,
            },
        }
    ],
    "usage": CHAT_USAGE,
}
RESPONSE: Json = {
    "id": "resp_Answered001",
    "status": "completed",
    "incomplete_details": None,
    "error": None,
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "content": [],
            "encrypted_content": "gAAAAAB",
        },
        {
            "id": "msg_1",
            "type": "message",
            "content": [
                {"type": "output_text", "text": "I look."},
                {"type": "refusal", "refusal": "No."},
            ],
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "call_AAAAAAAA",
            "name": "Read",
            "arguments": '{"path":"a.py"}',
        },
    ],
    "usage": {
        "input_tokens": 200,
        "input_tokens_details": {
            "cached_tokens": 100,
            "cache_write_tokens": 50,
            "cache_write_tokens_details": {"ttl_12h_tokens": 10},
        },
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 30},
    },
}
PARTS: list[Json] = [
    {"text": "Hm", "thought": True},
    {"text": "I look."},
    {
        "functionCall": {"id": "fcAAAAAAAA1", "name": "Read", "args": {"path": "a.py"}},
        "thoughtSignature": "CsEBAdHtim8=",
    },
    {"functionCall": {"name": "Now", "args": {}}},
]
GEMINI_USAGE: Json = {
    "promptTokenCount": 150,
    "cachedContentTokenCount": 100,
    "toolUsePromptTokenCount": 2,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 12,
}
GEMINI: Json = {
    "responseId": "gemAnswered1",
    "candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": PARTS}}],
    "promptFeedback": {},
    "usageMetadata": GEMINI_USAGE,
}


def _events(canonical: Json) -> list[Json]:
    return [json.loads(event.split(b"data: ", 1)[1]) for event in replay(canonical)]


def _chunk(delta: Json, finish: str | None = None, **more: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-Answered001", "choices": [choice], **more}


def _piece(kind: str, place: int, **more: Any) -> Json:
    return {"type": f"response.{kind}", "output_index": place, **more}


def _candidate(part: Json, **more: Any) -> Json:
    candidate = {"content": {"role": "model", "parts": [part]}, **more}
    return {"responseId": "gemAnswered1", "candidates": [candidate], "usageMetadata": GEMINI_USAGE}


THOUGHT, SAID, CALLED = RESPONSE["output"]
CHAT_EVENTS = [
    _chunk({"role": "assistant", "content": "", "reasoning_content": "Hm"}),
    _chunk({"content": "I look."}),
    _chunk({"tool_calls": [FUNCTIONS[0] | {"function": {"name": "Read", "arguments": '{"a'}}]}),
    _chunk({"tool_calls": [FUNCTIONS[1]], "content": "While it waits."}),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]}),
    _chunk({"refusal": None}, "tool_calls"),
    {"id": "chatcmpl-Answered001", "choices": [], "usage": CHAT_USAGE},
]
RESPONSE_EVENTS = [
    {"type": "response.created", "response": {"id": "resp_Answered001", "output": []}},
    _piece("output_item.added", 0, item={"id": "rs_1", "type": "reasoning", "summary": []}),
    _piece("reasoning_summary_part.added", 0, summary_index=1),
    _piece("reasoning_summary_text.delta", 0, delta="Hm"),
    _piece("output_item.done", 0, item=THOUGHT),
    _piece("output_text.delta", 1, delta="I look."),
    _piece("refusal.delta", 1, delta="No."),
    _piece("output_item.done", 2, item=SAID),
    _piece("output_item.added", 3, item=CALLED | {"arguments": ""}),
    _piece("function_call_arguments.delta", 3, delta='{"path":"a.py"}'),
    _piece("output_item.done", 3, item=CALLED),
    {"type": "response.completed", "response": RESPONSE | {"output": []}},
]
GEMINI_EVENTS = [*map(_candidate, PARTS), _candidate({"text": ""}, finishReason="STOP")]
CLAUDE_EVENTS = [*_events(CLAUDE)[:1], {"type": "ping"}, *_events(CLAUDE)[1:]]

WHOLE: dict[str, Json] = {
    "anthropic": CLAUDE,
    "openai": CHAT,
    "openai-responses": RESPONSE,
    "gemini": GEMINI,
    "mistral": CHAT,
    "bedrock": CLAUDE,
    "vertex": CLAUDE,
}
EVENTS: dict[str, list[Json]] = {
    "anthropic": CLAUDE_EVENTS,
    "openai": CHAT_EVENTS,
    "openai-responses": RESPONSE_EVENTS,
    "gemini": GEMINI_EVENTS,
    "mistral": CHAT_EVENTS,
    "bedrock": CLAUDE_EVENTS,
    "vertex": CLAUDE_EVENTS,
}


def on_the_wire(dialect: str, event: Any) -> bytes:
    """One event as that provider writes it."""
    data = json.dumps(event).encode()
    if dialect == "bedrock":
        return frame(json.dumps({"bytes": base64.b64encode(data).decode()}).encode())
    kind = event.get("type") if isinstance(event, dict) else None
    head = f"event: {kind}\n".encode() if isinstance(kind, str) and kind else b""
    return head + b"data: " + data + b"\n\n"


def frame(payload: bytes, kinds: bytes = b"") -> bytes:
    """A frame of AWS's event stream: lengths and their checksum, headers, payload, checksum."""
    prelude = struct.pack(">II", len(kinds) + len(payload) + 16, len(kinds))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + kinds + payload
    return whole + struct.pack(">I", zlib.crc32(whole))
