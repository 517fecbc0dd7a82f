"""Call a provider over HTTP. The dialect translates, the pipeline decides; this transports.

httpx is the interface, aiohttp the engine beneath (httpx-aiohttp): a fifth of the CPU of
httpx's own transport. The transport is called below `AsyncClient`, which adds nothing we use.
"""

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Literal

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from libs.common.errors import UpstreamFailed
from libs.common.settings.gateway import GatewaySettings
from libs.common.settings.load import ConfigError
from libs.common.trace import headers as headers_of_trace
from services.gateway import proxies
from services.gateway.errors import Headers

log = logging.getLogger(__name__)
MAX_ANSWER = 256 * 1024 * 1024
PIECE = 256 * 1024
NO_HTTP = "answered in something that is not HTTP"
Fault = Literal["name", "connect", "tls", "proxy", "silent", "broken"]


class CallFailed(UpstreamFailed):
    """No HTTP answer. `sent` says that the provider may have got the request (and bill it);
    `stale` that a kept-alive connection was closed before it took it."""

    def __init__(
        self, detail: str, *, sent: bool, stale: bool = False, fault: Fault = "broken"
    ) -> None:
        super().__init__(detail)
        self.sent, self.stale, self.fault = sent, stale, fault


class HttpReply:
    """A provider's answer, its body still to be read."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Headers = [(k.lower(), v) for k, v in response.headers.raw]
        self._response = response

    def header(self, name: bytes) -> str:
        return next((v.decode("latin-1") for k, v in self.headers if k == name), "")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises CallFailed when the connection breaks."""
        try:
            stream = self._response.stream
            assert isinstance(stream, httpx.AsyncByteStream)
            async for chunk in stream:
                yield chunk
        except httpx.HTTPError as error:
            log.debug("an answer was cut: %s", error)
            raise CallFailed("the connection broke before the answer's end", sent=True) from error

    async def read(self, limit: int = MAX_ANSWER) -> bytes:
        parts, size = [], 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise CallFailed("the answer is larger than we take", sent=True)
        return b"".join(parts)

    async def close(self) -> None:
        """Let go of the connection; an answer not read to its end is cancelled with it."""
        with contextlib.suppress(httpx.HTTPError):
            await self._response.aclose()


class Upstreams:
    """The connections to all providers, and the simulator's answers in their stead."""

    def __init__(
        self,
        transport_for: Callable[[str], httpx.AsyncBaseTransport],
        simulator: httpx.AsyncBaseTransport,
    ) -> None:
        self._transport_for, self._simulator = transport_for, simulator

    async def send(
        self,
        url: str,
        headers: Headers,
        body: bytes,
        *,
        timeouts: dict[str, float],
        simulated: bool = False,
        method: str = "POST",
    ) -> HttpReply:
        """Send one request and wait for the head of its answer. Raises CallFailed."""
        transport = self._simulator if simulated else self._transport_for(url)
        content: bytes | AsyncIterator[bytes] = body
        if len(body) > PIECE:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
            content = _pieces(body)
        if trace := headers_of_trace():
            headers = [*headers, *((n.encode(), v.encode()) for n, v in trace.items())]
        request = httpx.Request(
            method, _parsed(url), headers=headers, content=content, extensions={"timeout": timeouts}
        )
        try:
            return HttpReply(await transport.handle_async_request(request))
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise _failure(error) from error
        except UnicodeEncodeError:  # httpx wants the words beside a status in UTF-8
            raise CallFailed(NO_HTTP, sent=True) from None


@asynccontextmanager
async def open_upstreams(
    settings: GatewaySettings,
    simulator: httpx.AsyncBaseTransport,
    environment: Mapping[str, str],
) -> AsyncIterator[Upstreams]:
    """Connections without a limit of their own: how many run at once is the ledger's matter.
    Raises ConfigError for a proxy or CA file that cannot be used."""
    proxies.check(settings.https_proxy)
    context = _trusting(settings.ca_file)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=context)
    session = aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
    )
    by_proxy: dict[str, AiohttpTransport] = {}

    def transport_for(url: str) -> AiohttpTransport:
        proxy = proxies.proxy_for(url, settings.https_proxy, environment)
        if proxy not in by_proxy:
            by_proxy[proxy] = AiohttpTransport(
                verify=context, client=session, proxy=httpx.Proxy(proxy) if proxy else None
            )
        return by_proxy[proxy]

    try:
        yield Upstreams(transport_for, simulator)
    finally:
        await session.close()


def _trusting(ca_file: str) -> ssl.SSLContext:
    """What the system trusts, and the authorities of a file besides."""
    context = ssl.create_default_context()
    try:
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"gateway.ca_file: cannot use {ca_file}: {error}") from None
    return context


@lru_cache(256)
def _parsed(url: str) -> httpx.URL:
    """Providers have few addresses, and httpx takes 50 µs to read one (measured)."""
    return httpx.URL(url)


async def within(seconds: float, work: Callable[[], Awaitable[Any]], detail: str) -> Any:
    """Await with a bound; a provider that is silent for longer has failed."""
    try:
        async with asyncio.timeout(seconds):
            return await work()
    except TimeoutError:
        raise CallFailed(detail, sent=True) from None


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """A large body bit by bit: the socket's back-pressure lets the loop breathe."""
    view = memoryview(body)
    for start in range(0, len(body), PIECE):
        yield bytes(view[start : start + PIECE])


def _failure(error: httpx.HTTPError | aiohttp.ClientError) -> CallFailed:
    """What happened, in words for the caller: where, and why."""
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) else error
    # Never their repr: it holds what was sent, the key among it.
    log.debug("a call failed: %s", type(cause or error).__name__)
    match cause:
        case aiohttp.ClientConnectorError():
            return _unreached(cause)
        case aiohttp.ConnectionTimeoutError():
            return CallFailed("cannot connect in time", sent=False, fault="connect")
        case aiohttp.ClientHttpProxyError():
            words = f"the proxy refused: HTTP {cause.status} {cause.message}"
            return CallFailed(words, sent=False, fault="proxy")
        case aiohttp.ServerDisconnectedError():
            return CallFailed("closed the connection without an answer", sent=True, stale=True)
        case aiohttp.ClientOSError():
            return CallFailed(f"the connection broke: {_why(cause, 'no more said')}", sent=True)
        case aiohttp.ClientResponseError():
            return CallFailed(NO_HTTP, sent=True)
    if isinstance(error, httpx.TimeoutException):
        return CallFailed("no answer in time", sent=True, fault="silent")
    return CallFailed((str(error) or type(error).__name__)[:200], sent=True)


def _unreached(error: aiohttp.ClientConnectorError) -> CallFailed:
    """Nothing was sent: the name, the way or the handshake failed."""
    where = f"{error.host}:{error.port}" if error.port else error.host
    fault: Fault = "connect"
    words = f"cannot connect to {where}: {_why(error.os_error)}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        fault, words = "proxy", f"cannot reach the proxy at {where}: {_why(error.os_error)}"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        fault, words = "name", f"cannot connect to {error.host}: no such host name is known"
    elif isinstance(error, aiohttp.ClientSSLError):
        fault = "tls"
    return CallFailed(words, sent=False, fault=fault)


def _why(error: OSError, otherwise: str = "none of its addresses can be reached") -> str:
    """The system's words for an error, without those of the libraries between."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"no TLS ({(error.reason or 'refused').replace('_', ' ').lower()})"
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return otherwise
