"""Sessions of the web page: a signed cookie that stands for a key.

The cookie names the key by its SHA-256 and an end, signed with the gateway's secret, so every
worker and replica can read it and nothing is stored. The key itself is looked up at each
request: a revoked key ends its sessions at once. An unsafe method needs the session's CSRF
token in a header as well, which another site can neither read nor send.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable

import msgspec

from libs.common.errors import Forbidden, Unauthenticated

COOKIE = "modelmuxer_session"
CSRF_HEADER = "x-modelmuxer-csrf"
SAFE = ("GET", "HEAD", "OPTIONS")
HOURS = 12.0


class Claim(msgspec.Struct, frozen=True, array_like=True):
    sha256: str
    ends: float


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """`token` is the cookie's value; `csrf` goes to the page, in JSON."""

    token: str
    csrf: str
    ends: float


class Sessions:
    """Opens and reads sessions. `secret` is the gateway's; replicas share it."""

    def __init__(
        self, secret: bytes, hours: float = HOURS, now: Callable[[], float] = time.time
    ) -> None:
        self._key = hmac.digest(secret, b"dashboard session", "sha256")
        self._seconds, self._now = hours * 3600, now

    def open(self, secret: str) -> Session:
        """A session for an API key that has been found good."""
        sha = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        ends = self._now() + self._seconds
        payload = _text(msgspec.json.encode(Claim(sha, ends)))
        return self._session(f"{payload}.{self._sign(payload)}", ends)

    def read(self, token: str) -> tuple[str, Session]:
        """The SHA-256 of the key that a cookie stands for. Raises Unauthenticated."""
        payload, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(payload).encode()):
            raise Unauthenticated("the session is not valid; log in again")
        claim = msgspec.json.decode(_bytes(payload), type=Claim)
        if claim.ends < self._now():
            raise Unauthenticated("the session has ended; log in again")
        return claim.sha256, self._session(token, claim.ends)

    def of_request(self, method: str, cookies: str, csrf: str) -> str:
        """The SHA-256 of the key behind a request with our cookie, empty without one.

        `cookies` is the Cookie header, `csrf` the header that unsafe methods must carry.
        Raises Unauthenticated, and Forbidden where the CSRF token is missing or wrong."""
        token = token_of(cookies)
        if not token:
            return ""
        sha, session = self.read(token)
        if method not in SAFE and not hmac.compare_digest(csrf.encode(), session.csrf.encode()):
            raise Forbidden(f"{CSRF_HEADER}: send the token that the login answered with")
        return sha

    def _session(self, token: str, ends: float) -> Session:
        return Session(token=token, csrf=self._sign(f"csrf {token}"), ends=ends)

    def _sign(self, text: str) -> str:
        return _text(hmac.digest(self._key, text.encode("utf-8", "replace"), "sha256"))


def token_of(cookies: str) -> str:
    """The value of our cookie in a Cookie header."""
    for part in cookies.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def set_cookie(token: str, seconds: float, secure: bool) -> str:
    """A Set-Cookie value; an empty token forgets the session."""
    parts: Iterable[str] = (
        f"{COOKIE}={token}",
        "Path=/",
        "HttpOnly",
        "SameSite=Strict",
        f"Max-Age={int(seconds) if token else 0}",
        *(("Secure",) if secure else ()),
    )
    return "; ".join(parts)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise Unauthenticated("the session is not valid; log in again") from None
