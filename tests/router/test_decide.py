import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.identity import Routing
from libs.common.contracts.routing import Deployment
from libs.common.errors import Forbidden, InvalidRequest, NotFound, Unavailable
from libs.common.settings.routing import RuleSettings
from services.router.decide import decide
from tests.router.world import ANTHROPIC, FLEETS, NOW, OTHERS, plan, request, route, view

CODE = "write a python function that adds two numbers"


def test_respect_serves_what_was_asked() -> None:
    found = plan(request(CODE, "claude-opus-4-8"), routing="respect")
    assert [c.model for c in found.candidates] == ["claude-opus-4-8"]
    assert (found.reason, found.saved) == ("served as asked", 0)


def test_respect_falls_back_only_to_what_the_settings_list() -> None:
    look = view(fallbacks={"claude-opus-4-8": ["claude-sonnet-5"]})
    found = plan(request(CODE, "claude-opus-4-8"), look, routing="respect")
    assert [c.model for c in found.candidates] == ["claude-opus-4-8", "claude-sonnet-5"]


def test_within_family_stays_with_the_provider_and_never_goes_above_the_asked_model() -> None:
    found = plan(
        request(CODE, "claude-sonnet-5-5"), view(ANTHROPIC + OTHERS), routing="within-family"
    )
    assert {c.model for c in found.candidates} == {"claude-sonnet-5-5", "claude-haiku-5-5"}


def test_asking_for_auto_is_auto_in_every_mode() -> None:
    found = plan(request(CODE, "claude-modelmuxer-auto"), routing="respect")
    assert found.routing == "auto"
    assert found.baseline == "claude-opus-5-5"


def test_a_cheap_model_asked_for_stays_cheap() -> None:
    found = plan(request(CODE, "claude-haiku-4-5-20251001"))
    assert found.candidates[0].model == "claude-haiku-5-5"


def test_an_unknown_claude_is_served_as_asked_at_the_dearest_price() -> None:
    first = plan(request(CODE, "claude-opus-99")).candidates[0]
    assert (first.model, first.unpriced) == ("claude-opus-99", True)


@pytest.mark.parametrize("name", ["gpt-4oo", "claud-sonnet-5"])
def test_an_unknown_name_is_not_found_and_near_names_are_given(name: str) -> None:
    with pytest.raises(NotFound, match="did you mean") as caught:
        plan(request(CODE, name))
    assert caught.value.data["near"]


def test_a_name_like_no_other_is_sent_to_the_list() -> None:
    with pytest.raises(NotFound, match="GET /v1/models lists those that are") as caught:
        plan(request(CODE, "no-such-model"))
    assert caught.value.data["near"] == []


def test_an_unknown_claude_without_anthropic_is_not_found() -> None:
    with pytest.raises(NotFound):
        plan(request(CODE, "claude-opus-99"), view(OTHERS))


def test_no_live_provider_is_said_so() -> None:
    with pytest.raises(Unavailable, match="no provider is live"):
        plan(request(CODE), view(()))


@pytest.mark.parametrize(
    "name",
    ["claude-3-5-sonnet-latest", "claude-haiku", "gpt-3.5-turbo", "gpt-4", "gemini", "mistral"],
)
@pytest.mark.parametrize("fleet", FLEETS)
def test_every_name_of_the_guide_is_served(name: str, fleet: str) -> None:
    assert plan(request("hello", name), view(FLEETS[fleet])).candidates


def test_a_model_off_the_keys_list_is_forbidden_and_the_list_is_named() -> None:
    with pytest.raises(Forbidden, match="claude-haiku-"):
        plan(request(CODE, "claude-opus-5-5"), models=("claude-haiku-*",))


@pytest.mark.parametrize("listed", ["claude-3-5-sonnet-latest", "claude-3-5-*", "sonnet"])
def test_an_old_name_on_the_list_allows_its_successor(listed: str) -> None:
    asked = "sonnet" if listed == "sonnet" else "claude-3-5-sonnet-latest"
    found = plan(request(CODE, asked), models=(listed,))
    assert [c.model for c in found.candidates] == ["claude-sonnet-5-5"]


def test_candidates_keep_to_the_keys_list() -> None:
    found = plan(
        request("analyze this in depth and weigh it", "modelmuxer-auto"),
        view(ANTHROPIC + OTHERS),
        models=("gpt-*", "mistral-*"),
    )
    assert {c.model.split("-")[0] for c in found.candidates} <= {"gpt", "mistral"}
    assert any(r.why == "is not on the key's list" for r in found.rejected)


