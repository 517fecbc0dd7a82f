import json

from libs.common.contracts.routing import Features
from services.gateway.body import Body
from services.gateway.features import features_of, signature_hash

REMINDER = {"type": "text", "text": "<system-reminder>Be careful.</system-reminder>"}


def features(messages: list[object], **more: object) -> Features:
    tree = {"model": "claude-opus-4-8", "max_tokens": 64000, "messages": messages, **more}
    body = Body(json.dumps(tree).encode())
    return features_of(body, door="messages", betas=["a"], headers={})


def user(*blocks: object) -> dict[str, object]:
    return {"role": "user", "content": list(blocks)}


def test_the_users_words_are_the_last_text_that_is_no_reminder() -> None:
    said = {"type": "text", "text": "Fix the bug in parser.py"}
    found = features([user(REMINDER, {"type": "text", "text": "context"}, said, REMINDER)])
    assert found.user_text == "Fix the bug in parser.py"


def test_a_system_message_at_the_end_does_not_hide_the_users_words() -> None:
    found = features([user({"type": "text", "text": "hello"}), {"role": "system", "content": "x"}])
    assert found.user_text == "hello"


def test_a_turn_of_tool_results_is_told_from_a_users_turn() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "no"}
    found = features([user({"type": "text", "text": "go"}), user(result, REMINDER)])
    assert (found.last_is_tool_result, found.last_tool_error) == (True, True)
    assert (found.user_turns, found.tool_results, found.user_text) == (1, 1, "")


def test_images_are_counted_inside_tool_results_and_their_bytes_are_no_text() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "A" * 200_000}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    found = features([user(result)])
    assert found.images == 1 and found.input_tokens < 3_000


def test_what_cannot_be_counted_is_opaque() -> None:
    by_id = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    assert features([user(by_id)]).opaque
    assert features(["hi"], thread={"type": "continue", "previous_message_id": "m"}).opaque


def test_thinking_and_effort_are_read_in_both_forms() -> None:
    budget = features([user()], thinking={"type": "enabled", "budget_tokens": 31999})
    assert (budget.thinking, budget.thinking_budget) == ("budget", 31999)
    effort = {"effort": "high"}
    adaptive = features([user()], thinking={"type": "adaptive"}, output_config=effort)
    assert (adaptive.thinking, adaptive.effort) == ("adaptive", "high")


def test_server_tools_are_told_from_the_clients_own() -> None:
    tools = [{"name": "Read", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]
    found = features([user()], tools=[*tools, {"type": "web_search_20250305", "name": "w"}])
    assert found.server_tools == ("web_search_20250305",) and found.tools == 3


def test_signatures_are_told_by_their_hash_only() -> None:
    thought = {"type": "thinking", "thinking": "…", "signature": "secret"}
    found = features([user(), {"role": "assistant", "content": [thought]}, user()])
    assert found.signatures == (signature_hash("secret"),) and found.has_thinking_blocks


def test_wrong_types_are_left_to_the_provider() -> None:
    found = features(["text", 7, None, {"role": "user", "content": [1, {"type": 2}]}], tools="x")
    assert found.messages >= 1 and found.tools == 0


def test_the_estimate_covers_the_whole_body() -> None:
    tools = [{"name": "t", "description": "word " * 4000, "input_schema": {}}]
    assert features([user()], tools=tools).input_tokens > 4000


def test_what_newer_models_refuse_is_told() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    turns = [user({"type": "text", "text": "hi"}), {"role": "assistant", "content": "{"}]
    found = features(turns, temperature=0.2, tools=[search])
    assert (found.prefill, found.sampling, found.server_tool_uses) == (True, True, 3)
    assert not features(turns[:1]).prefill and not features(turns[:1]).sampling
