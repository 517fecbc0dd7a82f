"""A small TCP load balancer that does what a Kubernetes Service does: new connections go, in turn,
to the backends whose /ready says yes; open connections stay where they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

ASK = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POLL_SECONDS = 0.1


class Balancer:
    def __init__(self) -> None:
        self.backends: set[int] = set()
        self.ready: set[int] = set()
        self.port = 0
        self._turn = count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def poll(self) -> None:
        """Look at every backend again and again, as a kubelet does."""
        while True:
            for port in list(self.backends):
                (self.ready.add if await _says_yes(port) else self.ready.discard)(port)
            self.ready &= self.backends
            await asyncio.sleep(POLL_SECONDS)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports = sorted(self.ready)
        if not ports:
            writer.close()
            return
        port = ports[next(self._turn) % len(ports)]
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, there), _pipe(there_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _says_yes(port: int) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ASK)
            line = await reader.readline()
            writer.close()
            return b" 200 " in line
    return False


@asynccontextmanager
async def balancer(*ports: int) -> AsyncIterator[Balancer]:
    """Running, with these backends; yields once all of them are ready."""
    running = Balancer()
    running.backends |= set(ports)
    polling = asyncio.create_task(running.poll())
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        while running.ready != set(ports):
            await asyncio.sleep(0.05)
        yield running
    finally:
        polling.cancel()
        server.close()
