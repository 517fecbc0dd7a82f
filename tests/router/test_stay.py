"""Sessions: stay while it is cheaper, go up at once, never replay another model's thinking."""

import pytest
from msgspec.structs import replace

from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import Features, Plan
from libs.common.prices import Rates
from services.router.cost import break_even
from services.router.decide import decide
from services.router.sessions import errors_in_a_row, session_key
from services.router.view import Pin, View
from tests.router.world import ANTHROPIC, NOW, OTHERS, plan, request, route, view

SIMPLE, CODE = "what is this file called?", "write a python function for it"
DEEP = "analyze the architecture in depth and weigh the consequences"


def pin(model: str, **fields: object) -> Pin:
    base = {"deployment": "anthropic", "asked": "claude-opus-5-5", "at": NOW - 20, "turns": 5}
    return Pin(model=model, **{"tokens": 100_000, **base, **fields})  # type: ignore[arg-type]


def turn(text: str, **features: object) -> Features:
    return request(text, tools=24, cache_marks=3, input_tokens=200_000, **features)


def test_a_tool_result_goes_where_its_task_is() -> None:
    found = plan(turn("", last_is_tool_result=True), pin=pin("claude-haiku-5-5"))
    assert found.candidates[0].model == "claude-haiku-5-5"
    assert "the task goes on" in found.reason and not found.moved


def test_a_warm_session_does_not_move_down_to_a_model_that_reads_no_cheaper_soon() -> None:
    found = plan(turn(CODE), pin=pin("claude-opus-5-5"))
    assert found.candidates[0].model == "claude-opus-5-5"
    assert "its prompt cache is warm, a move pays after 24 more turns" in found.reason


def test_a_warm_session_moves_down_when_the_rest_of_the_task_pays_for_it() -> None:
    found = plan(turn(SIMPLE), pin=pin("claude-opus-5-5"))
    assert found.candidates[0].model == "claude-haiku-5-5"
    assert found.moved and found.switch_cost > 0


@pytest.mark.parametrize(
    ("pool", "served"),
    [("claude-sonnet-5-5", "claude-sonnet-5-5"), ("claude-sonnet-4-6", "claude-opus-5-5")],
)
def test_a_session_begins_below_the_asked_model_only_where_it_clearly_pays(
    pool: str, served: str
) -> None:
    asked = request("write a python function", tools=24, input_tokens=40_000, cache_marks=3)
    found = plan(asked, view(pool={"anthropic": {"standard": pool}}), models=(pool, asked.model))
    assert found.candidates[0].model == served


def test_a_session_that_lost_by_moving_stays_up() -> None:
    burnt = pin("claude-opus-5-5", credit=-1, ups=2)
    found = plan(turn(SIMPLE), pin=burnt)
    assert found.candidates[0].model == "claude-opus-5-5"


def test_harder_work_moves_a_session_up_at_once() -> None:
    found = plan(turn(DEEP), pin=pin("claude-haiku-5-5"))
    assert found.candidates[0].model == "claude-opus-5-5" and found.moved


def test_a_tool_failure_moves_a_cheap_session_up_within_its_task() -> None:
    failed = turn("", last_is_tool_result=True, last_tool_error=True)
    found = plan(failed, pin=pin("claude-haiku-5-5", errors=1))
    assert found.candidates[0].model == "claude-sonnet-5-5" and found.moved


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-opus-5-5"])
def test_a_compaction_reads_the_warm_cache_where_it_is(model: str) -> None:
    words = "Your task is to create a detailed, thorough summary of the conversation so far."
    found = plan(turn(words, messages=30), pin=pin(model))
    assert (found.label, found.candidates[0].model) == ("compact", model)


@pytest.mark.parametrize("said", ["yes, go on", "continue", "ok do that"])
def test_a_short_answer_carries_the_task_on(said: str) -> None:
    chat = request(said, "claude-sonnet-5-5", user_turns=3)
    before = pin("claude-opus-5-5", label="analysis", tokens=0, asked="claude-sonnet-5-5")
    found = plan(chat, pin=before)
    assert (found.label, found.candidates[0].model) == ("analysis", "claude-opus-5-5")
    assert plan(chat).candidates[0].model == "claude-haiku-5-5"


