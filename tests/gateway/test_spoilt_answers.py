"""Whatever a provider answers: it is read, refused in words, or ends in an error event."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from libs.common.contracts.routing import Candidate
from libs.common.contracts.usage import Tokens
from libs.common.errors import UpstreamFailed
from services.gateway.assemble import events_of, message_of
from services.gateway.attempts import canonical
from services.gateway.batches import Used, add_usage
from services.gateway.call import Attempt
from services.gateway.counting import is_count
from services.gateway.door import OpenAIDoor
from services.gateway.doors import DOORS
from services.gateway.headers import LONGEST_WAIT, retry_after_of
from services.gateway.masking import Placeholders, Policy, StreamGuard, StreamRestorer
from services.gateway.masking import restore_message as restored
from services.gateway.masking.answer import Answer
from services.gateway.providers import DIALECTS
from services.gateway.providers.counts import MOST
from services.gateway.providers.failures import MAX_WORDS
from services.gateway.stream import Meter
from services.gateway.upstream import HttpReply
from tests.support.answered import EVENTS, WHOLE, on_the_wire
from tests.support.spoil import WRONG, Place, places, spoilt
from tests.wire.walk import TRANSLATING, assemble, events

MAPPING = {"PII_EMAIL_0123456789": "ada@example.com"}
SHAPES: dict[str, Any] = {"chat": ChatCompletion, "responses": Response}
every_dialect = pytest.mark.parametrize("name", DIALECTS)
# Those that read as another one does are looked at in full only where there is time for it.
ALIKE = ("mistral", "bedrock", "vertex")
in_full = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ALIKE else []) for name in DIALECTS],
)
DEEP = b"[" * 100_000
# No JSON, or JSON that breaks who reads it.
BOMBS = {
    "nothing": b"",
    "no JSON": b"<html><title>502</title>",
    "no UTF-8 in what is said": b'{"content": [{"type": "text", "text": "\xff"}]}',
    "half a text": b'{"content": [{"type": "te',
    "no UTF-8": b'{"content": [{"type": "text", "text": "\xff"}], "id": "\xff", "choices": "\xff"}',
    "half a character": b'{"content": [], "id": "\\ud83d", "output": [], "choices": ["\\ud83d"]}',
    "too deep": b'{"content":[],"choices":' + DEEP + b',"candidates":' + DEEP,
    "deep": b'{"error":' * 400 + b"1" + b"}" * 400,
    "too long a number": b'{"content": [], "usage": ' + b"9" * 5000 + b"}",
    "no number": b'{"content": [], "usage": {"input_tokens": NaN}}',
    "a list": b"[]",
}


@contextlib.contextmanager
def told(place: object) -> Iterator[None]:
    """What was spoilt is in the failure; to be refused in words is fine."""
    try:
        yield
    except UpstreamFailed:
        pass
    except Exception as error:
        error.add_note(f"spoilt at {place}")
        raise


def attempted() -> Attempt:
    candidate = Candidate(deployment="d", provider="p", model="m", dialect="x", estimate=0)
    return Attempt(number=1, candidate=candidate, reservation=None)


def counted(meter: Meter) -> None:
    """Only what ledger and analytics can hold is ever booked."""
    for tokens in (meter.tokens(), meter.estimated(100)):
        assert all(type(n) is int and 0 <= n <= 4 * MOST for n in msgspec.structs.astuple(tokens))
        assert tokens.reasoning <= tokens.output


def taken(body: bytes) -> None:
    """All that reads a whole answer behind its dialect."""
    Answer.of(restored(body, MAPPING))
    assert isinstance(message_of(events_of(msgspec.json.decode(body))), dict | None)
    for door, dialect in DOORS.items():
        with contextlib.suppress(UpstreamFailed):
            SHAPES[door].model_validate(json.loads(OpenAIDoor(door, dialect).whole(body)))


def flown(raw: bytes) -> None:
    """All that reads a stream behind its dialect."""
    restorer = StreamRestorer(MAPPING)
    restorer.feed(raw)
    restorer.close()
    guard = StreamGuard(Policy({}, "mask"), Placeholders(b"secret", "org", "run", "r"), MAPPING)
    for steps in (guard.feed(raw), guard.close()):
        with contextlib.suppress(StopIteration):
            next(steps)
            while True:
                steps.send(())
    message_of(raw)
    for door, dialect in DOORS.items():
        with contextlib.suppress(UpstreamFailed):
            opened = OpenAIDoor(door, dialect)
            assert (opened.feed(raw) + opened.close()).endswith((b"", b"\n\n"))


def streamed(name: str, wire: list[bytes]) -> bytes:
    """A stream through its dialect and its meter, as far as it comes."""
    translator, meter, out = DIALECTS[name].Stream("m", 100), Meter(str.encode), list[bytes]()
    with contextlib.suppress(UpstreamFailed):
        for pieces in (*map(translator.feed, wire), translator.close()):
            out += pieces
            for piece in pieces:
                meter.feed(piece)
    counted(meter)
    return b"".join(out)


def wired(name: str, *changed: tuple[int, Any]) -> list[bytes]:
    """The stream of a dialect as it is sent, with some events exchanged."""
    told = [*EVENTS[name]]
    for number, event in changed:
        told[number] = event
    ends = [b"data: [DONE]\n\n"] if name in ("openai", "mistral") else []
    return [on_the_wire(name, event) for event in told] + ends


def well_told(name: str, raw: bytes) -> None:
    """A whole message in Anthropic's form, or one that an error ends; or nothing was said yet.
    A tool's arguments may be what the model made of them. Claude's own stream passes as it came:
    it must harm nobody who reads it here."""
    if name not in TRANSLATING:
        flown(raw)
        return
    found = events(raw)
    if found and found[-1]["type"] == "message_stop":
        with contextlib.suppress(json.JSONDecodeError):
            assemble(found)
    else:
        assert not found or found[-1]["type"] in ("error", "message_start")


@every_dialect
def test_what_is_spoilt_here_is_read_where_it_is_whole(name: str) -> None:
    attempt = attempted()
    body = msgspec.json.decode(canonical(json.dumps(WHOLE[name]).encode(), DIALECTS[name], attempt))
    assert attempt.meter.known and attempt.meter.stop_reason == body["stop_reason"]
    assert [block["type"] for block in body["content"]][-1].endswith("tool_use")
    found = message_of(streamed(name, wired(name)))
    assert found and len(found["content"]) >= 3 and found["usage"]["output_tokens"] >= 10


@in_full
def test_a_whole_answer_with_one_wrong_thing_is_read_or_refused_in_words(name: str) -> None:
    tops: list[tuple[Place, Any]] = [((), wrong) for wrong in WRONG]
    for place, value in (*tops, *spoilt(WHOLE[name])):
        attempt = attempted()
        with told(place):
            body = canonical(json.dumps(value).encode(), DIALECTS[name], attempt)
            counted(attempt.meter)
            taken(body)


@in_full
def test_a_stream_with_one_wrong_thing_in_an_event_is_told_or_ends_in_an_error(name: str) -> None:
    for number, event in enumerate(EVENTS[name]):
        tops: list[tuple[Place, Any]] = [((), wrong) for wrong in WRONG]
        for place, value in (*tops, *spoilt(event)):
            with told((number, *place)):
                well_told(name, streamed(name, wired(name, (number, value))))


@every_dialect
def test_a_stream_that_is_cut_doubled_or_out_of_order_is_told_or_ends_in_an_error(
    name: str,
) -> None:
    wire = wired(name)
    raw = b"".join(wire)
    cases = [[], wire[::-1], [raw + raw], [wire[0]] * 3]
    cases += [[raw[:end]] for end in range(0, len(raw), 7)]
    for at in range(len(wire)):
        cases += [wire[:at], wire[:at] + wire[at + 1 :], wire[: at + 1] + wire[at:]]
        cases += [wire[at:] + wire[:at], [*wire[:at], b"\xff\xfe\n\ndata:\n\n", *wire[at:]]]
    for case in cases:
        with told(case):
            well_told(name, streamed(name, case))


@every_dialect
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_is_no_json_is_refused_in_words(name: str, bomb: str) -> None:
    with told(bomb):
        taken(canonical(BOMBS[bomb], DIALECTS[name], attempted()))
    begun = wired(name)[:3]
    for wire in ([*begun, b"data: " + BOMBS[bomb] + b"\n\n"], [BOMBS[bomb]], [BOMBS[bomb], *begun]):
        flown(streamed(name, wire))


def test_a_frame_with_one_wrong_byte_is_refused_in_words() -> None:
    raw = b"".join(wired("bedrock")[:2])
    for at in range(len(raw)):
        for byte in (0, 1, 0x7F, 0xFF):
            spoiled = raw[:at] + bytes([byte]) + raw[at + 1 :]
            assert isinstance(streamed("bedrock", [spoiled]), bytes)


@every_dialect
def test_an_error_of_any_form_is_told_in_words(name: str) -> None:
    error = {"type": "t", "code": "c", "message": "m" * 3000, "status": "UNAVAILABLE"}
    whole = {"error": error, "message": "m", "__type": "x", "detail": [{"msg": "m"}]}
    bodies = [json.dumps(each).encode() for _, value in spoilt(whole) for each in (value, [value])]
    figures = b'{"error": {"message": "context length is %b tokens, given 5"}}' % (b"9" * 5000)
    for body in (*bodies, *BOMBS.values(), figures, b"<script" * 50_000):
        found = DIALECTS[name].error_of(400, body)
        assert found.type and len(found.message) <= MAX_WORDS + 200


@every_dialect
@pytest.mark.parametrize("status", [-1, 0, 200, 302, 400, 429, 500, 600, 999, 10**30])
def test_an_error_of_any_status_has_one_that_http_knows(name: str, status: int) -> None:
    for body in (b'{"error": {"type": "t", "message": "m", "code": 5}}', b"", b"[]"):
        assert 400 <= DIALECTS[name].error_of(status, body).status < 600


NO_NUMBERS = [wrong for wrong in WRONG if wrong is not None] + [MOST + 1, 2**63, "12", 1e300]


@every_dialect
def test_a_usage_with_a_number_that_is_none_is_not_believed(name: str) -> None:
    field = "usageMetadata" if name == "gemini" else "usage"
    usage = WHOLE[name][field]
    for place in places(usage):
        for wrong in NO_NUMBERS:
            spoiled = json.loads(json.dumps(usage))
            inner: Any = spoiled
            for step in place[:-1]:
                inner = inner[step]
            if not isinstance(inner[place[-1]], int) or place == ("total_tokens",):
                continue
            inner[place[-1]] = wrong
            assert DIALECTS[name].usage_of({field: spoiled}) is None, (place, wrong)


@every_dialect
def test_what_is_not_believed_is_estimated(name: str) -> None:
    field = "usageMetadata" if name == "gemini" else "usage"
    for usage in (None, {}, {"prompt_tokens": -1}, "x"):
        attempt = attempted()
        canonical(json.dumps(WHOLE[name] | {field: usage}).encode(), DIALECTS[name], attempt)
        assert attempt.meter.ended and not attempt.meter.known
        assert attempt.meter.estimated(100).input == 100
        assert attempt.meter.estimated(100).output > 0


@pytest.mark.parametrize("name", TRANSLATING)
def test_a_stream_without_usage_tells_an_estimate_and_says_so(name: str) -> None:
    bare = json.loads(json.dumps(EVENTS[name]).replace('"usage', '"no_usage'))
    found = events(streamed(name, [on_the_wire(name, event) for event in bare]))
    usage = next(event["usage"] for event in found if event["type"] == "message_delta")
    assert usage["estimated"] and usage["input_tokens"] == 100 and usage["output_tokens"] > 0


def test_a_count_is_a_count_of_tokens_or_is_made_here() -> None:
    assert is_count(b'{"input_tokens": 7}')
    bodies = [json.dumps({"input_tokens": wrong}).encode() for wrong in (*NO_NUMBERS, None, 0)]
    assert not any(map(is_count, [*bodies, *BOMBS.values(), b"{}", b"5"]))


def test_results_of_a_batch_that_tell_no_usage_are_known_for_it() -> None:
    message = {"model": "m", "usage": {"input_tokens": 7, "output_tokens": 3}}
    line = {"custom_id": "a", "result": {"type": "succeeded", "message": message}}
    used: Used = {}
    for _ in range(2):
        add_usage(json.dumps(line).encode(), used)
    assert used == {"m": Tokens(input=14, output=6)}
    spoiled = ({"result": value} for _, value in spoilt(line["result"]) if "type" in value)
    for value in spoiled:
        used = {}
        add_usage(json.dumps(value).encode(), used)
        if value["result"]["type"] == "succeeded":
            assert used and (None in used.values() or used.get("m") != Tokens())
    for bomb in BOMBS.values():
        used = {}
        add_usage(bomb, used)
        assert used == {"": None}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("inf", LONGEST_WAIT),
        ("1e400", LONGEST_WAIT),
        ("nan", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 9999 00:00:00 GMT", LONGEST_WAIT),
        ("7", 7.0),
    ],
)
def test_nobody_waits_for_ever(value: str, seconds: float) -> None:
    reply = HttpReply(httpx.Response(429, headers={"retry-after": value}))
    assert retry_after_of(reply) == seconds
