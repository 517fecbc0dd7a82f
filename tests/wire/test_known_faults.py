"""Faults that other gateways had with Claude Code, each kept away by name."""

import json
from typing import Any

import pytest

from libs.common.errors import InvalidRequest, UpstreamFailed
from services.gateway import signatures
from services.gateway.providers import anthropic, openai_chat
from services.gateway.providers.names import restore
from services.gateway.providers.schemas import for_gemini
from tests.wire.walk import (
    CATALOGUE,
    MODELS,
    TRANSLATING,
    assemble,
    dialect,
    events,
    nobody,
    stream,
    translate,
)

Json = dict[str, Any]
every = pytest.mark.parametrize("name", TRANSLATING)
ASK: Json = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
SEARCH: Json = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def chunk(delta: Json, finish: str | None = None, **extra: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-0123456789", "choices": [choice], **extra}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def called(*, signature: str = "", thinking: str = "why") -> list[Json]:
    """A turn that called a tool, with the thinking before it, and its result."""
    thought = {"type": "thinking", "thinking": thinking, "signature": signature}
    use = {"type": "tool_use", "id": "toolu_0123456789", "name": "Read", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "toolu_0123456789", "content": "ok"}
    return [
        *ASK["messages"],
        {"role": "assistant", "content": [thought, use]},
        {"role": "user", "content": [result]},
    ]


def test_every_block_stops_once_and_every_tool_streams_its_arguments() -> None:
    first = {"index": 0, "id": "call_AAAAAAAA", "function": {"name": "a", "arguments": '{"x":1}'}}
    second = {"index": 1, "id": "call_BBBBBBBB", "function": {"name": "b", "arguments": "{}"}}
    raw = chunk({"tool_calls": [first, second]}) + chunk({}, "tool_calls")
    found = events(stream("openai", raw))
    kinds = [event["type"] for event in found]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    assert [block["input"] for block in assemble(found)["content"]] == [{"x": 1}, {}]


def test_arguments_leave_as_they_arrive() -> None:
    translator = openai_chat.Stream("gpt-4o", 1)
    translator.feed(
        chunk({"tool_calls": [{"index": 0, "id": "call_AAAAAAAA", "function": {"name": "a"}}]})
    )
    part = {"tool_calls": [{"index": 0, "function": {"arguments": '{"x'}}]}
    assert b'"partial_json":"{\\"x"' in b"".join(translator.feed(chunk(part)))


def test_thinking_and_text_never_share_a_block_and_the_message_starts_once() -> None:
    raw = chunk({"reasoning_content": "a"}) + chunk({"content": "b"})
    raw += chunk({"reasoning_content": "c"}) + chunk({"content": "d"}, "stop")
    answer = assemble(events(stream("openai", raw)))
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"] * 2


@every
def test_message_start_tells_the_estimated_input_and_usage_in_full(name: str) -> None:
    translator = dialect(name).Stream(MODELS[name], 4321)
    first = {"openai-responses": b'data: {"type":"response.created","response":{"id":"r"}}\n\n'}
    raw = first.get(name, b'data: {"id":"x","choices":[],"candidates":[]}\n\n')
    usage = events(b"".join(translator.feed(raw)))[0]["message"]["usage"]
    assert usage["input_tokens"] == 4321
    assert usage["cache_creation"].keys() == {
        "ephemeral_5m_input_tokens",
        "ephemeral_1h_input_tokens",
    }


def test_a_stream_without_usage_is_never_told_as_zero() -> None:
    answer = assemble(events(stream("openai", chunk({"content": "x" * 300}, "stop"))))
    assert answer["usage"]["input_tokens"] == 123
    assert answer["usage"]["output_tokens"] == 100


def test_no_done_leaks_and_message_delta_carries_usage() -> None:
    raw = chunk({"content": "x"}, "stop") + b"data: [DONE]\n\n"
    out = stream("openai", raw)
    assert b"[DONE]" not in out
    assert events(out)[-2]["usage"]["input_tokens"] == 123


def test_counted_ids_become_unique_and_legal() -> None:
    call = {"id": "functions.bash:0", "function": {"name": "bash", "arguments": "{}"}}
    answer = {"choices": [{"message": {"tool_calls": [call]}}]}
    one, two = (openai_chat.from_upstream(answer, "kimi")["content"][0]["id"] for _ in "ab")
    assert one != two
    assert one.replace("_", "").isalnum()


def test_an_answer_cut_off_is_an_error_not_an_empty_success() -> None:
    with pytest.raises(UpstreamFailed, match="before it was complete"):
        stream("openai", chunk({"role": "assistant", "content": ""}))
    found = events(stream("openai", chunk({"content": "half"})))
    assert found[-1]["type"] == "error"


@every
def test_an_error_before_any_content_raises_so_that_a_fallback_can_follow(name: str) -> None:
    errors = {
        "gemini": {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
        "openai-responses": {"type": "error", "code": "server_error", "message": "overloaded"},
    }
    body = errors.get(
        name, {"error": {"message": "The server is overloaded", "type": "server_error"}}
    )
    with pytest.raises(UpstreamFailed) as caught:
        stream(name, b"data: " + json.dumps(body).encode() + b"\n\n")
    assert caught.value.data == {"type": "overloaded_error", "status": 529}


@every
def test_claudes_thinking_never_reaches_another_model(name: str) -> None:
    made = translate(name, {**ASK, "messages": called(signature="EqQBCkYIBhgC", thinking="secret")})
    assert "secret" not in json.dumps(made.body)
    assert made.dropped["thinking"] == 1


@pytest.mark.parametrize("name", ["openai", "gemini", "mistral"])
def test_a_models_own_thinking_comes_back_to_it_alone(name: str) -> None:
    payload = {"openai": "reasoning_content", "gemini": "c2lnbmVk", "mistral": "content"}[name]
    own = signatures.sign(name, MODELS[name], payload)
    other = signatures.sign(name, "another-model", payload)
    kept = {"openai": "why", "gemini": "c2lnbmVk", "mistral": "why"}[name]
    assert kept in json.dumps(translate(name, {**ASK, "messages": called(signature=own)}).body)
    assert kept not in json.dumps(
        translate(name, {**ASK, "messages": called(signature=other)}).body
    )


def test_encrypted_reasoning_comes_back_before_the_call_it_led_to() -> None:
    answer = {
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "function_call", "call_id": "call_AAAAAAAA", "name": "a", "arguments": "{}"},
        ],
    }
    said = dialect("openai-responses").from_upstream(answer, MODELS["openai-responses"])
    result = {"type": "tool_result", "tool_use_id": "call_AAAAAAAA", "content": "1"}
    turns = [
        {"role": "assistant", "content": said["content"]},
        {"role": "user", "content": [result]},
    ]
    items = translate("openai-responses", {**ASK, "messages": ASK["messages"] + turns}).body[
        "input"
    ]
    assert items[1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": "gAAA",
    }
    assert items[2]["type"] == "function_call"


