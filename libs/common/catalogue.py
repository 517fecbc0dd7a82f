"""Which models there are, what each can do, and what an asked name means. No prices here."""

import difflib
import re
from typing import Literal

import msgspec
from msgspec import Struct

from libs.common.catalogue_data import ALIASES, AUTO, MODELS, POOL, PREFIXES
from libs.common.settings import Settings
from libs.common.settings.providers import ModelSettings

Tier = Literal["cheap", "standard", "premium"]
ThinkingKind = Literal["none", "budget", "adaptive", "both"]
TIERS: tuple[Tier, ...] = ("cheap", "standard", "premium")

# `-20251001`, `-2026-04-23` and `@20251001` date a release; `[1m]` asks for the long context.
DATED = re.compile(r"(?:[-@]20\d{6}|-20\d\d-\d\d-\d\d)$")
LONG = re.compile(r"\[1m\]$", re.IGNORECASE)
NEAR = 5
# How alike two names are that one may stand for the other: one letter in four differs.
ALIKE = 0.75
LONGEST_NAME = 80


class ModelFacts(Struct, frozen=True, kw_only=True):
    """What a model takes. `context` and `max_output` in tokens; `created` is a date.

    `thinking_off` says whether thinking may be switched off, `forced_tools` whether a tool
    choice may be forced, `sampling` whether temperature and its kin are taken, `prefill`
    whether the last message may be the assistant's.
    """

    name: str
    provider: str
    tier: Tier
    context: int
    max_output: int
    tools: bool = True
    images: bool = False
    documents: bool = False
    thinking: ThinkingKind = "none"
    effort: bool = False
    structured: bool = False
    server_tools: bool = False
    system_role: bool = False
    thinking_off: bool = True
    forced_tools: bool = True
    sampling: bool = True
    prefill: bool = True
    display: str = ""
    created: str = ""


class Resolved(Struct, frozen=True, kw_only=True):
    """`known` is false for a name the catalogue has no facts of; `auto` for a name that leaves
    the choice to the router (its model is empty)."""

    model: str
    provider: str
    known: bool = True
    auto: bool = False


