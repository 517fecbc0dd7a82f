"""Events that wait on disk while the journal is away, whoever of their service lives on."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import FEEDBACK, Feedback
from libs.common.contracts.usage import USED, Usage
from libs.common.outbox import Letter, Outbox
from libs.common.replay import replay
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
# Says so many things while nobody listens any more, and is killed.
DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from libs.common.bus import Bus
from libs.common.contracts.usage import USED
from libs.common.outbox import Outbox
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from tests.common.test_outbox import row
async def main(url, spool, name):
    bus = await Bus.connect(BusSettings(url=url), "test")
    await bus.client.close()
    async with Outbox(bus, JournalSettings(), Path(spool)) as outbox:
        for n in range(20):
            outbox.put(USED, row(f"{name}-{n}"), f"{name}-{n}.1")
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main(*sys.argv[1:]))
"""


def row(id: str) -> Usage:
    return Usage(request_id=id, attempt=1, at=0.0, principal=Principal(key_id="k", key_name="k"))


async def told(bus: Bus) -> list[str]:
    return sorted([row.request_id async for batch in replay(bus, USED) for row in batch])


def spools(folder: Path) -> list[Path]:
    return [file for file in folder.glob("gateway-*") if file.suffix != ".lock"]


def killed(nats: Server, spool: Path, name: str) -> None:
    argv = [sys.executable, "-c", DIES, nats.url, str(spool), name]
    assert subprocess.run(argv, timeout=30).returncode < 0


async def test_what_a_killed_process_has_spooled_is_sent_by_the_next(
    nats: Server, bus: Bus, tmp_path: Path
) -> None:
    spool = tmp_path / "spool" / "gateway"
    for name in ("one", "two"):
        await asyncio.to_thread(killed, nats, spool, name)
    # The second has taken over what the first left.
    assert len(spools(spool.parent)) == 1
    async with Outbox(bus, JournalSettings(), spool) as outbox:
        async with asyncio.timeout(10):
            while outbox.spooled or outbox.waiting or spools(spool.parent):
                await asyncio.sleep(0.02)
    assert await told(bus) == sorted(f"{name}-{n}" for name in ("one", "two") for n in range(20))


async def test_who_lives_keeps_its_spool_whatever_container_it_is_in(
    nats: Server, bus: Bus, tmp_path: Path
) -> None:
    """Two of one process, since process ids of two containers may be the same."""
    deaf = await Bus.connect(BusSettings(url=nats.url), "test")
    await deaf.client.close()
    async with Outbox(deaf, JournalSettings(), tmp_path / "gateway") as living:
        living.put(USED, row("kept"), "kept.1")
        await asyncio.sleep(0.1)
        async with Outbox(bus, JournalSettings(), tmp_path / "gateway") as other:
            other.put(USED, row("sent"), "sent.1")
        assert await told(bus) == ["sent"] and living.spooled
    async with Outbox(bus, JournalSettings(), tmp_path / "gateway"), asyncio.timeout(10):
        while spools(tmp_path):
            await asyncio.sleep(0.02)
    assert await told(bus) == ["kept", "sent"] and list(tmp_path.glob("gateway*")) == []


async def test_what_an_earlier_release_has_left_is_sent(bus: Bus, tmp_path: Path) -> None:
    """Its files had the process id as their name; the line of one that was killed is cut."""
    for what in ("1.adopted", "1.sending", "2"):
        letter = Letter(USED.subject, f"{what}.1", msgspec.json.encode(row(what)))
        line = msgspec.json.encode(letter)
        (tmp_path / f"gateway-{what}").write_bytes(line + b"\n" + line[:20])
    async with Outbox(bus, JournalSettings(), tmp_path / "gateway"), asyncio.timeout(10):
        while spools(tmp_path):
            await asyncio.sleep(0.02)
    assert await told(bus) == ["1.adopted", "1.sending", "2"]


async def test_what_is_said_just_before_the_end_is_sent(bus: Bus, tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        for number in range(4):
            async with Outbox(bus, JournalSettings(), tmp_path / "gateway") as outbox:
                await asyncio.sleep(0.01)
                for part in "ab":
                    outbox.put(USED, row(f"{number}{part}"), f"{number}{part}.1")
                    await asyncio.sleep(0.001 if part == "a" else 0)
    assert await told(bus) == [f"{number}{part}" for number in range(4) for part in "ab"]


async def test_what_happens_at_once_travels_together_and_is_told_once(
    bus: Bus, tmp_path: Path
) -> None:
    async with Outbox(bus, JournalSettings(), tmp_path / "gateway") as outbox:
        for number in range(200):
            outbox.put(USED, row(f"{number:03}"), f"{number}.1")
        for number in range(200):
            liked = Feedback(decision_id=str(number), principal=row("").principal, score=1)
            outbox.put(FEEDBACK, liked, f"feedback-{number}")
    assert await told(bus) == [f"{number:03}" for number in range(200)]
    info = await bus.client.jetstream().stream_info(EVENTS_STREAM, subjects_filter=">")
    assert info.state.subjects[USED.subject] < 200
    assert info.state.subjects[FEEDBACK.subject] == 200


async def test_an_acknowledgement_that_does_not_come_holds_nothing_up(
    nats: Server, tmp_path: Path
) -> None:
    bus = await Bus.connect(BusSettings(url=nats.url), "test")
    journal = await bus.client.subscribe(USED.subject)
    await bus.client.flush()
    async with Outbox(bus, JournalSettings(ack_timeout=20), tmp_path / "gateway") as outbox:
        outbox.put(USED, row("first"), "first.1")
        first = await journal.next_msg(10)
        outbox.put(USED, row("second"), "second.1")
        second = await journal.next_msg(10)
        for message in (first, second):
            await message.respond(b"{}")
    await bus.close()
