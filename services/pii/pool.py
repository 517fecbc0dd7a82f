"""CPU work beside the loop: a text is scanned in a worker process, a large one piecewise."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from libs.common.contracts.pii import Explained, Finding, Findings
from libs.common.settings.pii import PiiSettings
from services.pii.detector import Detector


class Pool:
    def __init__(self, settings: PiiSettings, executor: Executor) -> None:
        self.detector = Detector(allow=settings.allow, deny=settings.deny, region=settings.region)
        self._executor = executor

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PiiSettings) -> AsyncIterator["Pool"]:
        workers = settings.workers or os.cpu_count() or 1
        with ThreadPoolExecutor(workers, "pii") as executor:
            yield cls(settings, executor)

    async def scan(self, texts: Sequence[str], prose: Sequence[bool], org: str) -> Findings:
        loop = asyncio.get_running_loop()
        found: list[tuple[Finding, ...]] = await loop.run_in_executor(
            self._executor, lambda: [tuple(self.detector.scan(text)) for text in texts]
        )
        return Findings(texts=tuple(found), rules=self.detector.version)

    async def explain(self, text: str, org: str) -> Explained:
        loop = asyncio.get_running_loop()
        reasons = await loop.run_in_executor(self._executor, self.detector.explain, text)
        return Explained(reasons=tuple(reasons))
