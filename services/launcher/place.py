"""The data directory: its version, its lock and its secrets.

The lock is an advisory one that children inherit: it is gone when the last of them is, so a
killed launcher never leaves a stale lock, and a new one waits for the old children to end.
"""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from libs.common.settings.load import ConfigError

VERSION = 1
LOCK_SECONDS = 12.0
STORES = "stores.json"


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[int]:
    """Create the data directory if need be and hold it; yields the lock's file descriptor."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot use the data directory {folder}: {error.strerror}; "
            "give another one with --data-dir"
        ) from None
    try:
        _lock(lock, folder)
        _check_version(folder)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield lock
    finally:
        os.close(lock)


def _lock(lock: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode(errors="replace").strip()
        # The owner is alive: someone else's. It is dead: its children are about to end.
        if _alive(owner) or time.monotonic() > deadline:
            raise ConfigError(
                f"{folder} is in use by another modelmuxer (process {owner or '?'}); "
                "stop it, or give another --data-dir"
            )
        time.sleep(0.1)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _check_version(folder: Path) -> None:
    file = folder / "version"
    if not file.exists():
        file.write_text(f"{VERSION}\n")
        return
    found = file.read_text().strip()
    if found != str(VERSION):
        raise ConfigError(
            f"{folder} was written by another release (data version {found}, this is {VERSION}); "
            "use that release, or give another --data-dir"
        )


def tell_stores(folder: Path, environment: dict[str, str]) -> None:
    """Let commands of this machine find the stores of the running launcher."""
    file = folder / STORES
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(environment, out)


def running_stores(folder: Path) -> dict[str, str]:
    """Settings that lead to the stores of a launcher that runs now, else none."""
    try:
        with (folder / "lock").open() as lock:
            if not _alive(lock.read().strip()):
                return {}
        found = json.loads((folder / STORES).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()}


def password(folder: Path) -> str:
    """What the local stores ask of their clients, made once: loopback is open to every user."""
    file = folder / "password"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_hex(16))
    return file.read_text()
