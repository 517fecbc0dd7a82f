import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidRequest
from services.gateway.body import Body, raw_of

HEAD = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]'


def changed(raw: bytes, **changes: object) -> bytes:
    body = Body(raw)
    return body.encoded({**body.fields, **{name: raw_of(value) for name, value in changes.items()}})


def test_an_unchanged_body_is_sent_byte_for_byte() -> None:
    raw = b'{ "model" : "m",\n"max_tokens":5, "x": 1.0e5 ,"messages":[{"role":"user"}] }'
    body = Body(raw)
    assert body.encoded(dict(body.fields)) == raw


def test_only_the_changed_field_is_written_anew() -> None:
    raw = HEAD + b',"temperature":1.0,"big":12345678901234567890123,"e":1e400,"z":{"b":1,"a":2}}'
    sent = changed(raw, model="claude-opus-5-5")
    assert sent == raw.replace(b"claude-haiku-4-5", b"claude-opus-5-5")


@pytest.mark.parametrize(
    "text",
    [rb"\ud83d", rb"a\udc00b", rb"\\\ud83d", rb"\ud83d\ud83d\ude00", rb"\uD83D!", rb"\udc00\ud83d"],
)
def test_lone_surrogates_pass_unharmed(text: bytes) -> None:
    raw = HEAD.replace(b'"hi"', b'"' + text + b'"') + b"}"
    sent = changed(raw, model="other")
    assert json.loads(sent) == json.loads(raw) | {"model": "other"}


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_every_text_survives_a_change_elsewhere(text: str) -> None:
    tree = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
    raw = json.dumps(tree).encode()
    assert json.loads(changed(raw, model="n")) == tree | {"model": "n"}


def test_a_number_that_nobody_can_hold_passes_but_is_not_read() -> None:
    body = Body(HEAD + b',"x":1e400}')
    assert body.encoded(body.fields) == body.raw
    with pytest.raises(InvalidRequest, match="no valid JSON"):
        body.tree(body.fields)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "no valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"\xff\xfe", "no valid JSON"),
        (HEAD.replace(b"hi", b"\xff") + b"}", "messages: holds bytes that are not valid UTF-8"),
        (HEAD + b',"\xff":1}', "the body holds bytes that are not valid UTF-8"),
        (HEAD.replace(b"hi", rb"\ud83d" + b"\xff") + b"}", "messages: holds bytes that are not"),
        (b'{"max_tokens":1,"messages":[1]}', "model: Field required"),
        (b'{"model":7,"max_tokens":1,"messages":[1]}', "model: Input should be a valid string"),
        (b'{"model":"m","messages":[1]}', "max_tokens: Field required"),
        (b'{"model":"m","max_tokens":0,"messages":[1]}', "max_tokens: must be between"),
        (b'{"model":"m","max_tokens":true,"messages":[1]}', "max_tokens: Input should be"),
        (b'{"model":"m","max_tokens":1}', "messages: Field required"),
        (b'{"model":"m","max_tokens":1,"messages":[]}', "messages: at least one"),
        (b'{"model":"m","max_tokens":1,"messages":{}}', "messages: Input should be a valid list"),
        (b'{"model":"m","max_tokens":1,"stream":"yes","messages":[1]}', "stream: Input should be"),
        (b'{"model":"m","max_tokens":1,"messages":' + b"[" * 9999 + b"]" * 9999 + b"}", "too deep"),
    ],
)
def test_a_wrong_body_is_refused_by_the_name_of_the_field(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Body(raw)
    assert words in caught.value.detail