class Catalogue:
    """The shipped models with the settings' own on top. Read-only."""

    def __init__(
        self,
        facts: dict[str, ModelFacts],
        aliases: dict[str, str],
        pools: dict[str, dict[Tier, str]],
        providers: frozenset[str],
    ) -> None:
        self._facts, self._aliases, self._pools = facts, aliases, pools
        self._providers = providers

    @classmethod
    def load(cls, settings: Settings) -> "Catalogue":
        facts = {
            each.name: each
            for provider, table in MODELS.items()
            for each in (_facts(provider, line.split()) for line in table.strip().splitlines())
        }
        for name, own in settings.models.items():
            facts[name] = _overridden(name, facts.get(name), own)
        routing = settings.routing
        shipped = POOL | {name: POOL.get(name, {}) | pool for name, pool in routing.pool.items()}
        pools: dict[str, dict[Tier, str]] = {
            provider: {tier: pool[tier] for tier in TIERS if pool.get(tier)}
            for provider, pool in shipped.items()
        }
        return cls(facts, {**ALIASES, **routing.aliases}, pools, frozenset(settings.providers))

    def resolve(self, asked: str) -> Resolved | None:
        """What an asked name means, or None if nothing answers to it."""
        name = LONG.sub("", asked.strip())
        provider, name = self._prefix(name)
        if name in AUTO:
            return Resolved(model="", provider="", auto=True)
        target = self._target(name)
        facts = self.facts(target)
        if facts:
            own = provider in self._providers and provider not in PREFIXES
            return Resolved(model=target, provider=provider if own else facts.provider)
        if provider in self._providers and name:
            return Resolved(model=name, provider=provider, known=False)
        if name.startswith("claude-") and provider in ("", "anthropic"):
            return Resolved(model=name, provider="anthropic", known=False)
        return None

    def facts(self, model: str) -> ModelFacts | None:
        """The facts of a model's exact name, a dated release of it included."""
        return self._facts.get(model) or self._facts.get(DATED.sub("", model))

    def pool(self, provider: str) -> dict[Tier, str]:
        """The model of each tier; empty for a provider that has no pool."""
        return self._pools.get(provider, {})

    def providers(self) -> list[str]:
        """The providers that have a pool."""
        return list(self._pools)

    def near(self, asked: str) -> list[str]:
        """Names the asker may have meant, best first; none where nothing is like it."""
        _, name = self._prefix(asked[:LONGEST_NAME].strip().lower())
        names = [*self._facts, *self._aliases, AUTO[0]]
        found = difflib.get_close_matches(name, names, n=NEAR, cutoff=ALIKE)
        begun = [each for each in self._facts if len(name) > 2 and each.startswith(name)]
        return list(dict.fromkeys([*found, *begun]))[:NEAR]

    def hint(self, asked: str) -> str:
        """What to do about a name that nothing answers to."""
        if near := self.near(asked)[:3]:
            return f"did you mean {', '.join(near)}? GET /v1/models lists them all"
        return "GET /v1/models lists those that are"

    def models(self, providers: list[str] | None = None) -> list[ModelFacts]:
        """Every known model of the given providers (all of them if None), newest first."""
        chosen = [f for f in self._facts.values() if providers is None or f.provider in providers]
        return sorted(chosen, key=lambda facts: facts.created, reverse=True)

    def _prefix(self, name: str) -> tuple[str, str]:
        """`("openai", "gpt-4o")` of `openai/gpt-4o`; an unknown prefix stays part of the name."""
        before, slash, after = name.partition("/")
        if not slash or name in self._facts:
            return "", name
        if before in self._providers:
            return before, after
        if before in PREFIXES:
            return PREFIXES[before], after
        return "", name

    def _target(self, name: str) -> str:
        """Follow the aliases; a dated name follows those of its undated one."""
        for _ in range(3):
            if name in self._facts and name not in self._aliases:
                return name
            bare = name if name in self._aliases else DATED.sub("", name)
            if bare not in self._aliases:
                return name
            name = self._aliases[bare]
        return name


def _facts(provider: str, row: list[str]) -> ModelFacts:
    name, display, tier, context, max_output, thinking, flags, created = row
    return msgspec.convert(
        {
            "name": name,
            "provider": provider,
            "tier": tier,
            "thinking": thinking,
            "context": _tokens(context),
            "max_output": _tokens(max_output),
            "images": "i" in flags,
            "documents": "d" in flags,
            "effort": "e" in flags,
            "structured": "s" in flags,
            "server_tools": "w" in flags,
            "system_role": "r" in flags,
            "thinking_off": "x" not in flags,
            "forced_tools": "f" not in flags,
            "sampling": "n" not in flags,
            "prefill": "p" not in flags,
            "display": display.replace("_", " "),
            "created": created,
        },
        ModelFacts,
    )


def _tokens(size: str) -> int:
    return int(size[:-1]) * (1_000_000 if size[-1] == "M" else 1_000)


def _overridden(name: str, facts: ModelFacts | None, own: ModelSettings) -> ModelFacts:
    """A model of `[models.NAME]`: the shipped facts, if any, with what the section sets."""
    facts = facts or ModelFacts(
        name=name,
        provider=own.provider or "openai",
        tier="standard",
        context=128_000,
        max_output=16_384,
        display=name,
    )
    changed: dict[str, object] = {}
    for field in ("provider", "tier", "context", "max_output"):
        if value := getattr(own, field):
            changed[field] = value
    for field in ("tools", "images", "documents", "structured"):
        if (flag := getattr(own, field)) is not None:
            changed[field] = flag
    if own.thinking is not None:
        changed["thinking"] = facts.thinking if facts.thinking != "none" else "budget"
        if not own.thinking:
            changed["thinking"] = "none"
    return msgspec.convert(msgspec.structs.asdict(facts) | changed, ModelFacts)
