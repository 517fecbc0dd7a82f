"""Routing a session never costs more than leaving it on the premium model."""

import pytest
from msgspec.structs import replace

from libs.common.catalogue import Catalogue
from libs.common.settings import Settings
from libs.common.settings.routing import RoutingSettings
from services.router.health import Health
from services.router.view import View
from tests.router.simulation import saving
from tests.router.world import ANTHROPIC, OTHERS, rules

# Every way down within and across the providers, old and new prices.
PAIRS = [
    ("claude-opus-5-5", "claude-sonnet-5-5"),
    ("claude-opus-5-5", "claude-haiku-5-5"),
    ("claude-sonnet-5-5", "claude-haiku-5-5"),
    ("claude-opus-4-8", "claude-sonnet-5"),
    ("claude-opus-4-8", "claude-sonnet-4-6"),
    ("claude-opus-4-8", "claude-haiku-4-5"),
    ("claude-sonnet-4-6", "claude-haiku-4-5"),
    ("claude-opus-5-5", "gpt-6.1-terra"),
    ("claude-opus-5-5", "gemini-3.8-flash"),
    ("claude-opus-5-5", "mistral-medium-3-5"),
    ("claude-sonnet-5-5", "gpt-6-luna"),
    ("gpt-6.1-sol", "gpt-6.1-terra"),
    ("gpt-6.1-sol", "gpt-6-luna"),
    ("gpt-6-astra", "claude-sonnet-5-5"),
    ("gemini-4-argon", "gemini-3.8-flash"),
    ("gemini-4-argon", "gemini-3.1-flash-lite"),
    ("mistral-large-4", "mistral-small-2603"),
    ("claude-fable-5-2", "claude-opus-5-5"),
    # Cheaper to write, no cheaper or even dearer to read.
    ("claude-opus-5-5", "claude-sonnet-4-6"),
    ("claude-opus-5-5", "claude-sonnet-5"),
    ("gpt-6.1-sol", "mistral-medium-3-5"),
    ("gemini-4-argon", "mistral-medium-3-5"),
    ("claude-sonnet-5-5", "claude-haiku-4-5"),
    ("gemini-4-argon", "claude-haiku-4-5"),
]


def paired(cheap: str) -> View:
    """A view whose pool holds the cheap model."""
    known = rules().catalogue.facts(cheap)
    assert known is not None
    pool = {known.provider: {known.tier: cheap}}
    settings = Settings(routing=RoutingSettings(pool=pool))
    found = replace(rules(), catalogue=Catalogue.load(settings))
    return View(rules=found, deployments=ANTHROPIC + OTHERS, health=Health())


@pytest.mark.parametrize(("premium", "cheap"), PAIRS)
def test_no_pair_of_prices_makes_routing_a_loss(premium: str, cheap: str) -> None:
    look = paired(cheap)
    savings = [
        saving(look, premium, cheap, kind, hard, 0.8, 30)
        for kind in ("code", "question")
        for hard in (0.3, 0.5)
    ]
    assert min(savings) >= 0


@pytest.mark.slow
@pytest.mark.parametrize("sight", [0.65, 0.95])
@pytest.mark.parametrize(("premium", "cheap"), PAIRS)
def test_nor_does_a_router_that_sees_badly(premium: str, cheap: str, sight: float) -> None:
    look = paired(cheap)
    savings = [
        saving(look, premium, cheap, kind, hard, sight, 60)
        for kind in ("code", "question")
        for hard in (0.3, 0.5)
    ]
    assert min(savings) >= 0