@pytest.mark.parametrize(
    ("features", "why"),
    [
        ({"server_tools": ("web_search_20250305",)}, "does not run the provider's tools"),
        ({"documents": 1}, "takes no documents"),
        ({"thinking": "budget", "thinking_budget": 4096}, "does not think"),
        ({"thread": True}, "keeps no message threads"),
        ({"input_tokens": 500_000}, "has a context of 262000 tokens"),
    ],
)
def test_what_a_model_cannot_do_keeps_it_out(features: dict[str, object], why: str) -> None:
    found = plan(request("hello", "modelmuxer-auto", **features), view(ANTHROPIC + OTHERS))
    out = {r.model: r.why for r in found.rejected}
    assert why in out["mistral-medium-3-5"]
    assert "mistral-medium-3-5" not in {c.model for c in found.candidates}


def test_a_forced_tool_keeps_out_the_models_that_refuse_it() -> None:
    found = plan(request(CODE, tools=1, tool_choice="tool"))
    assert [c.model for c in found.candidates] == ["claude-haiku-5-5"]


def test_when_the_pool_cannot_any_other_live_model_may() -> None:
    found = plan(request("hello", "claude-3-5-sonnet-latest", prefill=True))
    assert {c.model for c in found.candidates} <= {
        "claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5", "claude-opus-4-1",
    }  # fmt: skip


def test_a_prompt_beyond_every_window_goes_to_the_widest_for_its_own_words() -> None:
    found = plan(request("hello", input_tokens=3_000_000))
    assert found.candidates[0].model.startswith("claude-")


def test_what_nobody_can_do_says_why() -> None:
    with pytest.raises(InvalidRequest, match="keeps no message threads"):
        plan(request("hello", "gpt-4o", thread=True), view(OTHERS))


def test_the_worst_case_is_input_at_the_dearest_and_all_of_max_tokens() -> None:
    found = plan(request(CODE, input_tokens=1000, max_tokens=2000), routing="respect")
    first = found.candidates[0]
    assert first.estimate == first.input_cost + 2000 * first.output_price // 1_000_000
    assert (first.input_cost, first.output_price) == (8000, 20_000_000)


def test_an_input_that_cannot_be_seen_is_reserved_at_the_whole_window() -> None:
    seen = plan(request(CODE), routing="respect").candidates[0]
    unseen = plan(request(CODE, opaque=True), routing="respect").candidates[0]
    assert unseen.input_cost == 8_000_000 > seen.input_cost


def test_the_ceiling_of_a_sibling_bounds_the_reservation() -> None:
    found = plan(request(CODE, "claude-opus-4-8", max_tokens=120_000), view(OTHERS))
    capped = [c for c in found.candidates if c.max_output == 65_000]
    assert capped and all(c.max_tokens == 65_000 for c in capped)
    assert "max_tokens lowered to 65000" in capped[0].why


def test_the_cheapest_model_is_always_among_the_candidates() -> None:
    text = "analyze the architecture in depth and weigh all the consequences"
    found = plan(request(text), view(ANTHROPIC + OTHERS, candidates=3))
    assert len(found.candidates) == 3
    assert found.candidates[-1].model in ("claude-haiku-5-5", "gpt-6-luna")


def test_equal_deployments_share_the_sessions_and_each_session_keeps_its_own() -> None:
    twins = tuple(
        Deployment(id=f"a{n}", provider="anthropic", dialect="anthropic", catalogue="anthropic")
        for n in range(2)
    )
    look = view(twins)
    first = [plan(request(CODE), look, session=f"s{n}").candidates[0] for n in range(40)]
    again = [plan(request(CODE), look, session=f"s{n}").candidates[0] for n in range(40)]
    assert {c.deployment for c in first} == {"a0", "a1"}
    assert first == again


