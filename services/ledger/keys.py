"""Managed keys: made, listed, rotated, revoked, expired. Only their hashes are kept."""

import hmac
import time
from collections.abc import Callable

import msgspec

from libs.common.contracts.identity import FoundKey, LookUpKey
from services.ledger import names
from services.ledger.register import KeyWord, Register
from services.ledger.store import AWAY, Store


class KeyDesk:
    """The operations on managed keys."""

    def __init__(
        self, register: Register, store: Store, clock: Callable[[], float] = time.time
    ) -> None:
        self._register, self._store, self._now = register, store, clock

    async def look_up(self, ask: LookUpKey) -> FoundKey:
        """The key with that hash; one that is revoked or expired is returned as such."""
        try:
            word = await self._stored(ask.sha256)
        except AWAY:
            word = self._register.key(ask.sha256)
        if word is None or not self._opens(word, ask.sha256):
            return FoundKey()
        return FoundKey(key=word.key)

    async def _stored(self, sha256: str) -> KeyWord | None:
        redis = self._store.redis
        id = await redis.hget(names.KEYS_BY_HASH, sha256)
        text = await redis.hget(names.KEYS_BY_ID, id) if id else None
        if not isinstance(text, bytes):
            return None
        return msgspec.json.decode(text.partition(b"|")[2], type=KeyWord)

    def _opens(self, word: KeyWord, sha256: str) -> bool:
        if hmac.compare_digest(word.sha256, sha256):
            return True
        return hmac.compare_digest(word.former, sha256) and self._now() < word.former_until
