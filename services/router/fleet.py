"""The deployments that gateways say are live."""

import logging
from collections.abc import Sequence

from libs.common.bus import Bus
from libs.common.contracts.base import Nothing
from libs.common.contracts.routing import DEPLOYMENTS, Announcement, Deployment
from libs.common.errors import MuxError

log = logging.getLogger(__name__)
# A gateway that has said nothing for so long is gone (seconds).
SILENT = 30.0
ASK_TIMEOUT = 0.5


class Fleet:
    """What every gateway announced last; together they are what a plan may use."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, Announcement]] = {}
        self._live: tuple[Deployment, ...] = ()

    @property
    def live(self) -> Sequence[Deployment]:
        return self._live

    def hear(self, announcement: Announcement, now: float) -> None:
        self._heard[announcement.gateway] = (now, announcement)
        fresh = {g: (at, a) for g, (at, a) in self._heard.items() if now - at <= SILENT}
        self._heard = fresh
        merged = {d.id: d for _, a in fresh.values() for d in a.deployments}
        live = tuple(merged.values())
        if live != self._live:
            log.info("live deployments: %s", ", ".join(sorted(merged)) or "none")
            self._live = live

    async def ask(self, bus: Bus, now: float) -> None:
        """Ask any gateway, for a router that has heard none yet."""
        try:
            self.hear(await bus.ask(DEPLOYMENTS, Nothing(), timeout=ASK_TIMEOUT), now)
        except MuxError as error:
            log.info("no gateway has announced its deployments yet: %s", error.detail)
