"""OpenAI-shaped clients: requests in, answers and chunks out, judged by the official SDK."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from libs.common.errors import InvalidRequest
from services.gateway.doors import DOORS
from services.gateway.providers.events import error_event, event, replay

Json = dict[str, Any]
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ANSWER: Json = {
    "id": "msg_01abc",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "text", "text": "Grüße 👋🏽"},
        {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {"x": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "b", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 5,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 2,
        "output_tokens": 7,
    },
}
TOOL: Json = {"name": "a", "parameters": {"type": "object", "properties": {}}}
PDF: Json = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}
CALL: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "a", "arguments": '{"x":1}'},
}
AUDIO: Json = {"role": "user", "content": [{"type": "input_audio"}]}
CHAT: Json = {
    "model": "claude-opus-5-5",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": PDF},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
        {"role": "user", "content": "Go on"},
    ],
    "tools": [{"type": "function", "function": TOOL}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_completion_tokens": 50,
    "reasoning_effort": "minimal",
    "stop": "END",
    "seed": 7,
    "frequency_penalty": 0,
}  # fmt: skip


def chunks(name: str, size: int, raw: bytes, body: Json | None = None) -> bytes:
    relay = DOORS[name].Stream(body)
    pieces = (raw[at : at + size] for at in range(0, len(raw), size))
    return b"".join(out for piece in pieces for out in relay.feed(piece))


def datas(raw: bytes) -> list[Json]:
    lines = [line for line in raw.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line[6:]) for line in lines]


def test_a_chat_request_becomes_canonical() -> None:
    made = DOORS["chat"].to_canonical(CHAT)
    assert made["system"] == [{"type": "text", "text": "Be brief."}]
    assert [block["type"] for block in made["messages"][0]["content"]] == [
        "text",
        "image",
        "document",
    ]
    assert made["messages"][1]["content"][0]["input"] == {"x": 1}
    assert [block["type"] for block in made["messages"][2]["content"]] == ["tool_result", "text"]
    assert made["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert (made["max_tokens"], made["stop_sequences"]) == (50, ["END"])
    assert made["output_config"] == {"effort": "low"}


def test_results_stand_before_words_whatever_order_they_came_in() -> None:
    calls = [
        {"id": i, "type": "function", "function": {"name": "a", "arguments": ""}} for i in "pq"
    ]
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "p", "content": "1"},
        {"role": "system", "content": "Careful."},
        {"role": "tool", "tool_call_id": "q", "content": "2"},
    ]
    made = DOORS["chat"].to_canonical({"model": "m", "messages": messages})
    assert [block["type"] for block in made["messages"][2]["content"]] == [
        "tool_result",
        "tool_result",
        "text",
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n": 2}, "n: "),
        ({"logprobs": True}, "logprobs: "),
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: "),
        ({"messages": [AUDIO]}, "messages.0.content.0.type"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type: "),
        ({"reasoning_effort": "much"}, "reasoning_effort: "),
        ({"made_up": 1}, "made_up: "),
        ({"model": ""}, "model: "),
        ({"max_tokens": 0, "max_completion_tokens": None}, "max_tokens: "),
        ({"response_format": {"type": "grammar"}}, "response_format.type: "),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_name(change: Json, named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        DOORS["chat"].to_canonical({**CHAT, **change})
    assert caught.value.detail.startswith(named)


def test_structured_output_keeps_its_schema() -> None:
    schema = {"type": "object", "properties": {"t": {"type": "string"}}}
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    chat = DOORS["chat"].to_canonical({**CHAT, "response_format": named})
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    told = DOORS["responses"].to_canonical({"model": "m", "input": "hi", "text": text})
    for made in (chat, told):
        assert made["output_config"]["format"] == {"type": "json_schema", "schema": schema}


def test_an_answer_is_a_chat_completion() -> None:
    made = ChatCompletion.model_validate(DOORS["chat"].from_canonical(ANSWER))
    assert made.choices[0].finish_reason == "tool_calls"
    assert [call.function.arguments for call in made.choices[0].message.tool_calls] == [
        '{"x":1}',
        "{}",
    ]
    assert made.usage.prompt_tokens == 17
    assert made.usage.prompt_tokens_details.cached_tokens == 10


def test_an_answer_is_a_response_and_comes_back_as_it_was() -> None:
    made = DOORS["responses"].from_canonical(ANSWER)
    Response.model_validate(made)
    outputs = [
        {"type": "function_call_output", "call_id": id, "output": "ok"}
        for id in ("toolu_1", "toolu_2")
    ]
    items = [{"role": "user", "content": "hi"}, *made["output"], *outputs]
    again = DOORS["responses"].to_canonical({"model": "m", "input": items})
    assert again["messages"][1]["content"] == ANSWER["content"]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1 << 20])
def test_chat_chunks_tell_the_answer_wherever_it_is_cut(size: int) -> None:
    body = {"stream_options": {"include_usage": True}}
    raw = chunks("chat", size, b"".join(replay(ANSWER)), body)
    told = [ChatCompletionChunk.model_validate(data) for data in datas(raw)]
    assert "".join(c.choices[0].delta.content or "" for c in told if c.choices) == "Grüße 👋🏽"
    calls = [call for c in told if c.choices for call in c.choices[0].delta.tool_calls or []]
    assert [call.index for call in calls if call.id] == [0, 1]
    assert told[-1].usage.completion_tokens == 7
    assert raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_response_events_tell_the_answer_wherever_it_is_cut(size: int) -> None:
    told = datas(chunks("responses", size, b"".join(replay(ANSWER))))
    for each in told:
        EVENT.validate_python(each)
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    assert told[-1]["type"] == "response.completed"
    assert told[-1]["response"]["output"] == DOORS["responses"].from_canonical(ANSWER)["output"]


def test_pings_keep_the_connection_and_say_nothing() -> None:
    for name in DOORS:
        assert chunks(name, 99, event({"type": "ping"})) == b": ping\n\n"


def test_an_error_in_mid_stream_reaches_the_client_and_ends_the_stream() -> None:
    raw = b"".join(replay(ANSWER)[:2]) + error_event("overloaded_error", "Overloaded")
    assert datas(chunks("chat", 99, raw))[-1]["error"]["message"] == "Overloaded"
    failed = datas(chunks("responses", 99, raw))[-1]
    assert (failed["type"], failed["response"]["error"]["code"]) == (
        "response.failed",
        "server_error",
    )


def test_a_stopped_answer_says_why() -> None:
    cut = {**ANSWER, "content": ANSWER["content"][1:2], "stop_reason": "max_tokens"}
    assert DOORS["chat"].from_canonical(cut)["choices"][0]["finish_reason"] == "length"
    told = DOORS["responses"].from_canonical(cut)
    assert (told["status"], told["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )


def test_stored_conversations_are_refused_with_advice() -> None:
    body = {"model": "m", "input": "hi", "previous_response_id": "resp_1"}
    with pytest.raises(InvalidRequest, match="send the whole conversation"):
        DOORS["responses"].to_canonical(body)


def test_errors_have_openais_shape_and_words() -> None:
    render = DOORS["chat"].render_error
    long = render(400, "invalid_request_error", "prompt is too long: 5 tokens > 4 maximum", {})[
        "error"
    ]
    assert long["code"] == "context_length_exceeded"
    assert "maximum context length is 4 tokens" in long["message"]
    field = render(400, "invalid_request_error", "messages.0.role: must be user", {})["error"]
    assert field["param"] == "messages.0.role"
    assert render(402, "billing_error", "no money", {})["error"]["code"] == "insufficient_quota"
