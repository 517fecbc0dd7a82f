"""Is it ready? One small question per kind of server; a refusal is simply "not yet"."""

import asyncio
import contextlib
import ssl

SECONDS = 2.0


async def http(host: str, port: int, path: str, tls: bool = False) -> tuple[int, bytes]:
    """GET a path of a local server: status and body, or (0, b"") if there is no answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    answer = await _exchange(host, port, request.encode(), b"", _unverified() if tls else None)
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdigit() else (0, b"")


async def nats(port: int) -> bool:
    """nats-server speaks first: `INFO {…}`."""
    return (await _exchange("127.0.0.1", port, b"", b"\r\n")).startswith(b"INFO ")


async def redis(port: int, password: str) -> bool:
    """Ready when PING is answered; while it loads its file it says -LOADING."""
    request = f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode()
    return b"+PONG" in await _exchange("127.0.0.1", port, request, b"")


async def _exchange(
    host: str, port: int, request: bytes, until: bytes, tls: ssl.SSLContext | None = None
) -> bytes:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
            try:
                writer.write(request)
                return await (reader.readuntil(until) if until else reader.read())
            finally:
                writer.close()
    return b""


def _unverified() -> ssl.SSLContext:
    """Our own child on loopback; its certificate names the outside host."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
