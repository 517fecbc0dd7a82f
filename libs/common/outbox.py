"""Tell the journal without waiting for it: a bounded window of acknowledgements, then a file.

While one message is on its way, the events of a dense kind that happen meanwhile are gathered
for the next: alone an event goes at once, under load each costs a part of a message.

`put` never blocks and never fails, so it is safe in the `finally` of a cancelled request. What
JetStream does not acknowledge in time is appended to a spool file and sent again when it is
back. Each process has a file of its own, and a lock on it while it lives, so that processes of
several containers may share a folder; what one that died has left, the next of its service
sends. A pod whose disk dies with it while JetStream is away loses its spool: see docs.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import uuid
from collections import deque
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import Event
from libs.common.settings.journal import JournalSettings

log = logging.getLogger(__name__)
Q = TypeVar("Q")
MESSAGE_ID = "Nats-Msg-Id"
AGAIN_SECONDS = 1.0
# So many events at most travel together, and as many wait for a message that is on its way, for
# so long: an acknowledgement that does not come holds nothing up.
MOST, STALLED_SECONDS = 16, 0.05


class Letter(msgspec.Struct, array_like=True):
    subject: str
    id: str
    data: bytes
    dense: bool = False


class Outbox:
    """Its file is `<spool>-<a name of its own>`. Open it with `async with`; leaving it flushes
    what it can."""

    def __init__(self, bus: Bus, settings: JournalSettings, spool: Path) -> None:
        self._bus, self._settings = bus, settings
        self._family = spool
        self._spool = spool.with_name(f"{spool.name}-{uuid.uuid4().hex}")
        self._lock: BinaryIO | None = None
        self._queue: deque[Letter] = deque()
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._sent_at = 0.0
        self._look = True  # whether something may be in the spool

    @property
    def waiting(self) -> int:
        """Events that wait, and messages not yet acknowledged."""
        return len(self._queue) + len(self._sending)

    @property
    def spooled(self) -> int:
        """Bytes that wait on disk."""
        return _size(self._spool) + _size(_beside(self._spool, "sending"))

    def put(self, event: Event[Q], body: Q, id: str) -> None:
        """Say that it happened. Consumers count the same `id` once."""
        self._queue.append(Letter(event.subject, id, msgspec.json.encode(body), event.dense))
        if self._free():
            self._wake.set()

    def _free(self) -> bool:
        """Whether the next message may go: nothing is on its way, or nothing is to be gained by
        waiting for it."""
        return (
            not self._sending
            or len(self._queue) >= MOST
            or not self._queue[0].dense
            or not self._bus.connected
            or self._now() - self._sent_at >= STALLED_SECONDS
        )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def __aenter__(self) -> "Outbox":
        self._spool.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._spool)
        self._adopt()
        self._task = asyncio.create_task(self._run(), name="outbox")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        if self._task:
            await self._task
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._settings.ack_timeout + 1)
        _beside(self._spool, "lock").unlink(missing_ok=True)
        if self._lock:
            self._lock.close()

    async def _run(self) -> None:
        while not self._closing:
            self._wake.clear()  # before anything is looked at: what comes meanwhile wakes again
            if self._look and self._bus.connected:
                await self._empty_spool()
            self._send_queue()
            await self._woken()
        self._send_queue()

    async def _woken(self) -> None:
        """Until there is something to do, or it is time to look at what waits. A timer of our
        own: `wait_for` makes a task for every message."""
        loop, timer = asyncio.get_running_loop(), None
        busy = self._queue or self._sending  # what comes now may have to wait
        if busy or self._look:
            seconds = STALLED_SECONDS if busy else AGAIN_SECONDS
            timer = loop.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer:
                timer.cancel()

    def _send_queue(self) -> None:
        while self._queue and (self._closing or self._free()):
            letter = self._next()
            if not self._bus.connected or len(self._sending) >= self._settings.window:
                self._keep(letter)
                continue
            self._sent_at = self._now()
            task = asyncio.ensure_future(self._send(letter))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _next(self) -> Letter:
        """The oldest letter, with those behind it that may travel with it."""
        first = self._queue.popleft()
        some = [first]
        while first.dense and self._queue and len(some) < MOST:
            if self._queue[0].subject != first.subject:
                break
            some.append(self._queue.popleft())
        return first if len(some) == 1 else _together(some)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if self._queue:
            self._wake.set()

    async def _send(self, letter: Letter) -> None:
        if not await self._acknowledged(letter):
            self._keep(letter)

    async def _acknowledged(self, letter: Letter) -> bool:
        try:
            reply = await self._bus.replies.request(
                letter.subject,
                letter.data,
                self._settings.ack_timeout,
                {MESSAGE_ID: letter.id},
            )
        except LOST as error:
            log.warning("the journal did not take %s: %s", letter.id, error)
            return False
        return b'"error"' not in reply.data

    def _keep(self, letter: Letter) -> None:
        self._look = True
        self._wake.set()
        try:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            with self._spool.open("ab") as file:
                file.write(msgspec.json.encode(letter) + b"\n")
        except OSError as error:
            log.error("%s is lost: neither journal nor spool took it: %s", letter.id, error)

    def _adopt(self) -> None:
        """Take over what those of our service that have ended did not get rid of."""
        files = self._family.parent.glob(f"{self._family.name}-*")
        for name in sorted({file.name.partition(".")[0] for file in files} - {self._spool.name}):
            theirs = self._family.with_name(name)
            if lock := _locked(theirs):
                with lock:
                    self._take_over(theirs)

    def _take_over(self, theirs: Path) -> None:
        for file in (_beside(theirs, "adopted"), _beside(theirs, "sending"), theirs):
            with contextlib.suppress(FileNotFoundError):
                left = file.read_bytes()
                with self._spool.open("ab") as own:
                    own.write(left + b"\n")  # its last line may be cut
                file.unlink()
        _beside(theirs, "lock").unlink(missing_ok=True)

    async def _empty_spool(self) -> None:
        try:
            if self.spooled:
                await self._resend()
            self._look = bool(self.spooled)
        except OSError as error:  # a full disk, or one that another process shares
            log.error("the spool cannot be sent now: %s", error)

    async def _resend(self) -> None:
        """Send the spool again, in order; what is not taken stays."""
        taken = _beside(self._spool, "sending")
        if not taken.exists():
            self._spool.rename(taken)
        lines = taken.read_bytes().splitlines()
        for number, line in enumerate(lines):
            try:
                letter = msgspec.json.decode(line, type=Letter)
            except msgspec.MsgspecError:
                continue  # a line cut by a crash: its event was never promised
            if self._closing or not await self._acknowledged(letter):
                with self._spool.open("ab") as file:
                    file.write(b"\n".join(lines[number:]) + b"\n")
                taken.unlink()  # last: told twice is once to the journal
                return
        taken.unlink()
        log.info("sent %d spooled events", len(lines))


def _together(letters: list[Letter]) -> Letter:
    """One letter of several. Told again, the same ones have the same id, and no others."""
    ids = "\0".join(each.id for each in letters).encode("utf-8", "surrogatepass")
    id = hashlib.blake2b(ids, digest_size=16).hexdigest()
    data = b"\n".join(each.data for each in letters)
    return Letter(letters[0].subject, id, data, dense=True)


def _beside(spool: Path, what: str) -> Path:
    return spool.with_name(f"{spool.name}.{what}")


def _locked(spool: Path) -> BinaryIO | None:
    """The lock of whoever writes there, until it is closed or its process ends; None if that one
    lives, or if the disk knows no locks."""
    file = _beside(spool, "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
