"""Which providers are live: credentials resolved here, and only here; names announced.

A provider is live with a credential (or without one where its preset needs none). None live at
the start: the simulator. A credential equal to one of our own keys is the guide's
`ANTHROPIC_API_KEY` pointing at us, not a provider key: it is ignored with a notice.
Files and `.env` are read again every few seconds, so that keys rotate without a restart.
"""

import asyncio
import contextlib
import difflib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.base import Nothing
from libs.common.contracts.routing import ANNOUNCED, DEPLOYMENTS, Announcement, Deployment
from libs.common.errors import InvalidRequest
from libs.common.settings.gateway import GatewaySettings
from libs.common.settings.load import Loaded, resolve
from libs.common.settings.providers import ProviderSettings
from services.gateway.auth import Keys, is_loopback
from services.gateway.environment import Environment
from services.gateway.providers import DIALECTS, PRESETS
from services.gateway.providers.presets import address

log = logging.getLogger(__name__)
SIMULATOR = "simulator"
ANNOUNCE_SECONDS = 5.0
What = Literal["setting", "loop", "no_key", "own_key"]


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
        self._environment = Environment(loaded.environment)
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
        """Resolve the credentials again; whether anything changed. Who had a real provider
        never gets the simulator instead: a key that went missing is an error, not a demo."""
        environment, providers = self._environment.read(), self._loaded.settings.providers
        finder = Finder(environment, self._loaded.settings.gateway, self._keys.own)
        targets: dict[str, Target] = {}
        for name, entry in {**self._environment.switched_on(), **providers}.items():
            targets |= {target.deployment.id: target for target in finder.targets(name, entry)}
        if not targets and (not self.targets or self.simulated):
            targets[SIMULATOR] = SIMULATED
        changed = targets != self.targets
        self.targets, self.notices = targets, finder.notices
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
                log.info("live deployments: %s", ", ".join(self.targets) or "none")
                for notice in self.notices:
                    log.warning("%s", notice)


class NotLive(Struct, frozen=True):
    """Why a provider, or one of its keys, is not called."""

    provider: str
    what: What
    why: str


class Finder:
    """Settings of a provider to what it takes to call it. What is wrong goes to `faults`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        gateway: GatewaySettings,
        own: Callable[[str], bool],
    ) -> None:
        self._environment, self._gateway, self._own = environment, gateway, own
        self.faults: list[NotLive] = []

    @property
    def notices(self) -> list[str]:
        return [f"providers.{fault.provider}: {fault.why}" for fault in self.faults]

    def targets(self, name: str, entry: ProviderSettings) -> list[Target]:
        """One target for each usable key; its number is the key's place in the settings."""
        preset = PRESETS.get(name)
        dialect = entry.dialect or (preset.dialect if preset else "")
        base_url = (entry.base_url or (preset.base_url if preset else "")).rstrip("/")
        if not entry.enabled:
            return []
        if not dialect or not base_url:
            return self._not_live(name, "setting", _unknown(name))
        if dialect not in DIALECTS:
            return self._not_live(name, "setting", f"dialect: use one of {', '.join(DIALECTS)}")
        options = {**(preset.options if preset else {}), **entry.options}
        try:
            base_url = address(base_url, options)
        except InvalidRequest as error:
            return self._not_live(name, "setting", error.detail)
        if self._is_ourselves(base_url):
            return self._not_live(name, "loop", "base_url leads back to this gateway; ignored")
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
            for number, credential in self._credentials(name, entry)
        ]

    def _not_live(self, name: str, what: What, why: str) -> list[Target]:
        self.faults.append(NotLive(name, what, why))
        return []

    def _credentials(self, name: str, entry: ProviderSettings) -> list[tuple[int, str]]:
        """The usable credentials by place; one empty text for a provider that needs none."""
        locations = [*([entry.api_key] if entry.api_key else []), *entry.api_keys]
        preset = PRESETS.get(name)
        if not locations and preset and preset.key:
            locations = [f"env:{preset.key}"]
        if not locations:
            return [(0, "")]
        found = [(number, self._secret(name, place)) for number, place in enumerate(locations)]
        return [(number, secret) for number, secret in found if secret]

    def _secret(self, name: str, location: str) -> str:
        """The secret at a location, empty with a notice where there is none to use."""
        shown = location if location.startswith(("env:", "file:")) else "its setting"
        try:
            secret = resolve(location, self._environment).strip()
        except (OSError, ValueError) as error:
            self._not_live(name, "no_key", f"cannot read {shown}: {error}")
            return ""
        if not secret:
            self._not_live(name, "no_key", f"no key at {shown}; set it, or take the section out")
        elif not (secret.isascii() and secret.isprintable()):
            words = f"{shown} holds more than a key: no line breaks, only ASCII"
            self._not_live(name, "no_key", words)
            return ""
        elif self._own(secret):
            words = "its credential is a key of this gateway, not of the provider; ignored"
            self._not_live(name, "own_key", words)
            return ""
        return secret

    def _is_ourselves(self, base_url: str) -> bool:
        parts, gateway = urlsplit(base_url), self._gateway
        local = is_loopback(parts.hostname or "") or parts.hostname == gateway.host
        return local and parts.port == gateway.port


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, PRESETS, 1)
    hint = f"did you mean `{near[0]}`? Else " if near else ""
    return f"unknown provider; {hint}set `dialect` and `base_url`"
