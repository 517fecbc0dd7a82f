"""Claude on Bedrock and Vertex: bodies by their rules, frames, signatures."""

import base64
import hashlib
import hmac
import json
import struct
import zlib
from typing import Any

import pytest

from libs.common.errors import InvalidRequest, UpstreamFailed
from services.gateway.providers import bedrock, vertex
from services.gateway.providers.events import replay
from services.gateway.providers.signing import sign_bedrock
from tests.wire.walk import assemble, events, nobody, pieces

Json = dict[str, Any]
EAST: dict[str, str] = {"region": "us-east-1"}
ANSWER: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-6",
    "content": [{"type": "text", "text": "Grüße"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 2},
}
HI: Json = {"type": "text", "text": "hi"}
ASK: Json = {
    "model": "claude-opus-4-8",
    "max_tokens": 4_000,
    "stream": True,
    "messages": [{"role": "user", "content": [HI, {"type": "text", "text": " "}]}],
    "cache_control": {"type": "ephemeral"},
    "metadata": {"user_id": "u"},
    "context_management": {"edits": []},
    "anthropic_beta": ["interleaved-thinking-2025-05-14", "prompt-caching-scope-2026-01-05"],
}


def frame(payload: Json, **headers: str) -> bytes:
    """One event-stream frame, as smithy.io describes it."""
    packed = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in headers.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(packed) + len(body) + 16, len(packed))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + body
    return whole + struct.pack(">I", zlib.crc32(whole))


def event_frame(event: bytes) -> bytes:
    data = event.split(b"data: ", 1)[1].rstrip()
    kinds = {":event-type": "chunk", ":message-type": "event"}
    return frame({"bytes": base64.b64encode(data).decode(), "p": "ab"}, **kinds)


FRAMES = b"".join(map(event_frame, replay(ANSWER)))


def test_the_frames_are_those_of_aws_own_reader() -> None:
    from botocore.eventstream import EventStreamBuffer

    reader = EventStreamBuffer()
    reader.add_data(FRAMES)
    theirs = [message.headers[":event-type"] for message in reader]
    assert theirs == ["chunk"] * len(replay(ANSWER))


@pytest.mark.parametrize("size", [1, 3, 11, 1 << 20])
def test_a_framed_stream_is_the_message_wherever_it_is_cut(size: int) -> None:
    translator = bedrock.Stream("m", 1)
    out = [event for piece in pieces(FRAMES, size) for event in translator.feed(piece)]
    assert assemble(events(b"".join([*out, *translator.close()]))) == ANSWER


def test_an_exception_frame_raises_before_content_and_ends_the_stream_after_it() -> None:
    kinds = {":message-type": "exception", ":exception-type": "throttlingException"}
    thrown = frame({"message": "Too many tokens"}, **kinds)
    with pytest.raises(UpstreamFailed) as caught:
        bedrock.Stream("m", 1).feed(thrown)
    assert caught.value.data["status"] == 429
    begun = b"".join(map(event_frame, replay(ANSWER)[:3]))
    assert b"rate_limit_error" in bedrock.Stream("m", 1).feed(begun + thrown)[-1]


def test_a_damaged_frame_is_refused() -> None:
    with pytest.raises(UpstreamFailed, match="damaged"):
        bedrock.Stream("m", 1).feed(FRAMES[:40] + b"\x00" + FRAMES[41:])


def test_bedrock_gets_only_fields_and_betas_it_knows() -> None:
    made = bedrock.to_upstream(ASK, "claude-opus-4-6", None, nobody)
    assert made.body["anthropic_version"] == "bedrock-2023-05-31"
    assert made.body["anthropic_beta"] == ["interleaved-thinking-2025-05-14"]
    assert (
        not {"model", "stream", "metadata", "cache_control", "context_management"}
        & made.body.keys()
    )
    assert made.dropped["cache_control"] == 1
    assert made.dropped["beta prompt-caching-scope-2026-01-05"] == 1
    assert made.body["messages"][0]["content"] == [{"type": "text", "text": "hi"}]


def test_a_conversation_with_calls_and_no_tools_gets_their_names() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    body = bedrock.to_upstream(
        {**ASK, "messages": ASK["messages"] + turns}, "claude-opus-4-6", None, nobody
    ).body
    assert [tool["name"] for tool in body["tools"]] == ["Read"]
    assert body["tool_choice"] == {"type": "none"}


def test_what_the_clouds_do_not_have_is_refused_in_words() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    for change in ({"tools": [search]}, {"messages": [{"role": "user", "content": [image]}]}):
        with pytest.raises(InvalidRequest):
            bedrock.to_upstream({**ASK, **change}, "claude-opus-4-6", None, nobody)
    assert vertex.to_upstream({**ASK, "tools": [search]}, "claude-opus-4-6", None, nobody).body[
        "tools"
    ]


@pytest.mark.parametrize(
    ("model", "options", "wanted"),
    [
        ("claude-haiku-4-5", EAST, "us.anthropic.claude-haiku-4-5-20251001-v1%3A0"),
        ("claude-opus-5-5", {"region": "eu-west-1"}, "eu.anthropic.claude-opus-5-5"),
        ("claude-opus-5-5", {**EAST, "profile": "global."}, "global.anthropic.claude-opus-5-5"),
        ("claude-opus-5-5", {**EAST, "claude-opus-5-5": "my.profile"}, "my.profile"),
    ],
)
def test_models_have_the_names_that_bedrock_calls_them(
    model: str, options: dict[str, str], wanted: str
) -> None:
    assert bedrock.path(model, True, options) == f"/model/{wanted}/invoke-with-response-stream"


def test_vertex_names_model_and_method_in_the_path() -> None:
    assert (
        vertex.path("claude-haiku-4-5", True, {})
        == "/publishers/anthropic/models/claude-haiku-4-5@20251001:streamRawPredict"
    )
    body = vertex.to_upstream(ASK, "claude-opus-4-6", None, nobody).body
    assert (body["anthropic_version"], body["stream"]) == ("vertex-2023-10-16", True)


def test_a_request_is_signed_as_aws_checks_it() -> None:
    url, body = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a%3A0/invoke", b'{"x":1}'
    given = {"content-type": "application/json"}
    made = sign_bedrock(url, given, body, "AKID:SECRET", EAST)
    day, stamp = made["x-amz-date"][:8], made["x-amz-date"]
    request = "\n".join(
        [
            "POST",
            "/model/a%253A0/invoke",
            "",
            "content-type:application/json",
            "host:bedrock-runtime.us-east-1.amazonaws.com",
            f"x-amz-date:{stamp}",
            "",
            "content-type;host;x-amz-date",
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/us-east-1/bedrock/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = b"AWS4SECRET"
    for part in (day, "us-east-1", "bedrock", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    assert made["authorization"].endswith(f"Signature={wanted}")


def test_a_bedrock_api_key_is_sent_as_it_is() -> None:
    assert bedrock.headers("bedrock-key", EAST) == {"authorization": "Bearer bedrock-key"}
    assert sign_bedrock("https://x/", {}, b"", "bedrock-key", EAST) == {}
