"""CPU work beside the loop, in worker processes or in a thread, a large text piece by piece."""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import TypeVar

import msgspec

from libs.common.contracts.pii import Explained, Finding, Findings
from libs.common.errors import Unavailable
from libs.common.settings.pii import PiiSettings
from services.pii.detector import pieces
from services.pii.rules.hit import Hit
from services.pii.scanner import Scanner, version

# Characters of one job: small enough that many share the workers, large enough to be worth it.
JOB = 131_072
# So many characters are scanned in a fifth of a millisecond: giving them to a thread costs as much.
BRIEF = 2048
# What is read when a rule first needs it, is read at the start.
FIRST = "ada@lovelace.org, +1 202 555 0143"

T = TypeVar("T")
# Number of the text, offset of the piece, the piece, whether it is prose.
Part = tuple[int, int, str, bool]


class Pool:
    """`scan` answers for whole texts; the work is done in jobs of some pieces each."""

    def __init__(self, settings: PiiSettings) -> None:
        self._settings = msgspec.json.encode(settings)
        self._workers = settings.workers
        self._brief = 0 if settings.workers or settings.model else BRIEF
        self._rules = version(settings)
        self._executor = self._start()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PiiSettings) -> AsyncIterator["Pool"]:
        """The rules are loaded when it opens. Raises MuxError for a model that is not there."""
        pool = cls(settings)
        try:
            await pool._run(partial(_explain, pool._settings, FIRST, "default"))
            yield pool
        finally:
            pool._executor.shutdown(wait=True, cancel_futures=True)

    async def scan(
        self, texts: Sequence[str], prose: Sequence[bool] = (), org: str = "default"
    ) -> Findings:
        """Raises Unavailable if a worker died over it."""
        if sum(map(len, texts)) < self._brief:
            done = _scan(self._settings, texts, prose, org)
            return Findings(texts=done, rules=self._rules)
        jobs = _jobs(texts, prose)
        if len(jobs) == 1:
            work = partial(_scan, self._settings, tuple(texts), tuple(prose), org)
            return Findings(texts=await self._run(work), rules=self._rules)
        found = await asyncio.gather(
            *(self._run(partial(_hits, self._settings, job)) for job in jobs)
        )
        hits: list[list[Hit]] = [[] for _ in texts]
        for number, of_part in (pair for job in found for pair in job):
            hits[number] += of_part
        joined = await self._run(partial(_join, self._settings, tuple(texts), hits, org))
        return Findings(texts=joined, rules=self._rules)

    async def explain(self, text: str, org: str = "default") -> Explained:
        return await self._run(partial(_explain, self._settings, text, org))

    def _start(self) -> Executor:
        if not self._workers:
            return ThreadPoolExecutor(1, "pii")
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, _begin, (self._settings,))

    async def _run(self, work: "partial[T]") -> T:
        executor = self._executor
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except BrokenProcessPool:
            if executor is self._executor:
                self._executor = self._start()
            raise Unavailable("a pii worker died; its work is lost, the next is taken") from None


def _jobs(texts: Sequence[str], prose: Sequence[bool]) -> list[list[Part]]:
    jobs: list[list[Part]] = []
    size = JOB
    for number, text in enumerate(texts):
        for start, piece in pieces(text):
            if size + len(piece) > JOB:
                jobs.append([])
                size = 0
            size += len(piece)
            jobs[-1].append((number, start, piece, number < len(prose) and prose[number]))
    return jobs


@lru_cache(maxsize=1)
def _scanner(settings: bytes) -> Scanner:
    """The scanner of this process: it takes seconds to import and is never changed."""
    return Scanner(msgspec.json.decode(settings, type=PiiSettings))


def _scan(
    settings: bytes, texts: Sequence[str], prose: Sequence[bool], org: str
) -> tuple[tuple[Finding, ...], ...]:
    scanner = _scanner(settings)
    marks = zip(texts, [*prose, *([False] * len(texts))], strict=False)
    return tuple(scanner.scan(text, prose=mark, org=org) for text, mark in marks)


def _hits(settings: bytes, job: Sequence[Part]) -> list[tuple[int, list[Hit]]]:
    scanner = _scanner(settings)
    return [
        (number, scanner.part(start, piece, prose=prose)) for number, start, piece, prose in job
    ]


def _join(
    settings: bytes, texts: Sequence[str], hits: Sequence[Sequence[Hit]], org: str
) -> tuple[tuple[Finding, ...], ...]:
    scanner = _scanner(settings)
    return tuple(
        tuple(Finding(h.start, h.end, h.type, h.score) for h in scanner.joined(text, found, org))
        for text, found in zip(texts, hits, strict=True)
    )


def _explain(settings: bytes, text: str, org: str) -> Explained:
    return Explained(reasons=_scanner(settings).explain(text, org=org))


def _begin(settings: bytes) -> None:
    """A worker process leaves with its parent, however that ends, and not by Ctrl-C before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _scanner(settings)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(0)
