"""Call a provider over HTTP. The dialect translates, the pipeline decides; this transports.

httpx is the interface, aiohttp the engine beneath (httpx-aiohttp): a fifth of the CPU of
httpx's own transport. The transport is called below `AsyncClient`, which adds nothing we use.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from libs.common.errors import UpstreamFailed
from libs.common.settings.gateway import GatewaySettings
from services.gateway.errors import Headers

MAX_ANSWER = 256 * 1024 * 1024
PIECE = 256 * 1024


class CallFailed(UpstreamFailed):
    """No HTTP answer. `sent` says that the provider may have got the request (and bill it);
    `stale` that a kept-alive connection was closed before it took it."""

    def __init__(self, detail: str, *, sent: bool, stale: bool = False) -> None:
        super().__init__(detail)
        self.sent, self.stale = sent, stale


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
            raise CallFailed(f"the connection broke: {_words(error)}", sent=True) from error

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
        await self._response.aclose()


class Upstreams:
    """The connections to all providers, and the simulator's answers in their stead."""

    def __init__(self, transport: httpx.AsyncBaseTransport, simulator: httpx.AsyncBaseTransport):
        self._transport, self._simulator = transport, simulator

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
        transport = self._simulator if simulated else self._transport
        content: bytes | AsyncIterator[bytes] = body
        if len(body) > PIECE:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
            content = _pieces(body)
        request = httpx.Request(
            method, url, headers=headers, content=content, extensions={"timeout": timeouts}
        )
        try:
            return HttpReply(await transport.handle_async_request(request))
        except httpx.HTTPError as error:
            raise _failure(error) from error


@asynccontextmanager
async def open_upstreams(
    settings: GatewaySettings, simulator: httpx.AsyncBaseTransport
) -> AsyncIterator[Upstreams]:
    """Connections without a limit of their own: how many run at once is the ledger's matter."""
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=context)
    session = aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
    )
    proxy = httpx.Proxy(settings.https_proxy) if settings.https_proxy else None
    transport = AiohttpTransport(client=session, proxy=proxy)
    try:
        yield Upstreams(transport, simulator)
    finally:
        await transport.aclose()


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


def _failure(error: httpx.HTTPError) -> CallFailed:
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return CallFailed(f"cannot connect: {_words(cause)}", sent=False)
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return CallFailed("closed the connection without an answer", sent=True, stale=True)
    if isinstance(error, httpx.TimeoutException):
        return CallFailed("no answer in time", sent=True)
    return CallFailed(_words(error), sent=True)


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]
