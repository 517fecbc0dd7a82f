"""Signatures of thinking: made here, and known again when they come back."""

import base64
import hashlib
import hmac

_SECRET = b"the stand-in's own"


def sign(text: str) -> str:
    """A signature of realistic length over the thinking it belongs to."""
    digest = b"".join(hmac.digest(_SECRET + bytes([n]), text.encode(), "sha256") for n in range(8))
    return base64.b64encode(digest).decode()


def seal(text: str) -> str:
    """Thinking that only we can read."""
    data = text.encode()
    return base64.b64encode(hashlib.sha256(_SECRET + data).digest() + data).decode()


def is_sealed(data: str) -> bool:
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        return False
    return hashlib.sha256(_SECRET + raw[32:]).digest() == raw[:32]
