# ruff: noqa: E501 - events read better on one line
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.masking import StreamRestorer, restore_message
from tests.masking.requests import VALUES, placeholder

MAIL, PASSWORD, QUOTED = list(VALUES)[0], list(VALUES)[2], list(VALUES)[3]
MAPPING = {placeholder(value): value for value in VALUES}
P = {value: placeholder(value) for value in VALUES}
KINDS = {
    "text": ({"type": "text", "text": ""}, "text_delta", "text"),
    "tool": ({"type": "tool_use", "id": "t", "name": "n", "input": {}}, "input_json_delta", "partial_json"),
    "thinking": ({"type": "thinking", "thinking": ""}, "thinking_delta", "thinking"),
}  # fmt: skip
Pieces = list[str]


def sse(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def stream(*blocks: tuple[str, Pieces]) -> bytes:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m"}}]
    for index, (kind, pieces) in enumerate(blocks):
        block, delta, name = KINDS[kind]
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        for piece in pieces:
            change = {"type": delta, name: piece}
            events.append({"type": "content_block_delta", "index": index, "delta": change})
        events.append({"type": "content_block_stop", "index": index})
    events += [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    return b"".join(map(sse, events))


def restored(data: bytes, cuts: list[int] | None = None) -> bytes:
    restorer = StreamRestorer(MAPPING)
    places = [0, *sorted(cuts or []), len(data)]
    out = [restorer.feed(data[a:b]) for a, b in zip(places, places[1:], strict=False)]
    return b"".join(out) + restorer.close()


def events_of(data: bytes) -> list[dict[str, Any]]:
    lines = data.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def texts(data: bytes) -> dict[int, str]:
    found: dict[int, str] = {}
    for event in events_of(data):
        if event["type"] == "content_block_delta":
            change = event["delta"]
            text = change.get("text") or change.get("partial_json") or change.get("thinking") or ""
            found[event["index"]] = found.get(event["index"], "") + text
    return found


def cut(text: str, places: list[int]) -> Pieces:
    ends = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in zip(ends, ends[1:], strict=False)]


CUTS = st.lists(st.integers(0, 5000), max_size=12)
TEXT = st.lists(
    st.sampled_from([*P.values(), "a", " ", "PII", "PII_", "pii_email", "P", "é🎉", "\n", "PII_SECRET_00"]),
    max_size=8,
).map("".join)  # fmt: skip


def meant(text: str) -> str:
    for mark, value in MAPPING.items():
        text = text.replace(mark, value)
    return text


@given(TEXT, CUTS, CUTS)
@settings(max_examples=300, deadline=None)
def test_text_is_restored_whatever_the_cuts(
    text: str, deltas: list[int], chunks: list[int]
) -> None:
    data = stream(("text", cut(text, deltas)))
    out = restored(data, [place % (len(data) + 1) for place in chunks])
    assert texts(out).get(0, "") == meant(text)


@given(st.lists(st.sampled_from([*VALUES, "x", "é", '"', "\n"]), max_size=5), CUTS, CUTS)
@settings(max_examples=200, deadline=None)
def test_tool_input_is_restored_as_json(
    parts: list[str], deltas: list[int], chunks: list[int]
) -> None:
    written = json.dumps({"k": [P.get(part, part) for part in parts]}, ensure_ascii=False)
    data = stream(("tool", cut(written, deltas)))
    out = restored(data, [place % (len(data) + 1) for place in chunks])
    assert json.loads(texts(out)[0]) == {"k": parts}


def test_every_single_cut_of_the_bytes_restores_the_same() -> None:
    data = stream(("text", [f"é {P[MAIL]} 🎉"]), ("tool", [f'{{"a": "{P[QUOTED]}"}}']))
    wanted = texts(restored(data))
    assert wanted[0] == f"é {MAIL} 🎉" and json.loads(wanted[1]) == {"a": QUOTED}
    for place in range(len(data)):
        assert texts(restored(data, [place])) == wanted


def test_every_single_cut_of_the_text_restores_the_same() -> None:
    text = f"to {P[MAIL]} and {P[PASSWORD]}."
    for place in range(len(text)):
        data = stream(("text", [text[:place], text[place:]]))
        assert texts(restored(data))[0] == meant(text)


def test_what_holds_nothing_to_restore_passes_byte_by_byte() -> None:
    data = stream(("text", ["Plain ", "text: P.", "lease", " stops"]), ("thinking", ["hm"]))
    data += b': comment\n\nevent: unknown\ndata: {"x":  1.0}\n\nevent: ping\r\ndata: {}\r\n\r\n'
    assert restored(data) == data


def test_thinking_passes_unrestored() -> None:
    data = stream(("thinking", [P[MAIL]]), ("text", [P[MAIL]]))
    assert texts(restored(data)) == {0: P[MAIL], 1: MAIL}


@pytest.mark.parametrize(
    "bent",
    [str.lower, lambda p: p.replace("_", "\\_"), lambda p: p[:-10] + p[-10:].replace("0", "O"),
     lambda p: p[:-10] + p[-10:].replace("1", "l"), lambda p: p[:-10] + p[-10:].replace("1", "I")],
)  # fmt: skip
def test_bent_placeholders_are_understood_at_every_cut(bent: Any) -> None:
    text = f"({bent(P[MAIL])}) [{bent(P[PASSWORD])}]"
    for place in range(len(text)):
        data = stream(("text", [text[:place], text[place:]]))
        assert texts(restored(data))[0] == f"({MAIL}) [{PASSWORD}]"


def test_unknown_placeholders_pass_and_are_counted() -> None:
    restorer = StreamRestorer(MAPPING)
    data = stream(("text", ["PII_EMAIL_ZZZZZZZZZZ"]))
    assert restorer.feed(data) + restorer.close() == data
    assert restorer.unknown == 1


def test_no_more_than_one_placeholder_is_held_back() -> None:
    restorer = StreamRestorer(MAPPING)
    longest = max(map(len, MAPPING))
    text, sent = f"some words PII_EMAIL_ and {P[MAIL][:-1]}! more", 0
    for end, char in enumerate(text, 1):
        event = {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": char},
        }
        sent += len(texts(restorer.feed(sse(event))).get(0, ""))
        assert end - sent < longest


def test_a_held_end_is_flushed_before_its_block_stops() -> None:
    out = events_of(restored(stream(("text", [f"ends {P[MAIL][:6]}"]), ("tool", ["{}"]))))
    order = [(event["type"], event.get("index")) for event in out]
    assert order.index(("content_block_stop", 0)) > max(
        i for i, each in enumerate(order) if each == ("content_block_delta", 0)
    )
    assert texts(restored(stream(("text", [P[MAIL][:6]]))))[0] == P[MAIL][:6]


def test_blocks_that_alternate_do_not_mix() -> None:
    half = len(P[MAIL]) // 2
    deltas = [
        (0, P[MAIL][:half]),
        (1, P[PASSWORD][:half]),
        (0, P[MAIL][half:]),
        (1, P[PASSWORD][half:]),
    ]
    data = b"".join(
        sse({"type": "content_block_delta", "index": i, "delta": {"type": "text_delta", "text": t}})
        for i, t in deltas
    )
    assert texts(restored(data)) == {0: MAIL, 1: PASSWORD}


def test_a_broken_stream_gives_all_that_came() -> None:
    data = stream(("text", [f"x {P[MAIL][:9]}"]))
    data = data[: data.index(b"event: content_block_stop")] + b'data: {"type": "cont'
    assert texts(restored(data).removesuffix(b'data: {"type": "cont')) == {0: f"x {P[MAIL][:9]}"}
    assert restored(data).endswith(b'data: {"type": "cont')


def test_a_lone_surrogate_in_a_delta_does_not_raise() -> None:
    event = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": f"\ud83d {P[MAIL]}"},
    }
    data = f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode()
    assert texts(restored(data))[0] == f"\ud83d {MAIL}"


def test_without_a_mapping_chunks_pass_as_they_are() -> None:
    restorer = StreamRestorer({})
    assert restorer.feed(b"data: {") == b"data: {" and restorer.close() == b""


def test_a_whole_answer_is_restored_but_for_its_thinking() -> None:
    content = [
        {"type": "thinking", "thinking": P[MAIL], "signature": "s"},
        {"type": "text", "text": f"to {P[MAIL]}"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"a": [P[QUOTED]], "n": 1.50}},
    ]
    body = json.dumps({"id": "m", "content": content, "usage": {"x": 1}}).encode()
    shown = json.loads(restore_message(body, MAPPING))["content"]
    assert shown[0] == content[0]
    assert shown[1]["text"] == f"to {MAIL}" and shown[2]["input"] == {"a": [QUOTED], "n": 1.5}


def test_a_whole_answer_without_placeholders_keeps_its_bytes() -> None:
    body = b'{"content": [ {"type":"text", "text":"hi"} ]}'
    assert restore_message(body, MAPPING) is body
    assert restore_message(b"no json PII_", MAPPING) == b"no json PII_"
