"""Whether the services that a request needs have been there yet.

A gateway that starts before them takes no traffic until they have answered once. From then on
their absence is the policy of each step (`router_down`, `pii_down`), and no matter of readiness:
gateways that left the balancer for it would take even that answer away from clients.
"""

import asyncio
import time

from libs.common.bus import LOST, Bus
from libs.common.contracts.pii import SCAN
from libs.common.contracts.routing import ROUTE
from libs.common.contracts.spending import RESERVE

NEEDED = {"router": ROUTE.subject, "pii": SCAN.subject, "ledger": RESERVE.subject}
ASK_SECONDS = 0.5
# Who is not there by then may be meant to be away.
PATIENCE_SECONDS = 30.0


class Peers:
    """Asks only when it is asked itself, and never again for what has answered."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._missing = set(NEEDED)
        self._until = time.monotonic() + PATIENCE_SECONDS

    async def missing(self) -> list[str]:
        """Those that have never answered; nobody, once patience is over."""
        if time.monotonic() > self._until:
            self._missing.clear()
        if self._missing:
            await asyncio.gather(*(self._ask(name) for name in sorted(self._missing)))
        return sorted(self._missing)

    async def _ask(self, name: str) -> None:
        """Whoever serves a subject refuses an empty request at once, which is answer enough."""
        try:
            await self._bus.replies.request(NEEDED[name], b"", ASK_SECONDS)
        except LOST:
            return
        self._missing.discard(name)
