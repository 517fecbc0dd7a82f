"""A gateway that only does money, as a process of its own that can be killed.

Arguments: nats url, folder, seed, first and last request. For each request it reserves, lets a
stand-in provider bill (a line in `bill.txt`, written before anything else happens), and tells
the journal. One that starts again skips what its provider has billed.
"""

import asyncio
import random
import sys
import time
from pathlib import Path

from libs.common.bus import Bus
from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import RESERVE, Offer, Reserve
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.errors import BudgetExceeded, Conflict, MuxError
from libs.common.outbox import Outbox
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings

PRICE, INPUT = 1000, 400
DEADLINE = 30.0


def principal(seed: int) -> Principal:
    return Principal(key_id=f"key_{seed}", org=f"org{seed}", team="core", user="ann", run="s1")


class Gateway:
    def __init__(self, bus: Bus, outbox: Outbox, folder: Path, seed: int) -> None:
        self.bus, self.outbox, self.folder, self.seed = bus, outbox, folder, seed
        self.gate = asyncio.Semaphore(8)

    async def request(self, number: int) -> None:
        """Asks again until there is an answer, as a client with retries would."""
        id, end = f"{self.seed}-{number}", time.monotonic() + DEADLINE
        async with self.gate:
            while time.monotonic() < end:
                try:
                    return await self._attempt(id)
                except BudgetExceeded:
                    return self._write("refused.txt", id)
                except Conflict:
                    return None
                except MuxError:
                    await asyncio.sleep(0.05)
        self._write("unanswered.txt", id)

    async def _attempt(self, id: str) -> None:
        offer = Offer(deployment="d", model="m", estimate=PRICE, input_cost=INPUT)
        who = principal(self.seed)
        ask = Reserve(request_id=id, attempt=1, principal=who, offers=(offer,), ttl=4.0)
        await self.bus.ask(RESERVE, ask, timeout=1.0)
        self._write("admitted.txt", id)
        cost = random.Random(id).randrange(PRICE // 2, PRICE + 1)
        self._write("bill.txt", f"{id} {cost}")
        await asyncio.sleep(0.03)
        row = Usage(
            request_id=id,
            attempt=1,
            at=time.time(),
            principal=who,
            reservation=f"{id}.1",
            tokens=Tokens(output=1),
            cost=cost,
        )
        self.outbox.put(USED, row, row.id)

    def _write(self, name: str, line: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(line + "\n")


async def main(url: str, folder: Path, seed: int, numbers: range) -> None:
    bus = await Bus.connect(BusSettings(url=url), "gateway")
    billed = folder / "bill.txt"
    done = {line.split()[0] for line in billed.read_text().splitlines()} if billed.exists() else ()
    async with Outbox(bus, JournalSettings(ack_timeout=1.0), folder / "spool") as outbox:
        gateway = Gateway(bus, outbox, folder, seed)
        todo = [number for number in numbers if f"{seed}-{number}" not in done]
        await asyncio.gather(*(gateway.request(number) for number in todo))
        end = time.monotonic() + DEADLINE
        while (outbox.waiting or outbox.spooled) and time.monotonic() < end:
            await asyncio.sleep(0.05)
    await bus.close()


if __name__ == "__main__":
    first, last = int(sys.argv[4]), int(sys.argv[5])
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), range(first, last)))
