"""What a model itself produces is masked as it streams, wherever the stream is cut."""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.common.contracts.pii import Finding
from libs.common.errors import PiiBlocked
from libs.common.settings.pii import OnOutput, PiiSettings
from services.gateway.masking import Placeholders, Policy, StreamGuard
from services.gateway.masking.guard import CAP, DUE, LONGEST
from services.pii.scanner import Scanner
from tests.masking.requests import SECRET, VALUES, placeholder, spans_of
from tests.pii.samples import PII_TEMPLATES, SECRET_TEMPLATES, samples

MAIL, CARD, PASSWORD = "anna.berg@northwind.io", "4539 1488 0343 6467", "Tr0ub4dor!x9"
LINE = [value for value in VALUES if "\n" not in value]
WORDS = st.sampled_from(["a", "the file ", "\n", "x" * 80, " - ", "Grüße 👋🏽 ", *LINE, *LINE])
PEM = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEF\n" * 40


def guard(
    output: OnOutput = "mask", mapping: dict[str, str] | None = None, **entities: Any
) -> StreamGuard:
    policy = Policy.of(PiiSettings(entities=entities)).of_answers(output)
    return StreamGuard(policy, Placeholders(SECRET), mapping or {})


def walked(steps: Generator[str, Sequence[Finding], bytes], scan: Any = spans_of) -> bytes:
    try:
        text = next(steps)
        while True:
            text = steps.send(scan(text))
    except StopIteration as done:
        ready: bytes = done.value
        return ready


def events(deltas: Iterable[str], kind: str = "text_delta", index: int = 0) -> Iterator[bytes]:
    name = "text" if kind == "text_delta" else "partial_json"
    for text in deltas:
        delta = {"type": kind, name: text}
        yield event("content_block_delta", index=index, delta=delta)
    yield event("content_block_stop", index=index)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def said(stream: bytes) -> str:
    data = [json.loads(line[5:]) for line in stream.splitlines() if line.startswith(b"data:")]
    deltas = [each["delta"] for each in data if each["type"] == "content_block_delta"]
    return "".join(d.get("text") or d.get("partial_json") or "" for d in deltas)


def shown(deltas: Iterable[str], kind: str = "text_delta", scan: Any = spans_of) -> str:
    one = guard()
    return said(b"".join(walked(one.feed(each), scan) for each in events(deltas, kind)))


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def whole(text: str) -> str:
    for value in sorted(VALUES, key=len, reverse=True):
        text = text.replace(value, placeholder(value))
    return text


