"""A program in a pseudo-terminal, driven as a person drives it."""

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path


class Terminal:
    """A program in a pseudo-terminal: what a person types and sees."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path | None = None) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, cwd=cwd,
            preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        """Nobody types faster than this; a program just after its prompt may miss a Ctrl-C."""
        time.sleep(0.15)
        os.write(self._master, text.encode())

    def expect(self, pattern: str, seconds: float = 15.0) -> str:
        """Read on until the pattern comes; returns what came up to its end."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            ready = self.read(deadline - time.monotonic())
            assert ready, f"{pattern!r} did not come; seen: {self.seen!r}"
        read, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return read

    def read(self, seconds: float) -> bool:
        """Read what comes within a time; whether something did."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, seconds))
        if ready:
            with contextlib.suppress(OSError):
                self.seen += os.read(self._master, 65536).decode(errors="replace")
        return bool(ready)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        os.close(self._master)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