@pytest.mark.parametrize(
    ("rule", "model"),
    [
        (RuleSettings(label="code", use="premium"), "claude-opus-5-5"),
        (RuleSettings(model="claude-opus-*", use="claude-sonnet-5"), "claude-sonnet-5"),
        (RuleSettings(model="premium", routing="respect"), "claude-opus-5-5"),
        (RuleSettings(team="research", use="premium"), "claude-sonnet-5-5"),
        (RuleSettings(tag="cheap", use="cheap"), "claude-haiku-5-5"),
        (RuleSettings(min_tokens=1000, use="premium"), "claude-sonnet-5-5"),
        (RuleSettings(budget_above=80, use="cheap"), "claude-haiku-5-5"),
        (RuleSettings(hours="13-14", use="cheap"), "claude-haiku-5-5"),
        (RuleSettings(days=[0], use="premium"), "claude-opus-5-5"),
    ],
)
def test_the_first_rule_that_holds_decides(rule: RuleSettings, model: str) -> None:
    look = view(rules=[rule, RuleSettings(label="chat", use="premium")])
    found = plan(request(CODE), look, tag="cheap", budget_percent=90.0)
    assert found.candidates[0].model == model


@pytest.mark.parametrize("background", ["title", "summary", "topic", "something-new"])
def test_background_calls_go_to_a_cheap_model(background: str) -> None:
    found = plan(request("please write a 5-word title", "claude-opus-4-8", background=background))
    assert found.candidates[0].model == "claude-haiku-5-5"
    assert "background call" in found.reason


@pytest.mark.parametrize("mode", ["auto", "within-family"])
def test_the_saving_is_what_the_asked_model_would_have_cost_more(mode: Routing) -> None:
    found = plan(request(CODE, "claude-opus-5-5"), routing=mode)
    assert found.baseline == "claude-opus-5-5"
    assert found.saved == found.candidates[0].expected  # Sonnet costs half


def test_moving_above_the_asked_model_shows_a_negative_saving() -> None:
    text = "analyze the long-term consequences in depth and weigh the alternatives"
    assert plan(request(text, "claude-sonnet-5-5")).saved < 0


def test_the_scorers_word_moves_what_the_label_says() -> None:
    task = route(request("tell a story about a lighthouse keeper and the sea", "modelmuxer-auto"))
    easy = decide(task, view(), now=NOW, needed=0.0).plan.candidates[0]
    hard = decide(task, view(), now=NOW, needed=1.0).plan.candidates[0]
    assert (easy.model, hard.model) == ("claude-haiku-5-5", "claude-sonnet-5-5")


@given(
    model=st.sampled_from(["claude-opus-5-5", "claude-haiku", "gpt-4", "modelmuxer-auto", "nope"]),
    text=st.text(max_size=300),
    mode=st.sampled_from(["auto", "within-family", "respect"]),
    numbers=st.fixed_dictionaries(
        {
            "input_tokens": st.integers(2, 3_000_000),
            "max_tokens": st.integers(0, 200_000),
            "tools": st.integers(0, 40),
            "images": st.integers(0, 3),
            "thinking": st.sampled_from(["off", "budget", "adaptive"]),
            "tool_choice": st.sampled_from(["", "auto", "tool"]),
            "prefill": st.booleans(),
            "opaque": st.booleans(),
            "last_is_tool_result": st.booleans(),
            "speed": st.sampled_from(["", "fast"]),
        }
    ),
)
def test_any_request_gets_a_sound_plan_or_a_plain_refusal(
    model: str, text: str, mode: Routing, numbers: dict[str, object]
) -> None:
    features = request(text, model, **numbers)
    try:
        found = plan(features, view(ANTHROPIC + OTHERS), routing=mode)
    except (InvalidRequest, NotFound):
        return
    names = [(c.deployment, c.model) for c in found.candidates]
    assert 0 < len(names) == len(set(names)) <= 6
    for candidate in found.candidates:
        assert candidate.estimate + 1 >= candidate.expected >= 0
        assert candidate.max_tokens <= candidate.max_output
        worst = candidate.input_cost + -(-candidate.max_tokens * candidate.output_price // 10**6)
        assert candidate.estimate == worst
    assert found.reason and 0 < found.confidence <= 1


def test_models_that_only_a_deployment_lists_are_served_by_name_and_by_auto() -> None:
    own = Deployment(id="own", provider="own", dialect="openai", models=("llama-9", "gpt-4o"))
    look = view((own,), unpriced="allow")
    for asked in ("llama-9", "modelmuxer-auto"):
        found = plan(request(CODE, asked), look)
        assert found.candidates[0].deployment == "own"
    assert plan(request(CODE, "llama-9"), look).candidates[0].model == "llama-9"