@given(st.lists(WORDS, max_size=30).map(" ".join), st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_a_stream_is_masked_as_its_whole_text_would_be(text: str, size: int) -> None:
    assert shown(cut(text, size)) == whole(text)


@given(st.lists(WORDS, max_size=20).map(" ".join), st.integers(1, 30))
@example('say "hi" \\ \u2028 \U0001f44b ' + MAIL, 1)
@settings(max_examples=100, deadline=None)
def test_a_tools_input_stays_json_and_its_values_are_masked(text: str, size: int) -> None:
    value = {"path": "/x", "lines": [text, {"more": text}], "n": 4539148803436467}
    streamed = shown(cut(json.dumps(value), size), "input_json_delta")
    masked = whole(text)
    assert json.loads(streamed) == {**value, "lines": [masked, {"more": masked}]}


def test_a_key_of_a_tools_input_stays() -> None:
    assert json.loads(shown([json.dumps({MAIL: MAIL})], "input_json_delta")) == {
        MAIL: placeholder(MAIL)
    }


@pytest.mark.parametrize("text", ["word " * 500, "x" * 4000, "line of code\n" * 300])
def test_no_more_than_a_few_hundred_characters_are_held_back(text: str) -> None:
    one, sent, ready = guard(), 0, 0
    for delta, each in zip(cut(text, 7), events(cut(text, 7)), strict=False):
        sent += len(delta)
        ready += len(said(walked(one.feed(each))))
        assert sent - ready <= CAP + 7
    assert sent - ready <= DUE + 7 or " " not in text and "\n" not in text


def test_a_private_key_is_awaited_to_its_end() -> None:
    text = "Here it is:\n" + PEM + "-----END PRIVATE KEY-----\nKeep it."
    masked = shown(cut(text, 9), scan=Scanner(PiiSettings()).scan)
    assert "MII" not in masked and masked.startswith("Here it is:\nPII_SECRET_")
    assert masked.endswith("\nKeep it.")


def test_even_a_key_without_an_end_is_not_awaited_for_ever() -> None:
    one, held = guard(), 0
    text = PEM * 10
    for delta, each in zip(cut(text, 50), events(cut(text, 50)), strict=False):
        held += len(delta) - len(said(walked(one.feed(each))))
        assert held <= LONGEST + DUE


def test_a_value_found_once_is_masked_later_without_its_context() -> None:
    text = f"password: {PASSWORD}\n" + "and so on, " * 60 + f"{PASSWORD} again"
    masked = shown(cut(text, 11), scan=Scanner(PiiSettings()).scan)
    assert PASSWORD not in masked and masked.count("PII_SECRET_") == 2


@pytest.mark.parametrize("bent", [str, str.lower, lambda text: text.replace("_", "\\_")])
def test_a_placeholder_of_the_request_is_left_to_be_restored(bent: Any) -> None:
    name = placeholder(MAIL)
    one = guard(mapping={name: MAIL})
    text = f"password = {bent(name)} "
    sent = [walked(one.feed(each), lambda t: (Finding(11, len(t) - 1, "SECRET"),))
            for each in events([text])]  # fmt: skip
    assert said(b"".join(sent)) == text and not one.counts


def test_thinking_and_events_of_other_kinds_pass_at_once() -> None:
    thought = {"type": "thinking_delta", "thinking": MAIL}
    passing = [
        event("ping"),
        event("content_block_delta", index=0, delta=thought),
        event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    ]
    one = guard()
    assert [walked(one.feed(each)) for each in passing] == passing


def test_text_that_a_block_begins_with_is_masked_too() -> None:
    one, block = guard(), {"type": "text", "text": f"mail {MAIL}"}
    start = walked(one.feed(event("content_block_start", index=0, content_block=block)))
    assert MAIL.encode() not in start
    assert said(walked(one.feed(event("content_block_stop", index=0)))) == whole(f"mail {MAIL}")


def test_a_cut_stream_loses_nothing_that_was_held() -> None:
    one = guard()
    first = walked(one.feed(next(events([f"mail {MAIL}"]))))
    assert not first and said(walked(one.close())) == whole(f"mail {MAIL}")


def test_a_blocked_value_is_named_by_type_and_place_only() -> None:
    one = guard("block")
    with pytest.raises(PiiBlocked) as refused:
        for each in events(["mail ", MAIL], index=2):
            walked(one.feed(each))
    assert refused.value.data == {"entity": "EMAIL", "place": "content[2].text"}
    assert MAIL not in refused.value.detail


def test_allowed_types_pass_and_reported_ones_are_counted() -> None:
    one = guard(EMAIL="report", CREDIT_CARD="allow")
    text = f"{MAIL} {MAIL} {CARD}"
    assert said(b"".join(walked(one.feed(each)) for each in events([text]))) == text
    assert one.counts == {"EMAIL": 1}


@pytest.mark.parametrize("kind", ["text_delta", "input_json_delta"])
def test_what_the_rules_find_in_a_text_they_find_in_its_stream(kind: str) -> None:
    made = [*samples(PII_TEMPLATES, 2, seed=3), *samples(SECRET_TEMPLATES, 2, seed=3)]
    random, scan = Random(5), Scanner(PiiSettings()).scan
    random.shuffle(made)
    for at in range(0, len(made), 6):
        text = random.choice(["\n", "  "]).join(sample.text for sample in made[at : at + 6])
        sent = text if kind == "text_delta" else json.dumps([text])
        masked = shown(cut(sent, random.randrange(1, 40)), kind, scan)
        values = [text[found.start : found.end] for found in scan(text)]
        assert [value for value in values if value in masked] == []
        assert masked.count("PII_") == len(values)
