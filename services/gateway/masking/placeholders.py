"""What stands in for a value: `PII_<TYPE>_<10 characters>`, a keyed tag of the value.

No counter and no store: every replica derives the same placeholder for the same value of a
tenant, so a masked conversation keeps its bytes from turn to turn. Word characters only, so it
survives JSON, URLs, shell, code, markdown and HTML.
"""

import hashlib
import hmac
import re
from typing import Literal

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O, U
TAG_LENGTH = 10
PLACEHOLDER = re.compile(r"PII_[A-Z][A-Z0-9_]{1,30}_[0-9A-HJKMNP-TV-Z]{10}(?![0-9A-Z])")


class Placeholders:
    """`session` salts the tags when the scope is one conversation, so that the provider cannot
    link a value across conversations."""

    __slots__ = ("_key", "digest")

    def __init__(
        self,
        secret: bytes,
        org: str = "default",
        scope: Literal["tenant", "conversation"] = "tenant",
        session: str = "",
    ) -> None:
        salt = session if scope == "conversation" else ""
        owner = f"modelmuxer placeholder\0{org}\0{salt}".encode("utf-8", "surrogatepass")
        self._key = hmac.digest(secret, owner, hashlib.sha256)
        # Names this set of placeholders without telling its key.
        self.digest = hashlib.blake2b(self._key, digest_size=16).digest()

    def of(self, type_: str, value: str) -> str:
        message = f"{type_}\0{value}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hmac.digest(self._key, message, hashlib.sha256)[:8], "big")
        tag = "".join(ALPHABET[(number >> shift) & 31] for shift in range(0, 5 * TAG_LENGTH, 5))
        return f"PII_{type_}_{tag}"
