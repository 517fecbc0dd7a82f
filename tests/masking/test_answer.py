"""Whole answers: what the model says in them is masked, and nothing else."""

import json
from typing import Any

from libs.common.settings.pii import OnOutput, PiiSettings
from services.gateway.masking import Placeholders, Policy, restore_message
from services.gateway.masking.answer import Answer, MaskedAnswer
from tests.masking.requests import SECRET, placeholder, spans_of

MAIL, OTHER = "anna.berg@northwind.io", "tomas@fabrikam.de"


def masked(content: Any, output: OnOutput = "mask", **mapping: str) -> MaskedAnswer:
    answer = Answer.of(json.dumps({"id": "msg_1", "content": content}).encode())
    assert answer
    found = {block.key: spans_of(block.text) for block in answer.blocks}
    policy = Policy.of(PiiSettings()).of_answers(output)
    return answer.masked(found, policy, Placeholders(SECRET), mapping)


def test_texts_and_tool_inputs_are_masked_and_thinking_stays() -> None:
    content = [
        {"type": "thinking", "thinking": MAIL, "signature": "s"},
        {"type": "text", "text": f"mail {MAIL}"},
        {"type": "tool_use", "id": "t", "name": "Send", "input": {"to": [MAIL, OTHER], "n": 1}},
    ]
    done = masked(content)
    one, two = placeholder(MAIL), placeholder(OTHER)
    shown = json.loads(bytes(done.message["content"]))
    assert shown[0] == content[0] and shown[1]["text"] == f"mail {one}"
    assert shown[2]["input"] == {"to": [one, two], "n": 1}
    assert done.counts == {"EMAIL": 2} and done.made == {one, two}


def test_a_blocked_value_is_named_by_its_place_in_the_answer() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "s"}
    done = masked([thought, {"type": "text", "text": MAIL}], "block")
    assert done.blocked == ("EMAIL", "content[1].text")


def test_the_requests_own_placeholders_return_and_the_answers_stay() -> None:
    own, new = placeholder(MAIL), placeholder(OTHER)
    done = masked([{"type": "text", "text": f"{own} and {OTHER}"}], **{own: MAIL})
    body = json.dumps({name: json.loads(bytes(raw)) for name, raw in done.message.items()}).encode()
    unknown: list[int] = []
    whole = restore_message(body, {own: MAIL}, done.made, unknown.append)
    assert json.loads(whole)["content"][0]["text"] == f"{MAIL} and {new}" and unknown == [0]


def test_an_answer_without_content_has_nothing_to_mask() -> None:
    assert Answer.of(b'{"type":"message","content":[]}') is None
    assert Answer.of(b"no json") is None
