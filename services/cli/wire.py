"""The gateway as a client sees it: plain HTTP with the standard library, everything timed."""

import json
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

VERSION = "2023-06-01"


class NoAnswer(Exception):
    """Nothing that speaks HTTP answered; the text says why in plain words."""


class Answer(Struct, frozen=True, kw_only=True):
    """`seconds` is the time to the end of the body; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object, or an empty one."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def message(self) -> str:
        """The error's own words, or the beginning of whatever came."""
        error = self.json.get("error")
        if isinstance(error, dict) and error.get("message"):
            return str(error["message"])
        return " ".join(self.body[:120].decode(errors="replace").split())


class Streamed(Struct, frozen=True, kw_only=True):
    """A streamed answer: `deltas` are the seconds at which pieces of text came, `error` is an
    error event within the stream."""

    answer: Answer
    events: tuple[str, ...] = ()
    deltas: tuple[float, ...] = ()
    error: str = ""


class Gateway:
    """One gateway and one key. Every call opens a connection of its own and never follows a
    redirect, as Claude Code does not."""

    def __init__(self, url: str, key: str, timeout: float) -> None:
        self.url, self.key, self.timeout = url.rstrip("/"), key, timeout
        parts = urlsplit(self.url)
        self._secure, self._path = parts.scheme == "https", parts.path
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)

    def get(self, path: str, *, method: str = "GET", key: str | None = None) -> Answer:
        return self.send(method, path, None, {}, key)

    def post(
        self, path: str, body: object, headers: dict[str, str] | None = None, key: str | None = None
    ) -> Answer:
        return self.send("POST", path, body, headers or {}, key)

    def send(
        self, method: str, path: str, body: object, headers: dict[str, str], key: str | None
    ) -> Answer:
        """Raises NoAnswer."""
        began = time.monotonic()
        connection, response = self._open(method, path, body, headers, key)
        try:
            content = response.read()
        except (OSError, HTTPException) as error:
            raise NoAnswer(explain(error)) from None
        finally:
            connection.close()
        return _answer(response, content, began)

    def stream(self, body: dict[str, Any]) -> Streamed:
        """POST /v1/messages with `stream`. Raises NoAnswer."""
        began = time.monotonic()
        connection, response = self._open("POST", "/v1/messages", body | {"stream": True}, {}, None)
        try:
            if response.status != 200:
                return Streamed(answer=_answer(response, response.read(), began))
            return _read_events(response, began)
        except (OSError, HTTPException) as error:
            raise NoAnswer(explain(error)) from None
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, body: object, headers: dict[str, str], key: str | None
    ) -> tuple[HTTPConnection, HTTPResponse]:
        kind = HTTPSConnection if self._secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=self.timeout)
        sent = {"anthropic-version": VERSION, "user-agent": "modelmuxer-doctor"} | headers
        secret = self.key if key is None else key
        if secret:
            sent["x-api-key"] = secret
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent["content-type"] = "application/json"
        try:
            connection.request(method, f"{self._path}{path}", content, sent)
            return connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise NoAnswer(explain(error)) from None


def explain(error: Exception) -> str:
    """An error of the network in words that a user can act on."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "no TLS there: is it http:// rather than https://?"
    if isinstance(error, HTTPException):
        return f"what answers there does not speak HTTP ({type(error).__name__})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _answer(response: HTTPResponse, body: bytes, began: float) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    seconds = time.monotonic() - began
    return Answer(status=response.status, headers=headers, body=body, seconds=seconds)


def _read_events(response: HTTPResponse, began: float) -> Streamed:
    events, deltas, error, text = [], [], "", bytearray()
    while line := response.readline():
        text += line
        if not line.startswith(b"data:"):
            continue
        data = _object(line[5:])
        events.append(str(data.get("type")))
        if data.get("type") == "content_block_delta":
            deltas.append(time.monotonic() - began)
        if data.get("type") == "error":
            error = str((data.get("error") or {}).get("message"))
    return Streamed(
        answer=_answer(response, bytes(text), began),
        events=tuple(events),
        deltas=tuple(deltas),
        error=error,
    )


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
