import msgspec
import pytest

from libs.common.catalogue import TIERS, Catalogue
from libs.common.catalogue_data import ALIASES, AUTO, POOL
from libs.common.settings import Settings
from libs.common.settings.providers import ModelSettings, ProviderSettings
from libs.common.settings.routing import RoutingSettings


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.load(Settings())


@pytest.mark.parametrize(
    ("asked", "model", "provider"),
    [
        ("claude-3-5-sonnet-20241022", "claude-sonnet-5-5", "anthropic"),
        ("claude-3-5-sonnet-latest", "claude-sonnet-5-5", "anthropic"),
        ("claude-haiku", "claude-haiku-5-5", "anthropic"),
        ("gpt-4", "gpt-6.1-sol", "openai"),
        ("gpt-3.5-turbo", "gpt-6-luna", "openai"),
        ("gpt-4o", "gpt-4o", "openai"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "openai"),
        ("gemini", "gemini-3.8-flash", "gemini"),
        ("opus", "claude-opus-5-5", "anthropic"),
        ("fable", "claude-fable-5-2", "anthropic"),
        ("claude-opus-4-8", "claude-opus-4-8", "anthropic"),
        ("claude-opus-4-8[1m]", "claude-opus-4-8", "anthropic"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001", "anthropic"),
        ("claude-opus-4-20250514", "claude-opus-5-5", "anthropic"),
        ("anthropic/claude-sonnet-5", "claude-sonnet-5", "anthropic"),
        ("google/gemini-4-argon", "gemini-4-argon", "gemini"),
        ("anthropic/gpt-6-luna", "gpt-6-luna", "openai"),
    ],
)
def test_an_asked_name_leads_to_a_living_model(
    catalogue: Catalogue, asked: str, model: str, provider: str
) -> None:
    found = catalogue.resolve(asked)
    assert found is not None
    assert (found.model, found.provider, found.known) == (model, provider, True)


@pytest.mark.parametrize("name", AUTO)
def test_auto_names_leave_the_choice_to_the_router(catalogue: Catalogue, name: str) -> None:
    found = catalogue.resolve(name)
    assert found is not None and found.auto


def test_a_claude_released_yesterday_goes_to_anthropic(catalogue: Catalogue) -> None:
    found = catalogue.resolve("claude-opus-9")
    assert found is not None
    assert (found.model, found.provider, found.known) == ("claude-opus-9", "anthropic", False)


def test_a_wrong_name_is_unknown_and_its_neighbours_are_named(catalogue: Catalogue) -> None:
    assert catalogue.resolve("gpt-4oo") is None
    assert "gpt-4o" in catalogue.near("gpt-4oo")
    assert catalogue.hint("gpt-4oo").startswith("did you mean gpt-4o")


@pytest.mark.parametrize("name", ["nope", "nope-9", "llama-3", "turbo", "x", ""])
def test_a_name_like_none_leads_to_the_list(catalogue: Catalogue, name: str) -> None:
    assert catalogue.near(name) == []
    assert catalogue.hint(name) == "GET /v1/models lists those that are"


@pytest.mark.parametrize("name", ["mistral", "gemini-flash", "claud-opus", "sonet", "gpt5"])
def test_a_beginning_or_a_slip_of_a_name_leads_to_it(catalogue: Catalogue, name: str) -> None:
    assert name[:3] in catalogue.near(name)[0]


def test_every_alias_and_pool_name_has_facts(catalogue: Catalogue) -> None:
    assert all(catalogue.facts(target) for target in ALIASES.values())
    for pool in POOL.values():
        for tier in TIERS:
            facts = catalogue.facts(pool[tier])
            assert facts is not None and facts.tier == tier


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "system_role", "max_output"),
    [
        ("claude-opus-4-8", "adaptive", True, True, 128_000),
        ("claude-sonnet-5", "adaptive", True, True, 128_000),
        ("claude-haiku-4-5-20251001", "budget", False, False, 64_000),
        ("claude-haiku-5-5", "adaptive", True, True, 128_000),
    ],
)
def test_siblings_differ_in_what_they_take(
    catalogue: Catalogue,
    model: str,
    thinking: str,
    effort: bool,
    system_role: bool,
    max_output: int,
) -> None:
    facts = catalogue.facts(model)
    assert facts is not None
    assert facts.thinking == thinking
    assert (facts.effort, facts.system_role) == (effort, system_role)
    assert facts.max_output == max_output


def test_settings_add_models_aliases_and_pools() -> None:
    settings = Settings(
        models={"llama-9": ModelSettings(provider="groq", context=9000, images=True)},
        providers={"groq": ProviderSettings(api_key="k")},
        routing=RoutingSettings(aliases={"mine": "llama-9"}, pool={"groq": {"cheap": "llama-9"}}),
    )
    catalogue = Catalogue.load(settings)
    found, facts = catalogue.resolve("mine"), catalogue.facts("llama-9")
    assert found is not None and (found.model, found.provider) == ("llama-9", "groq")
    assert facts is not None and facts.images and facts.context == 9000
    assert catalogue.pool("groq") == {"cheap": "llama-9"}
    unlisted = catalogue.resolve("groq/other")
    assert unlisted is not None and not unlisted.known


def test_a_wrong_tier_in_the_settings_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="tier"):
        Catalogue.load(Settings(models={"gpt-4o": ModelSettings(tier="golden")}))
