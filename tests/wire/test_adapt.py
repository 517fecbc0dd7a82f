"""One Claude model's request, made fit for another."""

from typing import Any

import msgspec
import pytest

from libs.common.errors import InvalidRequest
from services.gateway import signatures
from services.gateway.adapt import adapt_claude

Json = dict[str, Any]
BETAS = [
    "claude-code-20250219",
    "context-1m-2025-08-07",
    "mid-conversation-system-2026-04-07",
    "effort-2025-11-24",
]
ADAPTIVE: Json = {
    "model": "claude-opus-4-8",
    "max_tokens": 64_000,
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "The time is noon."},
    ],
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}
BUDGETED: Json = {
    "model": "claude-haiku-4-5",
    "max_tokens": 32_000,
    "messages": [{"role": "user", "content": "hi"}],
    "thinking": {"type": "enabled", "budget_tokens": 2_000},
    "temperature": 1,
}


def fields(body: Json) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])


def adapt(body: Json, served: str, betas: list[str] | None = None, **kinds: Any) -> Any:
    asked = body["model"]
    made, left, changes = adapt_claude(fields(body), betas or [], asked, served, **kinds)
    return {name: msgspec.json.decode(raw) for name, raw in made.items()}, left, changes


def loop(signature: str = "", thinking: bool = True) -> list[Json]:
    thought = {"type": "thinking", "thinking": "t", "signature": signature}
    use = {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thought, use] if thinking else [use]},
        {"role": "user", "content": [result]},
    ]


def test_the_same_model_changes_nothing() -> None:
    raw = fields(ADAPTIVE)
    made, betas, changes = adapt_claude(raw, BETAS, "claude-opus-4-8", "claude-opus-4-8")
    assert (made, betas, changes) == (raw, BETAS, [])


def test_adaptive_thinking_becomes_a_budget_below_max_tokens() -> None:
    body, betas, changes = adapt({**ADAPTIVE, "max_tokens": 9_000}, "claude-haiku-4-5", BETAS)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8_999}
    assert "output_config" not in body
    assert betas == ["claude-code-20250219"]
    assert "effort dropped" in changes


def test_a_system_message_becomes_the_users_words_where_it_stood() -> None:
    body, _, _ = adapt(ADAPTIVE, "claude-haiku-4-5")
    reminder = "<system-reminder>\nThe time is noon.\n</system-reminder>"
    assert body["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": reminder}],
        }
    ]


def test_a_system_message_before_tool_results_is_told_after_them() -> None:
    messages = loop("s")
    messages.insert(2, {"role": "system", "content": "now"})
    body, _, _ = adapt({**ADAPTIVE, "messages": messages}, "claude-haiku-4-5")
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


def test_a_budget_becomes_adaptive_with_its_effort_and_no_sampling() -> None:
    body, _, changes = adapt(BUDGETED, "claude-opus-5-5")
    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"] == {"effort": "low"}
    assert "temperature" not in body
    assert "temperature dropped" in changes


@pytest.mark.parametrize(
    ("served", "thinking", "effort"),
    [
        ("claude-haiku-5-5", {"type": "disabled"}, "high"),
        ("claude-sonnet-5-5", {"type": "between_tools"}, "high"),
        ("claude-opus-5-5", None, "low"),
    ],
)
def test_thinking_switched_off_is_said_in_the_served_models_way(
    served: str, thinking: Json | None, effort: str
) -> None:
    config = {"effort": "max"}
    body, _, _ = adapt(
        {**ADAPTIVE, "thinking": {"type": "disabled"}, "output_config": config}, served
    )
    assert body.get("thinking") == thinking
    assert body["output_config"]["effort"] == effort


def test_a_model_that_thinks_by_itself_is_kept_from_it_for_one_that_did_not() -> None:
    plain = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": BUDGETED["messages"]}
    assert adapt(plain, "claude-haiku-5-5")[0]["thinking"] == {"type": "disabled"}
    assert "thinking" not in adapt({**plain, "model": "claude-opus-5"}, "claude-haiku-5-5")[0]


def test_a_tool_loop_begun_without_thinking_goes_on_without() -> None:
    body, _, changes = adapt({**ADAPTIVE, "messages": loop(thinking=False)}, "claude-haiku-4-5")
    assert "thinking" not in body
    assert "context_management" not in body
    assert "thinking dropped for this turn" in changes


def test_thinking_of_another_providers_model_is_taken_out() -> None:
    foreign = signatures.sign("gemini", "gemini-3.8-flash", "c2ln")
    body, betas, changes = adapt({**ADAPTIVE, "messages": loop(foreign)}, "claude-opus-4-8")
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert changes == ["thinking of other models dropped (1)"]


def test_thinking_of_another_claude_is_taken_out_once_its_maker_is_known() -> None:
    body = {**ADAPTIVE, "messages": loop("EqQB")}
    assert not adapt(body, "claude-opus-4-8", origin=lambda _: "")[2]
    made, betas, _ = adapt(body, "claude-opus-5-5", origin=lambda _: "claude-fable-5-2")
    assert [block["type"] for block in made["messages"][1]["content"]] == ["tool_use"]
    assert made["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert betas == ["thinking-binding-controls-2026-08-01"]


def test_max_tokens_and_effort_are_lowered_to_what_the_model_knows() -> None:
    body, _, _ = adapt({**ADAPTIVE, "output_config": {"effort": "xhigh"}}, "claude-opus-4-5")
    assert body["output_config"] == {"effort": "high"}
    assert adapt({**ADAPTIVE, "max_tokens": 99_000}, "claude-opus-4-1")[0]["max_tokens"] == 32_000


def test_a_forced_tool_is_asked_for_softly_where_forcing_is_refused() -> None:
    choice = {"type": "tool", "name": "a", "disable_parallel_tool_use": True}
    body, _, _ = adapt({**ADAPTIVE, "tool_choice": choice}, "claude-opus-5-5")
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_prefilled_answer_is_refused_where_the_model_takes_none() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]
    with pytest.raises(InvalidRequest, match=r"^messages\.1\.role"):
        adapt({**BUDGETED, "messages": messages}, "claude-opus-5-5")


def test_fields_that_need_no_change_keep_their_bytes() -> None:
    raw = b'{"model":"claude-opus-4-8","max_tokens":1e2,"messages":[ ],"x":{"b":1.0, "a":2}}'
    made, _, _ = adapt_claude(
        msgspec.json.decode(raw, type=dict[str, msgspec.Raw]),
        [],
        "claude-opus-4-8",
        "claude-opus-5",
    )
    assert bytes(made["x"]) == b'{"b":1.0, "a":2}'
    assert bytes(made["messages"]) == b"[ ]"
