"""A decision in one sentence for people: header, log, dashboard."""

from libs.common.contracts.routing import Features
from libs.common.settings.routing import RuleSettings
from services.router.label import Label
from services.router.view import Option

NEEDS_PREMIUM = 0.7
RISKY = "a move down is likelier to cost than to save"
RISKY_START = "a session that begins on a cheaper model would likely cost more"
IN_TASK = "the task goes on"
HARDER = "moved up, the work got harder"
PAYS = "moved down, the rest of the task is cheaper there"
GONE = "moved, the former model cannot take this turn"

WORDS = {
    "code": "code detected",
    "analysis": "complex analysis required",
    "agent": "agent task",
    "chat": "small talk",
    "general": "general request",
    "title": "background call (title)",
    "topic": "background call (topic)",
    "summary": "background call (summary)",
    "web_search": "background call (web search)",
    "compact": "compaction of a conversation",
    "small": "small background call",
}


def warm(turns: float) -> str:
    """Why a warm session stays; `turns` is L*, after which a move would pay."""
    if turns == float("inf"):
        return "its warm prompt cache reads for less than any other's"
    return f"its prompt cache is warm, a move pays after {turns:.0f} more turns"


def reason(
    label: Label,
    rule: RuleSettings | None,
    mode: str,
    option: Option,
    stay: str,
    features: Features,
) -> str:
    if rule and (rule.use or rule.reason):
        return rule.reason or f"rule: {rule.use}"
    if mode == "respect":
        return "served as asked"
    said = _said(label, features)
    return f"{said}; {stay}" if stay else f"{said}, {_chosen(option, label)}"


def _said(label: Label, features: Features) -> str:
    if label.name == "simple":
        return f"simple query ({features.user_chars or len(features.user_text)} chars)"
    return f"{WORDS.get(label.name, label.name)} (confidence {label.confidence:.2f})"


def _chosen(option: Option, label: Label) -> str:
    if option.facts.tier == "cheap":
        return "cost-optimized selection"
    if option.facts.tier == "premium" and label.difficulty >= NEEDS_PREMIUM:
        return "a premium model is needed"
    return "the cheapest model that is good enough"


def rank_words(good: bool, quality: float) -> str:
    return f"{'good enough' if good else 'perhaps not good enough'} ({quality:.2f})"
