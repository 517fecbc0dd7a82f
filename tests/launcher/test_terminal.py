"""`make run` at a real terminal, where Ctrl-C goes to everything in the foreground."""

import contextlib
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import REPOSITORY, clean_environment
from tests.support.servers import free_port

pytestmark = pytest.mark.slow
CTRL_C = b"\x03"


class Terminal:
    """A terminal with one program in it, as a shell would start it."""

    def __init__(self, argv: list[str]) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv],
            cwd=REPOSITORY,
            env=clean_environment(TERM="dumb"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def read(self) -> str:
        with contextlib.suppress(OSError):  # nothing more, or the end
            while piece := os.read(self._master, 65536):
                self.shown += piece.decode(errors="replace")
        return self.shown

    def wait_for(self, words: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.read():
            assert self.process.poll() is None and time.monotonic() < deadline, self.shown
            time.sleep(0.05)

    def ended(self, seconds: float = 30) -> int:
        deadline = time.monotonic() + seconds
        while (code := self.process.poll()) is None:
            assert time.monotonic() < deadline, self.read()
            self.read()
            time.sleep(0.05)
        self.read()
        return code


@contextlib.contextmanager
def make_run(folder: Path) -> Iterator[Terminal]:
    terminal = Terminal(["make", "run", f"PORT={free_port()}", f"ARGS=--data-dir {folder}"])
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.type(CTRL_C)
            terminal.ended()


def test_ctrl_c_ends_make_run_quietly_with_zero(tmp_path: Path) -> None:
    with make_run(tmp_path) as terminal:
        terminal.wait_for("Ctrl-C stops it")
        terminal.type(CTRL_C)
        assert terminal.ended() == 0
    after = terminal.shown.partition("Ctrl-C stops it")[2]
    assert "stopping: requests in hand are finished first" in after
    assert "make:" not in after and "Error" not in after


def test_a_second_ctrl_c_is_heard_too(tmp_path: Path) -> None:
    with make_run(tmp_path) as terminal:
        terminal.wait_for("Ctrl-C stops it")
        terminal.type(CTRL_C)
        terminal.wait_for("stopping:")
        terminal.type(CTRL_C)
        assert terminal.ended(10) == 0
