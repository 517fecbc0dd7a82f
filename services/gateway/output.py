"""Mask what the model itself produces (`pii.output`), before the request's own values return.

Off by default, and then nothing is scanned here. A stream's text is scanned piece by piece, as
`masking/guard.py` lets it go; a whole answer at once.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from libs.common.contracts.pii import Finding
from libs.common.errors import PiiBlocked
from libs.common.telemetry import PII_OUTPUT, PII_UNKNOWN
from services.gateway.call import Call
from services.gateway.kit import Kit
from services.gateway.masking import Policy, StreamGuard, StreamRestorer, restore_message
from services.gateway.masking.answer import Answer
from services.gateway.masking.guard import Steps, forbidden
from services.gateway.shield import Asker, ask_pii, placeholders_of, policy_of, scanned

OFF = Policy({}, "allow")


class Asked(Asker, Protocol):
    """`mapping` is the request's; `pii` counts what was found."""

    @property
    def mapping(self) -> dict[str, str]: ...

    pii: dict[str, int]


async def finished(kit: Kit, call: Asked, body: bytes) -> bytes:
    """A whole answer as the client gets it. Raises PiiBlocked, Unavailable (pii away, closed)."""
    policy = _policy(kit, call)
    answer = None if policy.idle else Answer.of(body)
    own: set[str] = set()
    if answer:
        known = await scanned(kit, call, answer.blocks)
        masked = answer.masked(known, policy, placeholders_of(kit, call), call.mapping)
        if masked.blocked:
            _count(call, {masked.blocked[0]: 1}, policy)
            raise forbidden(*masked.blocked)
        _count(call, masked.counts, policy)
        body, own = msgspec.json.encode(masked.message) if masked.counts else body, masked.made
    return restore_message(body, call.mapping, own, PII_UNKNOWN.inc) if call.mapping else body


class Passage:
    """A stream on its way to the client: guarded, then its values restored."""

    def __init__(self, kit: Kit, call: Call) -> None:
        self._kit, self._call, self._policy = kit, call, _policy(kit, call)
        self._guard: StreamGuard | None = None
        self._counted: dict[str, int] = {}
        if not self._policy.idle:
            self._guard = StreamGuard(self._policy, placeholders_of(kit, call), call.mapping)
        own = self._guard.made if self._guard else ()
        self._restorer = StreamRestorer(call.mapping, own) if call.mapping else None

    async def feed(self, piece: bytes) -> bytes:
        """What may go on now. Raises PiiBlocked, Unavailable (pii away, closed)."""
        if self._guard:
            piece = await self._walk(self._guard.feed(piece))
        return self._restorer.feed(piece) if self._restorer else piece

    async def close(self) -> bytes:
        """What was held back when the stream ended."""
        rest = await self._walk(self._guard.close()) if self._guard else b""
        if self._restorer:
            rest = self._restorer.feed(rest) + self._restorer.close()
            PII_UNKNOWN.inc(self._restorer.unknown)
        return rest

    async def _walk(self, steps: Steps) -> bytes:
        """Take the guard's steps, asking pii where it wants to know."""
        try:
            text = next(steps)
            while True:
                text = steps.send(await self._findings(text))
        except StopIteration as done:
            self._note()
            ready: bytes = done.value
            return ready
        except PiiBlocked as refusal:
            _count(self._call, {str(refusal.data["entity"]): 1}, self._policy)
            raise

    async def _findings(self, text: str) -> Sequence[Finding]:
        found = await ask_pii(self._kit, self._call, [text], [True])
        return found.texts[0] if found else ()

    def _note(self) -> None:
        assert self._guard
        counts = self._guard.counts
        if counts != self._counted:
            new = {name: counts[name] - self._counted.get(name, 0) for name in counts}
            _count(self._call, new, self._policy)
            self._counted = counts


def _policy(kit: Kit, call: Asker) -> Policy:
    how = kit.settings.pii.output
    return OFF if how == "off" else policy_of(kit, call).of_answers(how)


def _count(call: Asked, new: Mapping[str, int], policy: Policy) -> None:
    """In the metric, and with what the request held in the usage row."""
    for name, count in new.items():
        PII_OUTPUT.labels(name, policy.action(name)).inc(count)
        call.pii = {**call.pii, name: call.pii.get(name, 0) + count}
