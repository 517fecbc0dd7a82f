"""`modelmuxer up` as a user starts it, for tests that speak to it from outside."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
DEVELOPMENT_KEY = "sk-test-claude-dev"
ADMIN_KEY = "sk-mm-admin-of-the-product"
SETTINGS = f'[keys.admin]\nkey = "{ADMIN_KEY}"\nadmin = true\n'


@dataclass(frozen=True)
class Product:
    """`folder` is where it was started; its log is `folder/log`."""

    url: str
    port: int
    folder: Path
    pid: int
    key: str = DEVELOPMENT_KEY

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def clean_environment(**more: str) -> dict[str, str]:
    """Nothing of the developer's own settings, keys or proxies."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SystemRoot")
    return {name: os.environ[name] for name in keep if name in os.environ} | more


@contextlib.contextmanager
def started(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Product]:
    """Start it in a folder of its own, with the `.env` and settings file that lie there."""
    port = free_port()
    argv = [sys.executable, "-P", "-m", "services", "up", "--port", str(port)]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            argv, cwd=folder, stdout=log, stderr=log, env=clean_environment(**(environment or {}))
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/ready", process, folder)
        yield Product(url=url, port=port, folder=folder, pid=process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _wait(url: str, process: "subprocess.Popen[bytes]", folder: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200 and "Try it" in (folder / "log").read_text():
                return
        time.sleep(0.05)
    raise TimeoutError(f"modelmuxer up is not ready: {(folder / 'log').read_text()[-3000:]}")
