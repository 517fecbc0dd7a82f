"""Which providers are live: credentials resolved here, and only here; names announced.

A provider is live with a credential (or without one where its preset needs none). None live:
the simulator. A credential equal to one of our own keys is the guide's `ANTHROPIC_API_KEY`
pointing at us, not a provider key: it is ignored with a notice.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.base import Nothing
from libs.common.contracts.routing import ANNOUNCED, DEPLOYMENTS, Announcement, Deployment
from libs.common.errors import InvalidRequest
from libs.common.settings.load import Loaded, resolve
from libs.common.settings.providers import ProviderSettings
from services.gateway.auth import Keys, is_loopback
from services.gateway.providers import PRESETS
from services.gateway.providers.presets import address

log = logging.getLogger(__name__)
SIMULATOR = "simulator"
ANNOUNCE_SECONDS = 5.0


class Target(Struct, frozen=True, kw_only=True):
    """A deployment with what it takes to call it. Never logged, never sent anywhere."""

    deployment: Deployment
    base_url: str
    credential: str = ""
    options: dict[str, str] = {}
    headers: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Target({self.deployment.id})"


SIMULATED = Target(
    deployment=Deployment(id=SIMULATOR, provider=SIMULATOR, dialect="anthropic", simulated=True),
    base_url="http://simulator.invalid",
)


class Deployments:
    """The live targets by id. `notices` are sentences for the banner and `/health`."""

    def __init__(self, bus: Bus, loaded: Loaded, keys: Keys) -> None:
        self._bus, self._loaded, self._keys = bus, loaded, keys
        self.name = f"gateway-{uuid.uuid4().hex[:12]}"
        self.notices: list[str] = []
        self.targets: dict[str, Target] = {}
        self.refresh()

    @property
    def simulated(self) -> bool:
        return SIMULATOR in self.targets

    def providers(self) -> list[str]:
        return sorted({t.deployment.provider for t in self.targets.values()})

    def refresh(self) -> bool:
        """Resolve the credentials again; whether anything changed."""
        notices: list[str] = []
        targets: dict[str, Target] = {}
        for name, entry in self._loaded.settings.providers.items():
            for target in self._targets(name, entry, notices):
                targets[target.deployment.id] = target
        if not targets:
            targets[SIMULATOR] = SIMULATED
        changed = targets != self.targets
        self.targets, self.notices = targets, notices
        return changed

    def announcement(self) -> Announcement:
        return Announcement(
            gateway=self.name,
            deployments=tuple(t.deployment for t in self.targets.values()),
            at=time.time(),
        )

    @contextlib.asynccontextmanager
    async def announced(self) -> AsyncIterator[None]:
        """Say what is live: at the start, when asked, at every change, every few seconds."""
        await self._bus.serve(DEPLOYMENTS, self._answer, "gateway")
        task = asyncio.create_task(self._announce(), name="announce")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _answer(self, _: Nothing) -> Announcement:
        return self.announcement()

    async def _announce(self) -> None:
        while True:
            await self._bus.tell(ANNOUNCED, self.announcement())
            await asyncio.sleep(ANNOUNCE_SECONDS)
            if self.refresh():
                log.info("live deployments: %s", ", ".join(self.targets))

    def _targets(self, name: str, entry: ProviderSettings, notices: list[str]) -> list[Target]:
        preset = PRESETS.get(name)
        dialect = entry.dialect or (preset.dialect if preset else "")
        base_url = (entry.base_url or (preset.base_url if preset else "")).rstrip("/")
        if not entry.enabled:
            return []
        if not dialect or not base_url:
            notices.append(f"providers.{name}: unknown provider: set `dialect` and `base_url`")
            return []
        options = {**(preset.options if preset else {}), **entry.options}
        try:
            base_url = address(base_url, options)
        except InvalidRequest as error:
            notices.append(f"providers.{name}: {error.detail}")
            return []
        if self._is_ourselves(base_url):
            notices.append(f"providers.{name}: base_url leads back to this gateway; ignored")
            return []
        credentials = self._credentials(name, entry, notices)
        return [
            Target(
                deployment=Deployment(
                    id=name if number == 0 else f"{name}-{number + 1}",
                    provider=name,
                    dialect=dialect,
                    catalogue=entry.catalogue or (preset.catalogue if preset else name),
                    models=tuple(entry.models),
                    weight=entry.weight,
                ),
                base_url=base_url,
                credential=credential,
                options=options,
                headers=entry.headers,
            )
            for number, credential in enumerate(credentials)
        ]

    def _credentials(self, name: str, entry: ProviderSettings, notices: list[str]) -> list[str]:
        """The usable credentials; one empty text for a provider that needs none."""
        environment = self._loaded.environment
        locations = [*([entry.api_key] if entry.api_key else []), *entry.api_keys]
        preset = PRESETS.get(name)
        if not locations and preset and preset.key:
            locations = [f"env:{preset.key}"]
        found = [secret for place in locations if (secret := resolve(place, environment))]
        ours = [secret for secret in found if self._keys.own(secret)]
        if ours:
            notices.append(
                f"providers.{name}: its credential is a key of this gateway, not of the "
                "provider; ignored"
            )
        if not locations and (preset is None or not preset.key):
            return [""]
        return [secret for secret in found if secret not in ours]

    def _is_ourselves(self, base_url: str) -> bool:
        parts, gateway = urlsplit(base_url), self._loaded.settings.gateway
        local = is_loopback(parts.hostname or "") or parts.hostname == gateway.host
        return local and parts.port == gateway.port
