"""Who is calling: a credential to a key record, a request to a principal.

Bootstrap keys come from the settings; managed keys are looked up at the ledger and cached for
a few seconds. Only SHA-256 digests are held and compared.
"""

import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Container, Iterable
from functools import lru_cache

from libs.common.bus import Bus
from libs.common.contracts.identity import (
    KEYS_CHANGED,
    LOOK_UP_KEY,
    Key,
    KeysChanged,
    Limits,
    LookUpKey,
    Principal,
)
from libs.common.errors import MuxError, Unauthenticated
from libs.common.settings import Settings
from libs.common.settings.keys import KeySettings
from libs.common.settings.load import ConfigError, Loaded, resolve
from services.gateway.http import RequestHeaders

# The guide's own example key: known to everyone, so only for a loopback address.
DEVELOPMENT_KEY = "sk-test-claude-dev"
MAX_KEY = 512
MAX_CACHED = 10_000
RUN_ID = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
SESSION_IN_USER = re.compile(r'session(?:_id\\?"\s*:\s*\\?"|_)([A-Za-z0-9-]{8,64})')


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def bootstrap_keys(loaded: Loaded) -> dict[str, Key]:
    """SHA-256 of a secret → its record. Raises ConfigError where keys are missing or unsafe."""
    settings, keys = loaded.settings, {}
    for name, entry in settings.keys.items():
        secret = resolve(entry.key, loaded.environment)
        if not secret:
            raise ConfigError(f"keys.{name}.key: {entry.key!r} holds no key")
        key = keys[digest(secret)] = _record(name, secret, entry)
        if key.routing_fault:
            raise ConfigError(f"keys.{name}.routing_max: {key.routing_fault}")
    for number, secret in enumerate(filter(None, map(str.strip, settings.api_keys.split(",")))):
        keys.setdefault(digest(secret), _plain(f"api-key-{number + 1}", secret))
    return _checked(keys, settings)


def _checked(keys: dict[str, Key], settings: Settings) -> dict[str, Key]:
    local = is_loopback(settings.gateway.host)
    if not local and digest(DEVELOPMENT_KEY) in keys:
        raise ConfigError(
            f"{DEVELOPMENT_KEY} is a publicly known key: with gateway.host = "
            f"{settings.gateway.host!r} set API_KEYS to secrets of your own"
        )
    if not keys and not local:
        raise ConfigError(
            f"gateway.host = {settings.gateway.host!r} needs keys: set API_KEYS or [keys.NAME]"
        )
    return keys or {digest(DEVELOPMENT_KEY): _plain("development", DEVELOPMENT_KEY, admin=True)}


def _record(name: str, secret: str, entry: KeySettings) -> Key:
    return Key(
        id=f"key_{digest(secret)[:16]}",
        name=name,
        org=entry.org,
        team=entry.team,
        user=entry.user,
        admin=entry.admin,
        routing=entry.routing,
        routing_max=entry.routing_max,
        pii=entry.pii,
        cache=entry.cache,
        models=tuple(entry.models),
        limits=Limits(rpm=entry.rpm, tpm=entry.tpm, concurrency=entry.concurrency),
        subscription=entry.subscription,
        prefix=secret[:8],
    )


def _plain(name: str, secret: str, admin: bool = False) -> Key:
    return Key(id=f"key_{digest(secret)[:16]}", name=name, admin=admin, prefix=secret[:8])


