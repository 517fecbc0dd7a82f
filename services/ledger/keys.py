"""Managed keys: made, listed, rotated, revoked, expired. Only their hashes are kept."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from libs.common.bus import Bus
from libs.common.contracts.identity import (
    KEYS_CHANGED,
    FoundKey,
    Key,
    KeysChanged,
    LookUpKey,
)
from libs.common.contracts.spending import AskAsAdmin, CreatedKey, CreateKey, KeyAction, KeyList
from libs.common.errors import Conflict, Forbidden, InvalidRequest, NotFound
from services.ledger import names
from services.ledger.budgets import check_id
from services.ledger.policies import check_limits, only_admins
from services.ledger.register import KeyWord, Register
from services.ledger.store import AWAY, Store, away

PREFIX = "sk-mm-"
# How much of a key is shown to tell it from others.
SHOWN = 12
LONGEST_GRACE = 30 * 86400
MOST_MODELS = 200


class KeyDesk:
    """The operations on managed keys."""

    def __init__(
        self,
        bus: Bus,
        register: Register,
        store: Store,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bus, self._register, self._store = bus, register, store
        self._now = clock

    async def look_up(self, ask: LookUpKey) -> FoundKey:
        """The key with that hash, if it opens anything today."""
        try:
            word = await self._stored(ask.sha256) or self._register.key_by_hash(ask.sha256)
        except AWAY:
            word = self._register.key_by_hash(ask.sha256)
        if word is None or not self._opens(word, ask.sha256):
            return FoundKey()
        return FoundKey(key=word.key)

    async def create(self, ask: CreateKey) -> CreatedKey:
        only_admins(ask.principal, "make keys")
        check_key(ask.key, self._now())
        org = ask.principal.org
        if ask.key.org not in (org, "default"):
            raise Forbidden(f"org: your key administers {org!r}; leave it out")
        if self._register.key_by_name(org, ask.key.name):
            raise Conflict(
                f"name: there is a key named {ask.key.name!r}; rotate it or choose another"
            )
        secret, sha256 = new_secret()
        key = replace(
            ask.key,
            id=f"key_{sha256[:16]}",
            org=org,
            managed=True,
            prefix=secret[:SHOWN],
            created_at=self._now(),
            revoked_at=0.0,
        )
        await self._write(KeyWord(key=key, sha256=sha256))
        return CreatedKey(key=key, secret=secret)

    async def act(self, ask: KeyAction) -> CreatedKey:
        only_admins(ask.principal, f"{ask.action} keys")
        word = self._register.key(ask.id[:100])
        if word is None or word.key.org != ask.principal.org:
            raise NotFound(f"id: there is no managed key {ask.id[:100]!r}")
        if word.key.revoked_at:
            raise Conflict(f"{ask.id} was revoked already; make a new key")
        if ask.action == "revoke":
            key = replace(word.key, revoked_at=self._now())
            await self._write(KeyWord(key=key, sha256=word.sha256))
            return CreatedKey(key=key, secret="")
        return await self._rotate(ask, word)

    async def _rotate(self, ask: KeyAction, word: KeyWord) -> CreatedKey:
        """A new secret for the same key: its id, budgets and history stay."""
        if not 0 <= ask.grace <= LONGEST_GRACE:
            raise InvalidRequest(f"grace_seconds: from 0 to {LONGEST_GRACE}, not {ask.grace:g}")
        secret, sha256 = new_secret()
        key = replace(word.key, prefix=secret[:SHOWN])
        await self._write(
            KeyWord(
                key=key,
                sha256=sha256,
                former=word.sha256 if ask.grace else "",
                former_until=self._now() + ask.grace,
            )
        )
        return CreatedKey(key=key, secret=secret)

    async def show(self, ask: AskAsAdmin) -> KeyList:
        only_admins(ask.principal, "list keys")
        mine = [w.key for w in self._register.all_keys() if w.key.org == ask.principal.org]
        return KeyList(keys=tuple(sorted(mine, key=lambda key: key.created_at)))

    async def _write(self, word: KeyWord) -> None:
        try:
            await self._register.write(word)
        except AWAY as error:
            raise away(error) from error
        finally:
            await self._bus.tell(KEYS_CHANGED, KeysChanged(ids=(word.key.id,)))

    async def _stored(self, sha256: str) -> KeyWord | None:
        redis = self._store.redis
        id = await redis.hget(names.KEYS_BY_HASH, sha256)
        text = await redis.hget(names.KEYS_BY_ID, id) if id else None
        if not isinstance(text, bytes):
            return None
        return msgspec.json.decode(text.partition(b"|")[2], type=KeyWord)

    def _opens(self, word: KeyWord, sha256: str) -> bool:
        now, key = self._now(), word.key
        if key.revoked_at or (key.expires_at and key.expires_at <= now):
            return False
        given = sha256.encode("utf-8", "surrogatepass")
        if hmac.compare_digest(word.sha256.encode(), given):
            return True
        return hmac.compare_digest(word.former.encode(), given) and now < word.former_until


def new_secret() -> tuple[str, str]:
    """A secret with 256 random bits, and its hash."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def check_key(key: Key, now: float) -> None:
    """Raises InvalidRequest that names the field and the fix."""
    if not key.name:
        raise InvalidRequest("name: give the key a name, for example its owner's")
    for field in ("name", "team", "user"):
        check_id(field, getattr(key, field))
    if key.routing_fault:
        raise InvalidRequest(f"routing_max: {key.routing_fault}")
    check_limits(key.limits)
    if len(key.models) > MOST_MODELS:
        raise InvalidRequest(f"models: at most {MOST_MODELS} names or globs")
    for model in key.models:
        check_id("models", model)
    if key.expires_at and not now < key.expires_at < now + 100 * 365 * 86400:
        raise InvalidRequest("expires_in_days: more than 0 and at most 36500, or leave it out")