def test_a_call_of_another_model_goes_to_gemini_with_the_documented_signature() -> None:
    body = translate("gemini", {**ASK, "messages": called()}).body
    assert body["contents"][1]["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"


def test_thinking_without_text_keeps_its_signature() -> None:
    parts = [{"functionCall": {"id": "f12345678", "name": "a"}, "thoughtSignature": "c2ln"}]
    answer = {"candidates": [{"finishReason": "STOP", "content": {"parts": parts}}]}
    block = dialect("gemini").from_upstream(answer, "gemini-3.8-flash")["content"][0]
    assert block["thinking"] == ""
    assert signatures.read(block["signature"]) == ("gemini", "gemini-3.8-flash", "c2ln")


def test_deepseek_gets_reasoning_with_every_call_and_none_when_off() -> None:
    asked = {**ASK, "messages": called(), "thinking": {"type": "adaptive"}}
    body = openai_chat.to_upstream(asked, "deepseek-pro", None, nobody).body
    assert body["thinking"] == {"type": "enabled"}
    assert body["messages"][1]["reasoning_content"] == "why"
    off = openai_chat.to_upstream({**ASK, "messages": called()}, "deepseek-pro", None, nobody).body
    assert "reasoning_content" not in off["messages"][1]


@every
def test_blank_texts_vanish_and_a_missing_result_is_an_empty_one(name: str) -> None:
    messages = called()
    messages[1]["content"].insert(1, {"type": "text", "text": ""})
    del messages[2]["content"][0]["content"]
    text = json.dumps(translate(name, {**ASK, "messages": messages}).body)
    assert '"text": ""' not in text


@every
def test_a_server_tool_is_refused_in_words_that_help(name: str) -> None:
    choice = {"type": "tool", "name": "web_search"}
    with pytest.raises(InvalidRequest, match=r"^tools\.0\.type: .* only a Claude model"):
        translate(name, {**ASK, "tools": [SEARCH], "tool_choice": choice})


@every
def test_a_tool_choice_without_tools_is_refused_or_left_out(name: str) -> None:
    body = translate(name, {**ASK, "tools": [], "tool_choice": {"type": "auto"}}).body
    assert not {"tool_choice", "toolConfig", "tools"} & body.keys()
    with pytest.raises(InvalidRequest, match=r"tool_choice\.name"):
        translate(name, {**ASK, "tool_choice": {"type": "tool", "name": "x"}})


@every
def test_system_words_in_mid_conversation_stay_where_they_stood(name: str) -> None:
    middle = [*ASK["messages"], {"role": "system", "content": "MIDWAY"}]
    later = [*middle, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "LAST"}]
    text = json.dumps(translate(name, {**ASK, "system": "FIRST", "messages": later}).body)
    turns = text[text.index('"hi"') :] if '"hi"' in text else text[text.index("hi") :]
    assert turns.index("MIDWAY") < turns.index("yes") < turns.index("LAST")


