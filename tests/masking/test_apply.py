import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.contracts.pii import Finding
from libs.common.settings.pii import PiiSettings
from services.gateway.masking import Placeholders, Policy, apply, collect
from services.gateway.masking.placeholders import PLACEHOLDER
from tests.masking.requests import (
    SECRET,
    VALUES,
    fields_of,
    mask,
    masked,
    placeholder,
    request_of,
)

MAIL, PASSWORD = "anna.berg@northwind.io", "Tr0ub4dor!x9"
WORDS = st.sampled_from([*VALUES, "plain", " ", "\n", "é🎉", "x", "PII_EMAIL_", "{", '"'])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)
BLOCKS = st.one_of(
    TEXTS.map(lambda t: {"type": "text", "text": t}),
    TEXTS.map(lambda t: {"type": "tool_use", "id": "t", "name": "n", "input": {"k": [t, 1.50]}}),
    TEXTS.map(lambda t: {"type": "tool_result", "tool_use_id": "t", "content": t}),
    TEXTS.map(lambda t: {"type": "thinking", "thinking": t, "signature": t}),
)
CONTENTS = st.lists(st.one_of(TEXTS, st.lists(BLOCKS, max_size=3)), min_size=1, max_size=6)


def test_values_are_exchanged_and_the_mapping_leads_back() -> None:
    done = mask(request_of(f"write to {MAIL}"))
    assert done.mapping == {placeholder(MAIL): MAIL}
    assert done.counts == {"EMAIL": 1}
    assert (
        json.loads(bytes(done.fields["messages"]))[0]["content"] == f"write to {placeholder(MAIL)}"
    )


def test_without_a_finding_the_very_same_fields_go_on() -> None:
    fields = fields_of(request_of("nothing here"))
    run = apply(fields, collect(fields), {}, Policy.of(PiiSettings()), Placeholders(SECRET))
    assert run.fields is fields


def test_only_the_path_to_a_value_is_written_anew() -> None:
    kept = rb'{"role": "user",  "content": "caf\u00e9 \/", "x": 1.500}'
    raw = b"[" + kept + b', {"content": "%s", "z": 1e2}]' % MAIL.encode()
    fields = {"messages": msgspec.Raw(raw)}
    blocks = collect(fields)
    findings = {blocks[1].key: (Finding(0, len(MAIL), "EMAIL"),)}
    run = apply(fields, blocks, findings, Policy.of(PiiSettings()), Placeholders(SECRET))
    assert bytes(run.fields["messages"]).startswith(b"[" + kept + b",")
    assert bytes(run.fields["messages"]).endswith(b'","z":1e2}]')


@given(CONTENTS, CONTENTS)
@settings(max_examples=150, deadline=None)
def test_a_longer_conversation_repeats_the_masked_bytes_of_its_prefix(
    start: list[Any], more: list[Any]
) -> None:
    short, long = mask(request_of(*start)), mask(request_of(*start, *more))
    prefix = bytes(short.fields["messages"]).removesuffix(b"]")
    items = msgspec.json.decode(short.fields["messages"], type=list[msgspec.Raw])
    others = msgspec.json.decode(long.fields["messages"], type=list[msgspec.Raw])
    assert others[: len(items)] == items and prefix


@given(CONTENTS)
@settings(max_examples=100, deadline=None)
def test_masking_twice_is_masking_once(contents: list[Any]) -> None:
    once = masked(request_of(*contents))
    assert masked(once) == once


