"""The models the stand-in serves, and what each of them takes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Facts:
    """`thinking`: the types the model takes. `system_role`: whether messages may hold it."""

    context: int
    output: int
    thinking: frozenset[str]
    system_role: bool
    effort: bool


_OLD = Facts(200_000, 8_192, frozenset(), False, False)
_BUDGET = Facts(200_000, 64_000, frozenset({"enabled"}), False, False)
_BOTH = Facts(1_000_000, 128_000, frozenset({"enabled", "adaptive"}), False, True)
_ADAPTIVE = Facts(1_000_000, 128_000, frozenset({"adaptive"}), True, True)

FACTS = {
    "claude-3-5-haiku-latest": _OLD,
    "claude-3-5-haiku-20241022": _OLD,
    "claude-3-5-sonnet-20241022": _OLD,
    "claude-3-5-sonnet-latest": _OLD,
    "claude-haiku-4-5": _BUDGET,
    "claude-haiku-4-5-20251001": _BUDGET,
    "claude-haiku-5-5": _ADAPTIVE,
    "claude-sonnet-4-5": _BUDGET,
    "claude-sonnet-4-6": _BOTH,
    "claude-sonnet-5": _ADAPTIVE,
    "claude-sonnet-5-5": _ADAPTIVE,
    "claude-opus-4-5": _BUDGET,
    "claude-opus-4-8": _ADAPTIVE,
    "claude-opus-5": _ADAPTIVE,
    "claude-opus-5-5": _ADAPTIVE,
    "claude-fable-5": _ADAPTIVE,
    "claude-fable-5-2": _ADAPTIVE,
}


def described(name: str) -> dict[str, Any]:
    facts = FACTS[name]
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": facts.context,
        "max_tokens": facts.output,
    }


def page(query: dict[str, str]) -> dict[str, Any]:
    """One page of the list, in Anthropic's shape."""
    names = list(FACTS)
    if after := query.get("after_id"):
        names = names[names.index(after) + 1 :] if after in names else []
    limit = int(query.get("limit", "20"))
    data = [described(name) for name in names[:limit]]
    return {
        "data": data,
        "has_more": len(names) > limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
