"""The probability that a model is good enough for a request.

A model's skill (per kind of work, 0..1) against the request's difficulty. The skills are
priors set by hand from the providers' published results; outcomes shift them (`learn.py`).
"""

import math
from collections.abc import Mapping

from libs.common.catalogue import ModelFacts
from services.router.label import Label

BAR = 0.70
STEEP = 12.0
TIER_SKILL = {"cheap": 0.42, "standard": 0.69, "premium": 0.95}
# How far the scorer may move a label's prior, either way; and that of a label that is SURE.
SCORER_REACH, SURE_REACH, SURE = 0.16, 0.04, 0.80

# Models that are better or worse than their tier, at a kind of work ("" for all of it).
SKILL: dict[tuple[str, str], float] = {
    ("claude-sonnet-5-5", "code"): 0.80,
    ("claude-sonnet-5-5", "agent"): 0.80,
    ("claude-sonnet-5", "code"): 0.76,
    ("claude-sonnet-5", "agent"): 0.76,
    ("gpt-6.1-terra", "code"): 0.64,
    ("gpt-6.1-terra", "agent"): 0.64,
    ("gemini-3.8-flash", "code"): 0.63,
    ("gemini-3.8-flash", "agent"): 0.61,
    ("mistral-medium-3-5", ""): 0.62,
    ("mistral-large-4", ""): 0.74,
    ("mistral-large-4", "code"): 0.62,
    ("mistral-large-4", "agent"): 0.62,
}


def difficulty(label: Label, needed: float | None, ceiling: float = 1.0) -> float:
    """The label's prior, moved by the scorer's word (0..1 that a premium model is needed)."""
    reach = SURE_REACH if label.confidence >= SURE else SCORER_REACH
    shift = 0.0 if needed is None else reach * (2 * needed - 1)
    return min(ceiling, max(0.0, label.difficulty + shift))


def skill(facts: ModelFacts, kind: str, learned: Mapping[tuple[str, str], float]) -> float:
    """The prior of the model at this kind of work, moved by what traffic taught."""
    prior = SKILL.get((facts.name, kind), SKILL.get((facts.name, ""), TIER_SKILL[facts.tier]))
    return prior + learned.get((facts.name, kind), 0.0)


def good_enough(skill: float, difficulty: float) -> float:
    """0..1; a model whose skill is the difficulty is right half of the time."""
    return 1 / (1 + math.exp(-STEEP * (skill - difficulty)))