@every
def test_the_billing_block_goes_to_nobody_else(name: str) -> None:
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.abc;"},
        {"type": "text", "text": "Be brief."},
    ]
    text = json.dumps(translate(name, {**ASK, "system": system}).body)
    assert "billing" not in text
    assert "Be brief." in text


@every
def test_message_threads_are_refused_in_the_form_sdks_understand(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        translate(name, {**ASK, "thread": {"type": "create"}})
    assert caught.value.data["error_code"] == "thread_unsupported_request"


def test_gemini_schemas_hold_only_words_it_knows() -> None:
    schema = {
        "$schema": "x",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "a": {"type": ["string", "null"], "format": "uri"},
            "b": {"oneOf": [{"const": "x"}, {"type": "null"}]},
            "c": {"enum": [1, 2]},
            "d": {"$ref": "#/$defs/list"},
            "e": {"allOf": [{"type": "object", "properties": {"z": {"type": "integer"}}}]},
        },
        "required": ["a", "missing"],
        "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}}},
    }
    clean = for_gemini(schema)
    assert clean["required"] == ["a"]
    assert clean["properties"]["a"] == {
        "nullable": True,
        "type": "string",
        "description": "format: uri",
    }
    assert clean["properties"]["b"] == {
        "nullable": True,
        "anyOf": [{"enum": ["x"], "type": "string"}],
    }
    assert clean["properties"]["c"] == {"description": "one of: 1, 2"}
    assert clean["properties"]["e"]["properties"] == {"z": {"type": "integer"}}
    assert clean["properties"]["d"]["type"] == "array"


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("This model's maximum context length is 128000 tokens. However, your messages resulted in "
         "130000 tokens.", "prompt is too long: 130000 tokens > 128000 maximum"),
        ("The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
         "prompt is too long: 1100000 tokens > 1048576 maximum"),
        ("This model's maximum prompt length is 131072 but the request contains 180000 tokens.",
         "prompt is too long: 180000 tokens > 131072 maximum"),
        ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
         "context length", "prompt is too long: 40000 tokens > 32768 maximum"),
        ("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
         "(4000 in the messages, 1000 in the completion).",
         "input length and `max_tokens` exceed context limit: 4000 + 1000 > 4096"),
        ("Your input exceeds the context window of this model.", "prompt is too long: Your input"),
    ],
)  # fmt: skip
def test_every_way_to_say_too_long_becomes_the_one_clients_know(message: str, wanted: str) -> None:
    error = openai_chat.error_of(400, json.dumps({"error": {"message": message}}).encode())
    assert error.status == 400
    assert error.message.startswith(wanted)


@every
def test_an_html_error_page_is_read_not_parsed(name: str) -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"
    assert dialect(name).error_of(502, page) == ("api_error", "502 Bad Gateway", 502)
    assert dialect(name).error_of(503, b"").status == 503


def test_anthropics_own_words_are_kept() -> None:
    message = "prompt is too long: 210000 tokens > 200000 maximum"
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    assert anthropic.error_of(400, json.dumps(body).encode()).message == message