class Keys:
    """Resolves credentials. `own` tells whether a text is one of our own keys."""

    def __init__(self, bus: Bus, bootstrap: dict[str, Key], cache_seconds: float) -> None:
        self._bus, self._bootstrap, self._seconds = bus, bootstrap, cache_seconds
        self._cached: dict[str, tuple[float, Key | None]] = {}

    @property
    def development(self) -> bool:
        """The guide's well-known key is accepted."""
        return digest(DEVELOPMENT_KEY) in self._bootstrap

    async def listen(self) -> None:
        await self._bus.listen(KEYS_CHANGED, self._forget)

    def own(self, secret: str) -> bool:
        return is_own(secret, self._bootstrap)

    async def find(self, headers: RequestHeaders) -> Key:
        """The key of a request. Raises Unauthenticated; Unavailable while nobody can say."""
        secrets = [s for s in credentials(headers) if len(s) <= MAX_KEY]
        for secret in secrets:
            if key := self._bootstrap_key(digest(secret)):
                return key
        for secret in secrets:
            if key := await self._managed(digest(secret)):
                return key
        raise Unauthenticated(_what_to_do(bool(secrets)))

    async def of_secret(self, secret: str) -> Key:
        """The key of one credential. Raises Unauthenticated."""
        return await self.of_digest(digest(secret[:MAX_KEY]))

    async def of_digest(self, sha: str) -> Key:
        """The key with that SHA-256. Raises Unauthenticated."""
        if key := self._bootstrap_key(sha) or await self._managed(sha):
            return key
        raise Unauthenticated(_what_to_do(True))

    def _bootstrap_key(self, sha: str) -> Key | None:
        """Constant time over the digests: what is compared reveals nothing of a key."""
        found = None
        for known, key in self._bootstrap.items():
            if hmac.compare_digest(known, sha):
                found = key
        return found

    async def _managed(self, sha: str) -> Key | None:
        until, key = self._cached.get(sha, (0.0, None))
        if until < time.monotonic():
            key = (await self._bus.ask(LOOK_UP_KEY, LookUpKey(sha256=sha))).key
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[sha] = (time.monotonic() + self._seconds, key)
        if key and key.expires_at and key.expires_at < time.time():
            raise Unauthenticated(f"the key {key.name or key.id} has expired; ask for a new one")
        return key

    async def _forget(self, change: KeysChanged) -> None:
        if not change.ids:
            self._cached.clear()
        for sha, (_, key) in list(self._cached.items()):
            if key is None or key.id in change.ids:
                del self._cached[sha]


def is_own(secret: str, bootstrap: Container[str]) -> bool:
    """Is it a key of this gateway, by the digests of those of its settings?"""
    return digest(secret) in bootstrap or secret == DEVELOPMENT_KEY


def credentials(headers: RequestHeaders) -> Iterable[str]:
    """What the client sent as `x-api-key`, `x-goog-api-key` or `Authorization: Bearer`."""
    if key := headers.get(b"x-api-key"):
        yield key
    for value in headers.all(b"authorization"):
        kind, _, token = value.partition(" ")
        if kind.lower() == "bearer" and token.strip():
            yield token.strip()


def _what_to_do(sent: bool) -> str:
    said = "this key is not known here" if sent else "no API key was sent"
    return (
        f"{said}: send `x-api-key` or `Authorization: Bearer` with a key from API_KEYS, "
        "[keys.NAME] or `modelmuxer keys create`"
    )


def principal_of(key: Key, headers: RequestHeaders, user_id: str) -> Principal:
    """The identity of a request. The run comes from the client and is scoped under the key."""
    return Principal(
        key_id=key.id,
        key_name=key.name,
        org=key.org,
        team=key.team,
        user=key.user,
        run=run_of(headers, user_id),
        agent=_clean(headers.get(b"x-claude-code-agent-id")),
        parent_agent=_clean(headers.get(b"x-claude-code-parent-agent-id")),
        admin=key.admin,
    )


def run_of(headers: RequestHeaders, user_id: str) -> str:
    """Our own header, then Claude Code's session, then the session part of
    `metadata.user_id` (a JSON text, or `user_…_session_<uuid>`)."""
    for name in (b"x-modelmuxer-run-id", b"x-claude-code-session-id"):
        if value := _clean(headers.get(name)):
            return value
    match = SESSION_IN_USER.search(user_id[:1024])
    return match[1] if match else ""


def _clean(value: str) -> str:
    return value if RUN_ID.fullmatch(value) else ""


def check_host(headers: RequestHeaders, allowed: Iterable[str]) -> None:
    """On a loopback address only loopback names are served: no DNS rebinding."""
    host = headers.get(b"host").rsplit(":", 1)[0] if headers.get(b"host") else ""
    if host and not is_loopback(host) and host not in allowed:
        raise WrongHost(
            f"Host: {host[:100]!r} is not served on a loopback address; "
            "use localhost, or set gateway.allowed_hosts"
        )


class WrongHost(MuxError):
    code = "forbidden"
