"""Ctrl-C under `make run` shall reach us, and not `make`, which would report it as a failure."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def foreground() -> Iterator[None]:
    """Become the terminal's foreground process group if we only belong to it, as a shell does for
    what it starts; at the end it is given back. Without a terminal nothing changes."""
    group = os.getpgrp()
    if group == os.getpid() or not _in_front(group):
        yield
        return
    # Who stops us would leave `make`, and so the shell, waiting.
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    try:
        _give_terminal(os.getpgrp())
        yield
    finally:
        _give_terminal(group)


def _in_front(group: int) -> bool:
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == group
    except (OSError, ValueError):
        return False


def _give_terminal(group: int) -> None:
    """A terminal that has gone away needs no owner."""
    with contextlib.suppress(OSError):
        os.tcsetpgrp(sys.stdin.fileno(), group)
