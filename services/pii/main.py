"""PII: answers which spans of a text are personal data or secrets. It never sees the key that
makes placeholders, and it never sends a value back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.bus import Bus
from libs.common.contracts.pii import EXPLAIN_PII, SCAN, Explain, Explained, Findings, Scan
from libs.common.settings.load import Loaded
from services.pii.pool import Pool


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    async with Pool.open(loaded.settings.pii) as pool:

        async def scan(message: Scan) -> Findings:
            return await pool.scan(message.texts, message.prose, message.org)

        async def explain(message: Explain) -> Explained:
            return await pool.explain(message.text, message.org)

        await bus.serve(SCAN, scan)
        await bus.serve(EXPLAIN_PII, explain)
        yield
