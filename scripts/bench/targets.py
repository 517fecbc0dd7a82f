"""What is measured: straight to the mock, ModelMuxer with all its services, and LiteLLM."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.bodies import body

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".clients"
VERSION = {"anthropic-version": "2023-06-01", "content-type": "application/json"}
START_SECONDS = 90.0
KEYS = {"on": "sk-bench-masked-0000000001", "off": "sk-bench-plain-00000000002"}

# `auto` and masking are the defaults of a key; the budget makes every reservation real.
MODELMUXER = """\
data_dir = "{folder}/data"
[gateway]
port = {port}
[providers.anthropic]
api_key = "sk-ant-bench"
base_url = "http://127.0.0.1:{mock}"
[keys.masked]
key = "{on}"
[keys.plain]
key = "{off}"
routing = "respect"
pii = "off"
"""
LITELLM = """\
model_list:
  - model_name: claude-sonnet-5-5
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_base: http://127.0.0.1:{mock}
      api_key: sk-ant-bench
general_settings:
  master_key: sk-bench
litellm_settings:
  telemetry: false
"""


@dataclass
class Target:
    """`roots`: the processes whose trees do the work; `idle`: what they take without any;
    `fresh`: whether each request differs from the last."""

    name: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)
    roots: list[int] = field(default_factory=list)
    idle: float = 0.0
    fresh: bool = True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mock(folder: Path) -> Iterator[Target]:
    port = free_port()
    argv = [sys.executable, "-m", "scripts.bench.mock", str(port)]
    with running(argv, folder / "mock.log") as child:
        wait(port, child)
        yield Target("direct", port, VERSION, [child.pid])


@contextlib.contextmanager
def modelmuxer(upstream: int, folder: Path) -> Iterator[list[Target]]:
    """Everything that `make run` starts, as it starts it; two keys, three rows."""
    port = free_port()
    config = folder / "modelmuxer.toml"
    config.write_text(MODELMUXER.format(folder=folder, port=port, mock=upstream, **KEYS))
    argv = [sys.executable, "-m", "services", "up", "--config", str(config)]
    with running(argv, folder / "modelmuxer.log") as child:
        wait(port, child, "/ready")
        for key in KEYS.values():
            _answering(port, key)
            _budget(port, key)
        masked, plain = ({**VERSION, "x-api-key": KEYS[kind]} for kind in ("on", "off"))
        yield [
            Target("ModelMuxer", port, masked, [child.pid]),
            Target("  the same body again", port, masked, [child.pid], fresh=False),
            Target("  respect, unmasked", port, plain, [child.pid]),
        ]


@contextlib.contextmanager
def litellm(upstream: int, folder: Path) -> Iterator[list[Target]]:
    """LiteLLM's proxy with one worker, without a database, if it is installed."""
    program = PEERS / "litellm" / "bin" / "litellm"
    if not program.exists():
        yield []
        return
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(mock=upstream))
    argv = [str(program), "--config", str(config), "--port", str(port), "--num_workers", "1"]
    with running(argv, folder / "litellm.log", LITELLM_LOCAL_MODEL_COST_MAP="True") as child:
        wait(port, child, "/health/liveliness")
        headers = VERSION | {"authorization": "Bearer sk-bench"}
        yield [Target("LiteLLM 1.91.1", port, headers, [child.pid])]


@contextlib.contextmanager
def running(argv: list[str], log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A child in a session of its own, ended with all it started."""
    keep = {n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ}
    with log.open("wb") as out:
        child = subprocess.Popen(
            argv, cwd=ROOT, env=keep | environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield child
    except RuntimeError as error:
        error.add_note(log.read_text(errors="replace")[-2000:])
        raise
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait(port: int, child: "subprocess.Popen[bytes]", path: str = "/") -> None:
    """Until the path answers. Raises RuntimeError if the child ends first."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"{child.args!r} ended with {child.returncode}")
        with contextlib.suppress(OSError):
            if path == "/":
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                return
        time.sleep(0.1)
    raise RuntimeError(f"{child.args!r} does not answer on {port}{path}")


def _answering(port: int, key: str) -> None:
    """Until a whole request passes: readiness of one service is not that of all."""
    deadline = time.monotonic() + START_SECONDS
    headers = VERSION | {"x-api-key": key}
    while True:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/messages", body("1k"), headers
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer: {error}") from None
            time.sleep(0.2)


def _budget(port: int, key: str) -> None:
    body = b'{"budget_type": "monthly", "budget_limit": 1000000}'
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/analytics/budgets",
        body,
        {"x-api-key": key, "content-type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()
