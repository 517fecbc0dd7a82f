import json

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.assemble import events_of, message_of
from services.gateway.stream import Meter


def event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


USAGE = {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 1}
START = event("message_start", message={"id": "msg_1", "model": "m", "usage": USAGE})
DELTA = {"type": "text_delta", "text": 'say "usage" or message_stop: žluťoučký 🐎'}
TEXT = event("content_block_delta", index=0, delta=DELTA)
SIGNED = event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "S"})
END = {"stop_reason": "end_turn", "stop_sequence": None}
STREAM = b"".join(
    [
        START,
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        TEXT,
        SIGNED,
        event("content_block_stop", index=0),
        event("message_delta", delta=END, usage={"output_tokens": 42}),
        event("message_stop"),
    ]
)


def metered(stream: bytes, cuts: list[int]) -> Meter:
    meter = Meter()
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in zip(edges, edges[1:], strict=False):
        if start < end:
            meter.feed(stream[start:end])
    return meter


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_a_stream_is_read_alike_wherever_it_is_cut(cuts: list[int], crlf: bool) -> None:
    stream = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    meter = metered(stream, [min(cut, len(stream)) for cut in cuts])
    tokens = meter.tokens()
    assert (tokens.input, tokens.cache_read, tokens.output) == (7, 3, 42)
    assert meter.ended and meter.content and meter.stop_reason == "end_turn"


def test_byte_by_byte_is_read_alike_too() -> None:
    meter = metered(STREAM, list(range(len(STREAM))))
    assert meter.ended and meter.tokens().output == 42


def test_content_begins_with_the_first_content_event_not_with_the_head() -> None:
    meter = Meter()
    meter.feed(START + event("ping"))
    assert not meter.content and meter.known
    meter.feed(TEXT)
    assert meter.content


def test_signatures_are_told() -> None:
    seen: list[str] = []
    meter = Meter(seen.append)
    meter.feed(SIGNED)
    assert seen == ["S"]


def test_an_error_event_is_noticed() -> None:
    meter = Meter()
    meter.feed(event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    assert meter.error == {"type": "overloaded_error", "message": "Overloaded"}


def test_a_cut_stream_is_estimated_by_what_went_by() -> None:
    meter = metered(START + TEXT * 10, [])
    tokens = meter.estimated(1000)
    assert tokens.input == 7 and 60 < tokens.output < 400


@given(st.text(max_size=300), st.text(max_size=50))
def test_a_message_taken_apart_is_put_together_again(text: str, value: str) -> None:
    tool = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": [value, 1]}}
    thought = {"type": "thinking", "thinking": text, "signature": "S"}
    message = {
        "id": "msg_1",
        "content": [thought, {"type": "text", "text": text}, tool],
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "stop_reason": "tool_use",
        "stop_sequence": None,
    }
    assert message_of(events_of(message)) == message


def test_a_stream_without_its_end_is_no_message() -> None:
    assert message_of(START + TEXT) is None