@given(CONTENTS)
@settings(max_examples=100, deadline=None)
def test_no_value_is_left_where_it_may_not_be(contents: list[Any]) -> None:
    for message in masked(request_of(*contents))["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else [message]
        shown = [b for b in blocks if b.get("type") != "thinking"]
        assert not any(value in _texts(shown) for value in VALUES)


def _texts(value: Any) -> str:
    if isinstance(value, dict):
        return "\0".join(map(_texts, value.values()))
    return "\0".join(map(_texts, value)) if isinstance(value, list) else str(value)


def test_a_value_found_once_is_masked_later_without_context() -> None:
    run = _with_findings(["pw " + PASSWORD, "ok", f"type {PASSWORD}, not x{PASSWORD}x"], {0: 3})
    texts = [message["content"] for message in json.loads(run)]
    assert texts[2] == f"type {placeholder(PASSWORD)}, not x{PASSWORD}x"


def test_a_value_found_later_is_not_masked_backwards() -> None:
    run = _with_findings(["ticket " + PASSWORD, "ok", "pw " + PASSWORD], {2: 3})
    assert PASSWORD in json.loads(run)[0]["content"]


def _with_findings(contents: list[str], found: dict[int, int]) -> bytes:
    fields = fields_of(request_of(*contents))
    blocks = collect(fields)
    findings = {
        blocks[number].key: (Finding(at, at + len(PASSWORD), "SECRET"),)
        for number, at in found.items()
    }
    run = apply(fields, blocks, findings, Policy.of(PiiSettings()), Placeholders(SECRET))
    return bytes(run.fields["messages"])


def test_tool_inputs_keep_keys_numbers_and_order() -> None:
    tool = {"type": "tool_use", "id": "t", "name": "n", "input": {MAIL: 1.50, "to": [MAIL, None]}}
    shown = masked(request_of("x", [tool]))["messages"][1]["content"][0]
    assert shown == {**tool, "input": {MAIL: 1.5, "to": [placeholder(MAIL), None]}}


def test_a_number_in_json_stays_and_is_counted() -> None:
    tool = {"type": "tool_use", "id": "t", "name": "n", "input": {"card": 4539148803436467}}
    fields = fields_of(request_of("x", [tool]))
    blocks = collect(fields)
    findings = {blocks[1].key: (Finding(6, 22, "CREDIT_CARD"),)}
    run = apply(fields, blocks, findings, Policy.of(PiiSettings()), Placeholders(SECRET))
    assert run.fields is fields and run.kept == {"CREDIT_CARD": 1} and not run.mapping


def test_thinking_and_signatures_are_never_touched() -> None:
    thinking = {"type": "thinking", "thinking": PASSWORD, "signature": MAIL}
    shown = masked(request_of(PASSWORD + " " + MAIL, [thinking]))
    assert shown["messages"][1]["content"] == [thinking]


def test_a_forbidden_type_is_named_with_its_place_and_nothing_is_masked() -> None:
    run = mask(request_of("x", "y", f"{MAIL}"), settings=PiiSettings(entities={"EMAIL": "block"}))
    assert run.blocked == ("EMAIL", "messages[2].content")
    assert not run.mapping


def test_reported_types_are_counted_and_allowed_ones_ignored() -> None:
    actions = PiiSettings(entities={"EMAIL_ADDRESS": "report", "SECRET": "allow"})
    run = mask(request_of(f"{MAIL} {PASSWORD}"), settings=actions)
    assert run.counts == {"EMAIL": 1} and not run.mapping


def test_a_key_with_masking_off_lets_everything_pass() -> None:
    assert Policy.of(PiiSettings(), "off").idle
    layers = PiiSettings(
        entities={"EMAIL_ADDRESS": "block", "IP": "allow", "PHONE": "report"},
        teams={"core": {"EMAIL": "report", "IP": "block"}},
        keys={"ci": {"EMAIL": "allow"}},
    )
    own = Policy.of(layers, team="core", key="ci")
    assert [own.action(name) for name in ("EMAIL", "IP", "PHONE")] == ["allow", "block", "report"]
    assert Policy.of(layers, team="core").action("EMAIL") == "report"
    assert Policy.of(layers, team="other", key="other").action("EMAIL") == "block"


def test_placeholders_differ_by_tenant_and_by_conversation_if_so_scoped() -> None:
    made = [
        Placeholders(SECRET, "a").of("EMAIL", MAIL),
        Placeholders(SECRET, "b").of("EMAIL", MAIL),
        Placeholders(SECRET, "a", "conversation", "s1").of("EMAIL", MAIL),
        Placeholders(SECRET, "a", "conversation", "s2").of("EMAIL", MAIL),
    ]
    assert len(set(made)) == 4 and all(PLACEHOLDER.fullmatch(each) for each in made)
    assert made[0] == Placeholders(SECRET, "a", "tenant", "s9").of("EMAIL", MAIL)


def test_lone_surrogates_do_not_raise() -> None:
    raw = b'[{"content": "a\\ud83d %s"}]' % MAIL.encode()
    fields = {"messages": msgspec.Raw(raw)}
    blocks = collect(fields)
    findings = {blocks[0].key: (Finding(3, 3 + len(MAIL), "EMAIL"),)}
    run = apply(fields, blocks, findings, Policy.of(PiiSettings()), Placeholders(SECRET))
    assert json.loads(bytes(run.fields["messages"]))[0]["content"] == f"a\ud83d {placeholder(MAIL)}"
