"""Limits and pauses: set, listed, and the buckets of the calls that cost nothing."""

import time
from collections.abc import Callable

from libs.common.bus import Bus
from libs.common.contracts.base import Done
from libs.common.contracts.identity import Limits, Principal
from libs.common.contracts.spending import (
    PAUSED,
    Admit,
    AskAsAdmin,
    LimitEntry,
    LimitList,
    Pause,
    Paused_,
    PauseList,
    SetLimits,
)
from libs.common.errors import Forbidden, InvalidRequest, LimitExceeded
from libs.common.settings.ledger import LedgerSettings
from services.ledger import names
from services.ledger.budgets import check_id
from services.ledger.limits import rfc3339
from services.ledger.register import LimitWord, PauseWord, Register
from services.ledger.store import AWAY, Store, away

MOST = 1_000_000_000


class PolicyDesk:
    """The operations on limits and pauses."""

    def __init__(
        self,
        bus: Bus,
        register: Register,
        store: Store,
        settings: LedgerSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bus, self._register, self._store = bus, register, store
        self._settings, self._now = settings, clock

    async def admit(self, ask: Admit) -> Done:
        """Raises LimitExceeded. A store that is away lets through: nothing is at stake."""
        limit = (
            self._settings.count_tokens if ask.bucket == "count_tokens" else self._settings.models
        )
        if limit <= 0:
            return Done()
        key = names.tenant(ask.principal.org, "free", ask.bucket, ask.principal.key_id)
        try:
            wait = float(await self._store.run("admit", [key], [self._now(), limit]))
        except AWAY:
            return Done()
        if wait:
            raise self._too_many(ask, limit, int(wait))
        return Done()

    def _too_many(self, ask: Admit, limit: int, wait: int) -> LimitExceeded:
        reset = rfc3339(self._now() + wait)
        headers = {
            "retry-after": str(wait),
            "anthropic-ratelimit-requests-limit": str(limit),
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": reset,
        }
        return LimitExceeded(
            f"The limit of {limit} {ask.bucket} calls per minute is reached; retry in {wait} s.",
            {
                "limit": ask.bucket,
                "max": limit,
                "scope": "key",
                "scope_id": ask.principal.key_id,
                "retry_after": wait,
                "reset": reset,
                "headers": headers,
            },
        )

    async def set_limits(self, ask: SetLimits) -> LimitEntry:
        only_admins(ask.principal, "set limits")
        check_id("scope_id", ask.scope_id)
        if (ask.scope == "default") != (not ask.scope_id):
            raise InvalidRequest(f"scope_id: name the {ask.scope}; only `default` has none")
        check_limits(ask.limits)
        entry = LimitEntry(
            scope=ask.scope, scope_id=ask.scope_id, limits=ask.limits, org=ask.principal.org
        )
        await write(self._register, LimitWord(entry=entry))
        return entry

    async def list_limits(self, ask: AskAsAdmin) -> LimitList:
        only_admins(ask.principal, "list limits")
        entries = [word.entry for word in self._register.words(LimitWord)]
        mine = [e for e in entries if e.org == ask.principal.org and e.limits != Limits()]
        return LimitList(limits=tuple(sorted(mine, key=lambda e: (e.scope, e.scope_id))))

    async def pause(self, ask: Pause) -> Done:
        """Stop or resume at once. A member may pause its own runs; the rest needs an admin."""
        check_id("scope_id", ask.scope_id)
        if not ask.scope_id:
            raise InvalidRequest(f"scope_id: name the {ask.scope}")
        if len(ask.reason) > 200 or not ask.reason.isprintable():
            raise InvalidRequest("reason: at most 200 printable characters")
        pause = Paused_(
            org=ask.principal.org,
            scope=ask.scope,
            scope_id=self._scope_id(ask),
            paused=ask.paused,
            reason=ask.reason,
            at=self._now(),
        )
        await write(self._register, PauseWord(pause=pause))
        await self._bus.tell(PAUSED, pause)
        return Done()

    def _scope_id(self, ask: Pause) -> str:
        if ask.scope == "run" and not (ask.principal.admin and "/" in ask.scope_id):
            return names.run_of(ask.principal.key_id, ask.scope_id)
        only_admins(ask.principal, f"pause a {ask.scope}")
        return ask.scope_id

    async def list_pauses(self, ask: AskAsAdmin) -> PauseList:
        only_admins(ask.principal, "list pauses")
        pauses = [word.pause for word in self._register.words(PauseWord)]
        mine = [p for p in pauses if p.org == ask.principal.org and p.paused]
        return PauseList(pauses=tuple(sorted(mine, key=lambda p: (p.scope, p.scope_id))))


async def write(register: Register, word: LimitWord | PauseWord) -> None:
    try:
        await register.write(word)
    except AWAY as error:
        raise away(error) from error


def only_admins(principal: Principal, what: str) -> None:
    if not principal.admin:
        raise Forbidden(f"only an admin key may {what}")


def check_limits(limits: Limits) -> None:
    for name in ("rpm", "tpm", "concurrency"):
        value = getattr(limits, name)
        if not 0 <= value <= MOST:
            raise InvalidRequest(f"{name}: a whole number from 0 (no limit) to {MOST}, not {value}")
