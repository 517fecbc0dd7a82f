import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.launcher import stores
from services.launcher.children import Child, Leash, Part, StartFailed

pytestmark = pytest.mark.anyio
Run = Callable[..., Awaitable[Child]]
Describe = Callable[[Path, str], tuple[Part, dict[str, str]]]

# A launcher with one child that itself has a child, as the gateway with its workers.
LAUNCHER = """
import asyncio, os
from services.launcher.children import Child, Leash, Part
async def yes(): return True
async def main():
    leash = Leash()
    part = Part(name="x", argv=["sh", "-c", "sleep 60 & echo $!; trap '' TERM; wait; sleep 60"],
                ready=yes, wave=0)
    child = Child(part, leash, os.open("/dev/null", 0), lambda _, line: print(line, flush=True))
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def part(script: str, ready: bool = True, log: Path | None = None) -> Part:
    async def is_ready() -> bool:
        return ready

    return Part(name="x", argv=["sh", "-c", script], ready=is_ready, wave=0, log=log)


@pytest.fixture
def leash() -> Iterator[Leash]:
    leash = Leash()
    yield leash
    leash.close()


@pytest.fixture
def run(leash: Leash, tmp_path: Path) -> Iterator[Run]:
    with (tmp_path / "lock").open("w") as lock:

        async def start(part: Part, lines: list[str] | None = None) -> Child:
            said = [] if lines is None else lines
            child = Child(part, leash, lock.fileno(), lambda _, *new: said.extend(new))
            await child.start()
            return child

        yield start


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    if state.exists():
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0


async def test_what_a_child_says_is_passed_on(run: Run) -> None:
    lines: list[str] = []
    child = await run(part("echo one; echo two >&2"), lines)
    assert await child.ended() == 0
    assert lines == ["one", "two"]


async def test_a_line_is_passed_on_whole_and_the_last_without_its_end(run: Run) -> None:
    lines: list[str] = []
    child = await run(part("printf one; sleep 0.1; printf ' two\n\nthree'"), lines)
    assert await child.ended() == 0
    assert lines == ["one two", "", "three"]


async def test_a_child_that_ends_at_start_is_reported_with_its_last_words(
    run: Run, tmp_path: Path
) -> None:
    child = await run(part("echo oh no; exit 3", ready=False, log=tmp_path / "x.log"))
    with pytest.raises(StartFailed, match="x could not start: oh no"):
        await child.wait_ready(5)


@pytest.mark.parametrize("describe", [stores.nats, stores.redis])
async def test_a_store_whose_port_was_taken_just_now_says_so(
    run: Run, tmp_path: Path, describe: Describe
) -> None:
    store, settings = describe(tmp_path, "a-password")
    port = urlsplit(next(iter(settings.values()))).port
    with socket.create_server(("127.0.0.1", port or 0)):
        child = await run(store)
        with pytest.raises(StartFailed, match="in use"):
            await child.wait_ready(10)


async def test_a_child_that_says_why_it_cannot_start_is_quoted(run: Run) -> None:
    script = "echo a; echo 'modelmuxer pii: no model: install it'; echo b; exit 78"
    child = await run(part(script, ready=False))
    with pytest.raises(StartFailed) as raised:
        await child.wait_ready(5)
    assert str(raised.value) == "x could not start: no model: install it"
    assert raised.value.explained


async def test_a_child_that_is_never_ready_is_reported(run: Run) -> None:
    child = await run(part("sleep 60", ready=False))
    with pytest.raises(StartFailed, match="not ready"):
        await child.wait_ready(0.1)
    await child.stop()


async def test_stop_asks_and_waits(run: Run) -> None:
    lines: list[str] = []
    child = await run(
        part("trap 'sleep 0.2; echo done; exit' TERM; echo up; while :; do sleep 0.05; done"), lines
    )
    while not lines:
        await asyncio.sleep(0.01)
    await child.stop()
    assert lines == ["up", "done"]


async def test_a_program_that_cannot_be_run_is_named(run: Run) -> None:
    async def ready() -> bool:
        return False

    broken = Part(name="x", argv=["/no/such/program"], ready=ready, wave=0)
    with pytest.raises(StartFailed, match="/no/such/program cannot be run"):
        await run(broken)


@pytest.mark.slow
async def test_a_killed_launcher_leaves_no_process_behind() -> None:
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout
    pids = [int(launcher.stdout.readline()) for _ in range(2)]
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert not [pid for pid in pids if alive(pid)]
