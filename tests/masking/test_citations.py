import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.masking import StreamRestorer, restore_message
from services.gateway.masking.marks import Mark, edits, original, spliced
from tests.masking.requests import mask, placeholder, request_of

MAIL = "anna.berg@northwind.io"
TEXT = f"Ask {MAIL} about the invoice. It is due."
OTHER = {"type": "document", "source": {"type": "base64", "media_type": "a/b", "data": "QUJD"}}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": TEXT},
}
MASKED = TEXT.replace(MAIL, placeholder(MAIL))
CITED = "about the invoice."


def citation(text: str) -> dict[str, Any]:
    start = MASKED.index(text)
    return {
        "type": "char_location",
        "cited_text": text,
        "document_index": 1,
        "start_char_index": start,
        "end_char_index": start + len(text),
    }


def test_offsets_of_a_citation_lead_back_to_the_text_the_client_sent() -> None:
    mapping = mask(request_of([OTHER, DOCUMENT])).mapping
    content = [{"type": "text", "text": "Soon.", "citations": [citation(CITED)]}]
    body = restore_message(json.dumps({"content": content}).encode(), mapping)
    cited = json.loads(body)["content"][0]["citations"][0]
    assert TEXT[cited["start_char_index"] : cited["end_char_index"]] == CITED


def test_a_streamed_citation_is_led_back_with_its_text() -> None:
    restorer = StreamRestorer(mask(request_of([OTHER, DOCUMENT])).mapping)
    delta = {"type": "citations_delta", "citation": citation(f"Ask {placeholder(MAIL)} about")}
    event = {"type": "content_block_delta", "index": 0, "delta": delta}
    out = restorer.feed(f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode())
    cited = json.loads(out.split(b"data: ")[1])["delta"]["citation"]
    assert cited["cited_text"] == f"Ask {MAIL} about"
    assert TEXT[cited["start_char_index"] : cited["end_char_index"]] == cited["cited_text"]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(1, 30)), max_size=6))
def test_every_offset_outside_a_placeholder_maps_exactly(parts: list[tuple[int, int, int]]) -> None:
    text, marks = "", []
    for gap, length, placeholder_length in parts:
        text += "." * gap
        marks.append(Mark(len(text), len(text) + length, "X", "P" * placeholder_length))
        text += "v" * length
    text += "."
    masked, made = spliced(text, marks), edits(marks)
    for place, char in enumerate(masked):
        if char == ".":
            back = original(place, made, is_end=False)
            assert text[back] == "." and text[:back].count(".") == masked[:place].count(".")
            assert original(place + 1, made, is_end=True) == back + 1
