"""Several gateway processes on one port: the kernel shares the connections (SO_REUSEPORT)."""

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.orphans import end_with_parent
from libs.common.settings import Settings

log = logging.getLogger(__name__)
AGAIN_SECONDS = 1.0


class Workers:
    """The other `workers - 1` processes. One that ends is replaced, until `stop`."""

    def __init__(self, settings: Settings, file: str) -> None:
        self._count = settings.gateway.workers - 1
        self._command = [sys.executable, "-m", "services", "gateway"]
        self._command += ["--config", file] if file else []
        self._stopping = asyncio.Event()
        self._processes: set[Process] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Yields at once; leaving waits until all have finished what they had in hand."""
        keeping = [asyncio.create_task(self._keep()) for _ in range(self._count)]
        try:
            yield
        finally:
            self.stop()
            await asyncio.gather(*keeping)

    def stop(self) -> None:
        """Ask all to drain, without waiting."""
        self._stopping.set()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                process = await self._start()
            except OSError as error:  # no memory, no file left: later there may be
                log.error("no worker could be started: %s", error)
                await self._pause()
                continue
            code = await process.wait()
            self._processes.discard(process)
            if not self._stopping.is_set():
                log.error("worker %d ended with %d; another takes its place", process.pid, code)
                await self._pause()

    async def _start(self) -> Process:
        environment = os.environ | {
            "MODELMUXER_GATEWAY__WORKERS": "1",
            "MODELMUXER_GATEWAY__REUSE_PORT": "true",
        }
        process = await asyncio.create_subprocess_exec(
            *self._command, env=environment, preexec_fn=end_with_parent()
        )
        log.info("one more worker: %d", process.pid)
        self._processes.add(process)
        if self._stopping.is_set():
            process.terminate()
        return process

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), AGAIN_SECONDS)
