"""Where each session is pinned, and which model made which thinking signature."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from libs.common.contracts.routing import Candidate, Features, Route, SignatureSeen
from libs.common.contracts.usage import Usage
from services.router.cost import likely_tokens
from services.router.decide import Choice
from services.router.mirror import Mirror
from services.router.view import Pin

SESSIONS, SIGNATURES = "modelmuxer_sessions", "modelmuxer_signatures"
# Anthropic keeps a prompt cache for five minutes after its last use, or an hour if asked to.
SHORT_TTL, LONG_TTL = 300.0, 3600.0
IN_HAND = 20_000


class Origin(Struct, frozen=True, kw_only=True):
    """The model that made a signature."""

    model: str
    at: float = 0.0


def session_key(route: Route) -> str:
    """The bucket's key, or "" without a session. A client may send another's session id, so
    the key holds who asks; a subagent has a context, and so a session, of its own."""
    principal = route.principal
    if not route.session or route.features.background:
        return ""
    parts = (principal.org, principal.key_id, principal.user, route.session, principal.agent)
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def errors_in_a_row(features: Features, pin: Pin | None) -> int:
    """Tool failures in a row, this turn's included; a user's turn starts anew."""
    before = pin.errors if pin else 0
    if features.last_tool_error:
        return before + 1
    return 0 if features.last_is_tool_result else min(before, pin.refusals if pin else 0)


class Sessions:
    """Reads and writes pins. What was really served comes with the usage events."""

    def __init__(self, pins: Mirror[Pin], origins: Mirror[Origin]) -> None:
        self._pins, self._origins = pins, origins
        self._in_hand: OrderedDict[str, str] = OrderedDict()

    def pin(self, route: Route, now: float, ttl: float) -> Pin | None:
        """The session's pin, with this turn's failures counted in."""
        key = session_key(route)
        pin = self._pins.get(key) if key else None
        if pin is None or now - pin.at > ttl:
            return None
        return replace(pin, errors=errors_in_a_row(route.features, pin))

    def origins(self, signatures: Iterable[str]) -> dict[str, str]:
        found = ((signature, self._origins.get(signature)) for signature in signatures)
        return {signature: origin.model for signature, origin in found if origin}

    async def settle(self, route: Route, choice: Choice, now: float) -> None:
        """Pin the session to the first candidate."""
        key = session_key(route)
        if not key:
            return
        self._in_hand[choice.plan.decision_id] = key
        if len(self._in_hand) > IN_HAND:
            self._in_hand.popitem(last=False)
        await self._pins.put(key, next_pin(route, choice, now))

    async def served(self, usage: Usage) -> None:
        """Correct the pin by what answered, and by what its cache now holds."""
        key = self._in_hand.get(usage.decision_id, "")
        pin = self._pins.get(key) if key else None
        if pin is None or usage.outcome != "ok":
            return
        tokens = usage.tokens
        cached = tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
        refused = usage.stop_reason == "refusal"
        await self._pins.put(
            key,
            replace(
                pin,
                deployment=usage.deployment,
                model=usage.model,
                at=max(usage.at, pin.at),
                tokens=cached + tokens.input + tokens.output if cached else 0,
                ttl=LONG_TTL if tokens.cache_write_1h else SHORT_TTL,
                errors=pin.errors + refused,
                refusals=pin.refusals + refused,
            ),
        )

    async def seen(self, signature: SignatureSeen, now: float) -> None:
        await self._origins.put(signature.signature, Origin(model=signature.model, at=now))


def next_pin(route: Route, choice: Choice, now: float) -> Pin:
    """Where the session is after a decision."""
    first: Candidate = choice.plan.candidates[0]
    old, features = choice.pin or Pin(deployment="", model="", asked="", at=now), route.features
    same = old.model == first.model
    up = choice.plan.moved and not same and choice.plan.saved <= 0
    return replace(
        old,
        deployment=first.deployment,
        model=first.model,
        asked=features.model,
        at=now,
        tokens=likely_tokens(features) if features.cache_marks else 0,
        ttl=old.ttl if same else SHORT_TTL,
        label=choice.label.name,
        errors=old.errors if same else 0,
        refusals=old.refusals if same else 0,
        turns=old.turns + 1,
        tasks=old.tasks + (not features.last_is_tool_result),
        ups=old.ups + up,
        credit=old.credit + choice.plan.saved,
    )
