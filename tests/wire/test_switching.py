"""One conversation that goes from Claude to GPT, Gemini and back, with thinking and tools."""

from typing import Any

import msgspec

from services.gateway.adapt import adapt_claude
from tests.wire.walk import MODELS, dialect, translate

Json = dict[str, Any]
USAGE: Json = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
ANSWERS: dict[str, Json] = {
    "openai-responses": {
        "id": "resp_1",
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {
                "type": "function_call",
                "call_id": "call_AAAAAAAA",
                "name": "Read",
                "arguments": "{}",
            },
        ],
    },
    "gemini": {
        "responseId": "g1",
        "candidates": [
            {
                "finishReason": "STOP",
                "content": {
                    "parts": [
                        {
                            "functionCall": {"id": "fAAAAAAAA1", "name": "Read", "args": {}},
                            "thoughtSignature": "c2ln",
                        }
                    ]
                },
            }
        ],
    },
}


def answered(name: str, messages: list[Json]) -> list[Json]:
    """The conversation after that provider called a tool and got its result."""
    request = {
        "model": "m",
        "max_tokens": 9_000,
        "messages": messages,
        "thinking": {"type": "adaptive"},
    }
    translate(name, request)
    said = dialect(name).from_upstream(ANSWERS[name], MODELS[name])["content"]
    return [*messages, {"role": "assistant", "content": said}, results(said)]


def results(said: list[Json]) -> Json:
    made = [block["id"] for block in said if block["type"] == "tool_use"]
    content = [{"type": "tool_result", "tool_use_id": id, "content": "ok"} for id in made]
    return {"role": "user", "content": content}


def begun_by_claude() -> list[Json]:
    said = [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "tool_use", "id": "toolu_01", "name": "Read", "input": {}},
    ]
    start = {"role": "user", "content": "go"}
    return [start, {"role": "assistant", "content": said}, results(said)]


def test_each_provider_gets_back_its_own_thinking_and_no_other() -> None:
    talk = answered("gemini", answered("openai-responses", begun_by_claude()))
    request = {"model": "m", "max_tokens": 9_000, "messages": talk}
    gemini = translate("gemini", request).body["contents"]
    signed = [p["thoughtSignature"] for c in gemini for p in c["parts"] if "functionCall" in p]
    assert signed == ["skip_thought_signature_validator"] * 2 + ["c2ln"]
    gpt = translate("openai-responses", request).body["input"]
    assert [item["id"] for item in gpt if item.get("type") == "reasoning"] == ["rs_1"]


def test_claude_gets_its_own_thinking_back_byte_for_byte_and_no_other() -> None:
    talk = answered("gemini", answered("openai-responses", begun_by_claude()))
    body = {"messages": talk, "thinking": {"type": "adaptive"}, "max_tokens": 9_000}
    raw = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    made, _, _ = adapt_claude(raw, [], "claude-opus-4-8", "claude-opus-4-8")
    said = [
        b
        for m in msgspec.json.decode(made["messages"])
        for b in m["content"]
        if isinstance(b, dict)
    ]
    assert [b["signature"] for b in said if b["type"] == "thinking"] == ["EqQB"]
    calls = [b["id"] for b in said if b["type"] == "tool_use"]
    assert calls == [b["tool_use_id"] for b in said if b["type"] == "tool_result"]
    assert len(set(calls)) == 3


def test_a_budget_is_not_asked_of_a_loop_that_another_model_began() -> None:
    talk = answered("gemini", begun_by_claude())
    thinking = {"type": "enabled", "budget_tokens": 4_000}
    body = {"messages": talk, "thinking": thinking, "max_tokens": 9_000}
    raw = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    made, _, changes = adapt_claude(raw, [], "claude-haiku-4-5", "claude-haiku-4-5")
    assert "thinking" not in made
    assert "thinking dropped for this turn" in changes