def test_a_sonnet_session_moves_up_when_failures_go_on() -> None:
    failed = turn("", last_is_tool_result=True, last_tool_error=True)
    models = [
        plan(failed, pin=pin("claude-sonnet-5-5", errors=n)).candidates[0].model for n in (1, 2, 3)
    ]
    assert models == ["claude-sonnet-5-5", "claude-sonnet-5-5", "claude-opus-5-5"]


def test_an_explicit_effort_moves_up_within_the_task() -> None:
    found = plan(turn("", last_is_tool_result=True, effort="max"), pin=pin("claude-haiku-5-5"))
    assert found.candidates[0].model == "claude-opus-5-5"


def test_a_session_leaves_a_model_whose_circuit_is_open() -> None:
    look = view()
    for _ in range(3):
        look.health.circuit("anthropic", "claude-haiku-5-5").failed(NOW, 529, 0.0)
    found = plan(turn("", last_is_tool_result=True), look, pin("claude-haiku-5-5"))
    assert found.candidates[0].model != "claude-haiku-5-5"
    assert "circuit open" in found.candidates[-1].why


def test_a_changed_wish_decides_anew() -> None:
    found = plan(
        turn("", last_is_tool_result=True, model="claude-haiku-4-5"),
        pin=pin("claude-opus-5-5"),
    )
    assert found.candidates[0].model == "claude-haiku-5-5"


def decided(features: Features, origins: dict[str, str], look: View | None = None) -> Plan:
    return decide(route(features), look or view(), now=NOW, origins=origins).plan


def test_without_a_pin_a_task_stays_with_the_model_that_thought_in_it() -> None:
    features = turn("", last_is_tool_result=True, signatures=("s1",), has_thinking_blocks=True)
    found = decided(features, {"s1": "claude-haiku-5-5"})
    assert found.candidates[0].model == "claude-haiku-5-5"
    assert found.candidates[0].foreign == ()


def test_thinking_of_another_model_is_named_for_every_candidate() -> None:
    features = turn(CODE, signatures=("mine", "other"), has_thinking_blocks=True)
    origins = {"mine": "claude-sonnet-5-5", "other": "claude-opus-4-8"}
    found = decided(features, origins, view(ANTHROPIC + OTHERS))
    foreign = {c.model: set(c.foreign) for c in found.candidates}
    assert foreign.pop("claude-sonnet-5-5") == {"other"}
    assert all(signatures == {"mine", "other"} for signatures in foreign.values())


def test_thinking_nobody_has_seen_belongs_to_the_asked_model() -> None:
    found = decided(turn(DEEP, signatures=("new",)), {})
    assert {c.model: c.foreign for c in found.candidates} == {
        "claude-opus-5-5": (),
        "claude-sonnet-5-5": ("new",),
        "claude-haiku-5-5": ("new",),
    }


def test_a_continued_thread_stays_with_the_model_that_holds_it() -> None:
    features = turn("", last_is_tool_result=True, thread=True, continues_thread=True, opaque=True)
    found = plan(features, view(ANTHROPIC + OTHERS), pin("claude-sonnet-5-5"))
    assert {c.model for c in found.candidates} == {"claude-sonnet-5-5"}


def test_another_persons_session_id_is_another_session() -> None:
    mine = route(turn(CODE), session="s")
    yours = replace(mine, principal=Principal(key_id="key_2"))
    agent = replace(mine, principal=Principal(key_id="key_1", agent="a7"))
    assert len({session_key(each) for each in (mine, yours, agent)}) == 3
    assert "" not in {session_key(each) for each in (mine, yours, agent)}


def test_background_calls_have_no_session() -> None:
    assert session_key(route(turn(CODE, background="title"), session="s")) == ""


def test_failures_count_in_a_row_and_a_users_turn_starts_anew() -> None:
    before = pin("claude-sonnet-5-5", errors=2)
    failed = turn("", last_is_tool_result=True, last_tool_error=True)
    assert errors_in_a_row(failed, before) == 3
    assert errors_in_a_row(turn("", last_is_tool_result=True), before) == 0
    assert errors_in_a_row(turn(CODE), before) == 0
    assert errors_in_a_row(turn(CODE), replace(before, refusals=1)) == 1


DEAR = Rates(cache_read=2, cache_write_5m=50)
CHEAP = Rates(cache_read=1, cache_write_5m=25)


@pytest.mark.parametrize(("here", "turns"), [(DEAR, 24), (CHEAP, float("inf"))])
def test_the_break_even_is_the_write_against_the_cheaper_reads(here: Rates, turns: float) -> None:
    assert break_even(here, CHEAP) == turns
