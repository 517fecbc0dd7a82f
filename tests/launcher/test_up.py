"""The whole product as a user starts it: `modelmuxer up`, the shipped defaults, no keys."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.launcher.banner import DEVELOPMENT_KEY, PROMPTS
from tests.launcher.test_children import alive
from tests.support.servers import free_port

pytestmark = pytest.mark.slow
README = (Path(__file__).parents[2] / "README.md").read_text()
SAMPLE = README.split("```text\n")[1].split("```")[0]
PROVIDER_NAMES = ("ANTHROPIC", "OPENAI", "GEMINI", "GOOGLE", "MISTRAL", "API_KEYS", "MODELMUXER")


class Launched:
    """One `modelmuxer up` in a folder, with its terminal in a file."""

    def __init__(self, folder: Path, port: int, *before: str) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.log = folder / "terminal"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(PROVIDER_NAMES)}
        with self.log.open("w") as terminal:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-P", "-m", "services", "up", "--port", str(port)],
                cwd=folder,
                env=environment,
                stdout=terminal,
                stderr=terminal,
            )

    def wait_for(self, words: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while words not in (said := self.log.read_text()):
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return said

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"x-api-key": DEVELOPMENT_KEY, "content-type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def ask(self, text: str) -> Any:
        message = {"role": "user", "content": text}
        body = {"model": "modelmuxer-auto", "max_tokens": 300, "messages": [message]}
        return self.call("/v1/messages", body)

    def children(self) -> list[int]:
        argv = ["ps", "-eo", "pid=,ppid="]
        rows = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        pairs = [tuple(map(int, row.split())) for row in rows]
        return [pid for pid, parent in pairs if parent == self.process.pid]

    def stop(self, sign: int = signal.SIGINT) -> int:
        self.process.send_signal(sign)
        return self.process.wait(30)


@contextlib.contextmanager
def launched(folder: Path, port: int = 0, *before: str) -> Iterator[Launched]:
    up = Launched(folder, port or free_port(), *before)
    try:
        up.wait_for("Ctrl-C stops it")
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


def test_three_prompts_reach_three_models_and_each_is_told_in_one_line(tmp_path: Path) -> None:
    with launched(tmp_path) as up:
        models = {up.ask(prompt)["model"] for prompt in PROMPTS}
    lines = [line for line in up.log.read_text().splitlines() if "modelmuxer-auto → " in line]
    assert len(models) == 3
    assert len(lines) == 3
    assert all("$" in line and "saved" in line for line in lines)
    assert list(map(shape, lines)) == list(map(shape, SAMPLE.splitlines()))


def shape(line: str) -> str:
    """A line without its figures; what is slow here may take seconds."""
    return re.sub(r"\d[\d.:]*", "0", re.sub(r"[\d.]+ m?s\b", "0 s", line))


def test_ctrl_c_stops_everything_and_leaves_with_zero(tmp_path: Path) -> None:
    with launched(tmp_path) as up:
        children = up.children()
        assert up.stop() == 0
    assert up.log.read_text().endswith("\nstopped; costs and budgets stay in .modelmuxer\n")
    assert len(children) >= 7
    assert not [pid for pid in children if alive(pid)]


def test_what_nohup_starts_outlives_its_terminal(tmp_path: Path) -> None:
    with launched(tmp_path, 0, "nohup") as up:
        up.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert up.call("/health") and "stopping" not in up.log.read_text()


def test_what_is_wrong_with_a_provider_is_told_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"ANTHROPIC_API_KEY={DEVELOPMENT_KEY}\n")
    (tmp_path / "modelmuxer.toml").write_text("[providers.anthropc]\n")
    with launched(tmp_path) as up:
        said = up.log.read_text()
    assert said.count("providers.anthropic: its credential") == 1
    assert said.count("did you mean `anthropic`?") == 1


def may_be_scheduled_in_batches() -> bool:
    """Linux can; some sandboxes do not allow it."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"
    return not subprocess.run([sys.executable, "-c", code], capture_output=True).returncode


@pytest.mark.skipif(not may_be_scheduled_in_batches(), reason="no batches are allowed here")
def test_no_part_interrupts_another_when_it_is_woken(tmp_path: Path) -> None:
    with launched(tmp_path) as up:
        threads = [int(task) for pid in up.children() for task in os.listdir(f"/proc/{pid}/task")]
        policies = {os.sched_getscheduler(thread) for thread in (up.process.pid, *threads)}
        assert len(up.children()) == 8 and policies == {os.SCHED_BATCH}


def test_a_part_that_cannot_start_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "modelmuxer.toml").write_text('[pii]\nmodel = "nowhere"\n')
    up = Launched(tmp_path, free_port())
    assert up.process.wait(60) == 78
    starting, line = up.log.read_text().splitlines()
    assert starting.startswith("starting ledger")
    assert line.startswith("modelmuxer: pii could not start: pii.model: nowhere is neither")
    assert line.endswith("install it, or leave pii.model empty")


def test_a_restart_finds_yesterdays_costs_and_budgets(tmp_path: Path) -> None:
    budget = {"budget_type": "daily", "budget_limit": 5.0, "alert_thresholds": [50, 80, 95]}
    with launched(tmp_path) as up:
        up.call("/v1/analytics/budgets", budget)
        up.ask(PROMPTS[1])
        up.stop()
    with launched(tmp_path) as up:
        budgets = up.call("/v1/analytics/budgets")["budgets"]
        costs = up.call("/v1/analytics/costs?days=7")
    assert [float(b["limit"]) for b in budgets] == [5.0]
    assert costs["requests"] == 1


def test_a_copy_of_the_data_directory_is_a_backup(tmp_path: Path) -> None:
    (before := tmp_path / "before").mkdir()
    with launched(before) as up:
        up.call("/v1/analytics/budgets", {"budget_type": "daily", "budget_limit": 5.0})
        up.stop()
    source, copy = before / ".modelmuxer", tmp_path / "after" / ".modelmuxer"
    shutil.copytree(source, copy, symlinks=True)
    with launched(tmp_path / "after") as up:
        assert [float(b["limit"]) for b in up.call("/v1/analytics/budgets")["budgets"]] == [5.0]


def test_a_killed_launcher_leaves_no_orphan_and_does_not_block_the_next(tmp_path: Path) -> None:
    port = free_port()
    with launched(tmp_path, port) as up:
        children = up.children()
        up.stop(signal.SIGKILL)
    with launched(tmp_path, port) as again:
        assert not [pid for pid in children if alive(pid)]
        assert again.ask(PROMPTS[0])["content"]


@pytest.mark.parametrize("name", ["ledger", "analytics", "nats", "redis"])
def test_a_part_that_dies_is_started_again_and_nothing_is_lost(tmp_path: Path, name: str) -> None:
    with launched(tmp_path) as up:
        up.ask(PROMPTS[1])
        os.kill(victim(up, name), signal.SIGKILL)
        up.wait_for("starting it again")
        # An event that the victim had in hand is delivered again after 30 s.
        eventually(lambda: up.call("/v1/analytics/costs?days=7")["requests"] == 1, 60)
        eventually(lambda: up.ask(PROMPTS[0])["content"], 20)


def victim(up: Launched, name: str) -> int:
    for pid in up.children():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if f"services {name}" in command or f"{name}-server" in command:
            return pid
    raise AssertionError(f"no child {name}")


def eventually(holds: Callable[[], Any], seconds: float) -> None:
    """While a part is away, the answer may be an error; in the end it must be true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if holds():
                return
        time.sleep(0.2)
    raise AssertionError("it never was")