@pytest.mark.parametrize(
    ("name", "response"),
    [
        ("openai", {"usage": {"prompt_tokens": 100, "completion_tokens": 9,
                              "prompt_tokens_details": {"cached_tokens": 60}}}),
        ("openai", {"usage": {"prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 109,
                              "prompt_tokens_details": {"cached_tokens": 60},
                              "completion_tokens_details": {"reasoning_tokens": 5}}}),
        ("openai-responses", {"usage": {"input_tokens": 100, "output_tokens": 9,
                                        "input_tokens_details": {"cached_tokens": 60}}}),
        ("gemini", {"usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60,
                                      "candidatesTokenCount": 4, "thoughtsTokenCount": 5}}),
        ("mistral", {"usage": {"prompt_tokens": 100, "completion_tokens": 9,
                               "prompt_tokens_details": {"cached_tokens": 60}}}),
    ],
)  # fmt: skip
def test_cached_tokens_count_once_and_reasoning_is_output(name: str, response: Json) -> None:
    told = dialect(name).usage_of(response)
    assert (told.input, told.cache_read, told.output) == (40, 60, 9)


@every
def test_a_long_tool_name_travels_short_and_comes_back_whole(name: str) -> None:
    long = "mcp__" + "x" * 80
    tools = [{"name": long, "input_schema": {"type": "object"}}]
    use = {"type": "tool_use", "id": "toolu_0123456789", "name": long, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_0123456789", "content": "ok"}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    choice = {"type": "tool", "name": long}
    asked = {**ASK, "messages": ASK["messages"] + turns, "tools": tools, "tool_choice": choice}
    made = translate(name, asked)
    (short,) = made.names
    assert len(short) == 64
    assert long not in json.dumps(made.body)
    assert (
        restore(b'{"name":"%b"}' % short.encode(), made.names) == b'{"name":"%b"}' % long.encode()
    )


def test_a_refusal_without_words_is_told_in_words() -> None:
    answer = assemble(events(stream("openai", chunk({}, "content_filter"))))
    assert answer["stop_reason"] == "refusal"
    assert answer["content"][0]["text"].startswith("The provider declined")


@every
def test_a_block_in_the_wrong_place_is_refused_by_its_place(name: str) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    turns = [*ASK["messages"], {"role": "assistant", "content": [image]}]
    with pytest.raises(InvalidRequest, match=r"^messages\.1\.content\.0\.type"):
        translate(name, {**ASK, "messages": turns})


def test_a_stop_sequence_is_told_where_the_server_tells_it() -> None:
    raw = chunk({"content": "a"}) + chunk({}, "stop").replace(
        b'"index": 0', b'"stop_reason": "END"'
    )
    answer = assemble(events(stream("openai", raw)))
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")


def test_one_token_is_asked_as_the_fewest_a_provider_gives() -> None:
    body = translate("openai-responses", {**ASK, "max_tokens": 1}).body
    assert body["max_output_tokens"] == 16


def test_gemini_thinks_unseen_where_it_cannot_stop() -> None:
    asked = {**ASK, "thinking": {"type": "disabled"}}
    facts = CATALOGUE.facts("gemini-4-argon")
    body = dialect("gemini").to_upstream(asked, "gemini-4-argon", facts, nobody).body
    told = body["generationConfig"]["thinkingConfig"]
    assert told == {"includeThoughts": False, "thinkingLevel": "low"}


@every
def test_unknown_fields_are_counted_under_names_that_a_header_may_hold(name: str) -> None:
    strange = {f"field_{n}": n for n in range(100)} | {"bad\r\nname: x": 1, "future_field": {}}
    made = translate(name, {**ASK, **strange})
    assert len(made.dropped) <= 25
    assert all("\r" not in each for each in made.dropped)
    assert sum(made.dropped.values()) == 102


@every
@pytest.mark.parametrize(
    "schema", [{"properties": []}, {"required": [1]}, {"anyOf": {}}, {"properties": {"a": 1}}]
)
def test_what_is_no_schema_is_refused_by_its_place(name: str, schema: Json) -> None:
    with pytest.raises(InvalidRequest, match=r"^tools\.0\.input_schema\."):
        translate(name, {**ASK, "tools": [{"name": "a", "input_schema": schema}]})
