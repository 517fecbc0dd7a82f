"""A child process: started, watched, stopped, and never left behind.

Each child leads a process group of its own, so that Ctrl-C reaches the launcher alone and a
kill reaches the child's workers too. If the launcher is killed, the leash (a shell that waits
for the end of a pipe) stops every group; on Linux the kernel signals the children besides.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, field

from libs.common.orphans import end_with_parent

Ready = Callable[[], Awaitable[bool]]
POLL_SECONDS = 0.05
READ, LONGEST = 65_536, 65_536

# Reads lines of process ids, the last one counts; at the end of the pipe those groups stop.
LEASH = """
while read -r line; do pids=$line; done
for pid in $pids; do kill -s TERM -- -$pid 2>/dev/null; done
for _ in 1 2 3 4 5 6 7 8 9 10; do
  left=
  for pid in $pids; do kill -s 0 -- -$pid 2>/dev/null && left=1; done
  [ -z "$left" ] && exit
  sleep 0.5
done
for pid in $pids; do kill -s KILL -- -$pid 2>/dev/null; done
"""


# How a child of ours begins the one line about a fault that it knows.
FAULT = re.compile(r"modelmuxer( \w+)?: ")


class StartFailed(Exception):
    """A child ended, or did not become ready in time: a line for the user. `explained`: the
    child itself has said why, and nothing else it said matters."""

    def __init__(self, line: str, explained: bool = False) -> None:
        super().__init__(line)
        self.explained = explained


class Part(Struct, frozen=True, kw_only=True):
    """A program to run. Output goes to `log`, or, without one, to the terminal. Parts of a
    lower `wave` stop first."""

    name: str
    argv: list[str]
    ready: Ready
    wave: int
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None


class Leash:
    """Stops our children should we die without doing so ourselves."""

    def __init__(self) -> None:
        self._pids: set[int] = set()
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", LEASH],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def hold(self, pid: int) -> None:
        self._pids.add(pid)
        self._tell()

    def drop(self, pid: int) -> None:
        self._pids.discard(pid)
        self._tell()

    def close(self) -> None:
        assert self._shell.stdin
        with contextlib.suppress(OSError):
            self._shell.stdin.close()
        self._shell.wait(15)

    def _tell(self) -> None:
        assert self._shell.stdin
        with contextlib.suppress(OSError):
            self._shell.stdin.write((" ".join(map(str, self._pids)) + "\n").encode())
            self._shell.stdin.flush()


class Child:
    """One run after another of a part. `say` takes its name and lines of its output."""

    def __init__(self, part: Part, leash: Leash, lock: int, say: Callable[..., None]):
        self.part = part
        self._leash, self._lock, self._say = leash, lock, say
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._fault = ""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; ready comes later."""
        # A pipe of our own: asyncio's would keep wait() waiting for grandchildren that hold it.
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb") as pipe, self._log() as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self.part.argv,
                    env={**os.environ, **self.part.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log or pipe,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[self._lock],
                    preexec_fn=end_with_parent(),
                )
            except OSError as error:
                os.close(read_end)
                raise StartFailed(f"{self.part.argv[0]} cannot be run: {error.strerror}") from None
        self._leash.hold(self._process.pid)
        self._reader = asyncio.create_task(self._pass_on(read_end))

    async def wait_ready(self, seconds: float) -> None:
        """Raises StartFailed if it ends, or is not ready after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await self.part.ready():
            if not self.running:
                words = f"{self.part.name} could not start{await self._last_words()}"
                raise StartFailed(words, explained=bool(self._fault))
            if asyncio.get_running_loop().time() > deadline:
                raise StartFailed(f"{self.part.name} was not ready after {seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    async def ended(self) -> int:
        """Wait for its end; returns the exit code (negative: the signal)."""
        assert self._process
        code = await self._process.wait()
        # Workers that outlived their leader would hold its port.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._leash.drop(self._process.pid)
        if self._reader:
            # A grandchild may hold the pipe open; its last words are not worth a hang.
            await asyncio.wait({self._reader}, timeout=0.5)
            self._reader.cancel()
        return code

    async def stop(self) -> None:
        """Ask it to finish and wait until it has."""
        if self.running:
            self._signal(signal.SIGTERM)
            await self.ended()

    def kill(self) -> None:
        if self.running:
            self._signal(signal.SIGKILL)

    def _signal(self, sign: int) -> None:
        """SIGTERM to the leader, which stops its own workers; SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, sign) if sign == signal.SIGKILL else os.kill(self.pid, sign)

    def _log(self) -> AbstractContextManager[BinaryIO | None]:
        return self.part.log.open("ab") if self.part.log else contextlib.nullcontext()

    async def _pass_on(self, read_end: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb")
        )
        try:
            async for lines in _lines(stream):
                faults = [line for line in lines if FAULT.match(line)]
                self._fault = FAULT.sub("", faults[-1], 1) if faults else self._fault
                self._say(self.part.name, *lines)
        finally:
            transport.close()

    async def _last_words(self) -> str:
        await self.ended()
        if self._fault:
            return f": {self._fault}"
        if not self.part.log or not self.part.log.exists():
            return ""
        lines = self.part.log.read_text(errors="replace").strip().splitlines()[-2:]
        # Redis names the port's fault in the line before its last.
        why = next((line for line in lines if "in use" in line), "".join(lines[-1:]))
        return f": {why.strip()} (more in {self.part.log})" if why else ""


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[list[str]]:
    """Lines as they come, those together that came together; a very long one in pieces."""
    rest = b""
    while data := await stream.read(READ):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > LONGEST:
            lines, rest = [*lines, rest], b""
        if lines:
            yield [line.decode(errors="replace").rstrip() for line in lines]
    if rest:
        yield [rest.decode(errors="replace").rstrip()]
