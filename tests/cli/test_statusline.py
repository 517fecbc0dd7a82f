"""The line under Claude Code: right, quick, and never in the way."""

import json
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.cli import statusline
from tests.support.product import ADMIN_KEY, Product
from tests.support.servers import free_port

SCRIPT = str(Path(statusline.__file__).resolve())
SAID = {"session_id": "s-1", "model": {"id": "claude-opus-4-8", "display_name": "Opus"}}


@pytest.fixture(scope="module")
def mine(product: Product) -> Product:
    """The product with a key that no other test spends from."""
    answer = post(product, "/v1/admin/keys", {"name": "statusline"}, ADMIN_KEY)
    return replace(product, key=answer["secret"])


def post(product: Product, path: str, body: Any, key: str = "", **headers: str) -> Any:
    headers |= {"x-api-key": key or product.key}
    request = urllib.request.Request(product.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def draw(home: Path, url: str, said: object = SAID, key: str = "sk-test-claude-dev") -> str:
    environment = {"HOME": str(home), "ANTHROPIC_BASE_URL": url, "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT],
        input=json.dumps(said).encode(),
        env=environment | {"ANTHROPIC_AUTH_TOKEN": key},
        capture_output=True,
        timeout=10,
        check=True,
    )
    assert done.stderr == b""
    return done.stdout.decode()


def draw_until(home: Path, product: Product, words: str, seconds: float = 10.0) -> str:
    """As Claude Code does, again and again."""
    deadline = time.monotonic() + seconds
    while words not in (drawn := draw(home, product.url, key=product.key)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return drawn


def ask(product: Product, run: str) -> None:
    message = {"role": "user", "content": "What is the capital of France?"}
    body = {"model": "claude-opus-4-8", "max_tokens": 50, "messages": [message]}
    post(product, "/v1/messages", body, **{"x-claude-code-session-id": run})


def test_it_tells_model_reason_cost_saving_and_budget(mine: Product, home: Path) -> None:
    post(mine, "/v1/analytics/budgets", {"budget_type": "daily", "budget_limit": 5})
    ask(mine, "s-1")
    ask(mine, "s-1")
    drawn = draw_until(home, mine, " · saved ")
    parts = drawn.strip().split(" · ")
    assert parts[0].startswith("Opus → claude-haiku") and parts[1] == "simple query"
    assert parts[2].startswith("$0.0000") and parts[3].startswith("saved $0.000")
    assert parts[4].startswith("$5.00 left of key daily")


def test_it_is_quick(mine: Product, home: Path) -> None:
    """Measured as processor time, since other work shares this machine; wall time is printed."""
    ask(mine, "s-1")
    draw_until(home, mine, "→")
    before, walls = resource.getrusage(resource.RUSAGE_CHILDREN), []
    for _ in range(10):
        began = time.perf_counter()
        draw(home, mine.url, key=mine.key)
        walls.append(time.perf_counter() - began)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 10
    sys.stdout.write(f"median {statistics.median(walls) * 1000:.0f} ms, {used * 1000:.0f} ms CPU\n")
    assert used < 0.050


def test_a_gateway_that_is_away_or_slow_does_not_hold_it_up(home: Path) -> None:
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        began = time.perf_counter()
        drawn = draw(home, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert time.perf_counter() - began < 1.0
    assert drawn == "Opus · ModelMuxer\n"
    assert draw(home, f"http://127.0.0.1:{free_port()}").startswith("Opus · ModelMuxer")


def test_what_was_known_stays_while_the_gateway_is_away(mine: Product, home: Path) -> None:
    ask(mine, "s-1")
    assert "→" in draw_until(home, mine, "→")
    assert "→ claude-haiku" in draw(home, f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("said", [{}, [], {"model": None}, {"session_id": "../../etc", "model": 3}])
def test_whatever_claude_code_says_it_draws_a_line(said: object, home: Path) -> None:
    assert draw(home, f"http://127.0.0.1:{free_port()}", said).count("\n") == 1


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        ("0.000000", "$0"), ("0.000008", "$0.000008"), ("0.002134", "$0.0021"),
        ("0.5", "$0.5"), ("1.234", "$1.23"), ("12", "$12.00"), ("-0.3", "-$0.3"),
    ],
)  # fmt: skip
def test_money_has_the_digits_that_matter(usd: str, shown: str) -> None:
    assert statusline.money(usd) == shown


def test_a_tight_budget_is_red() -> None:
    known = {"model": "m", "left": "0.1", "percent": "98", "window": "key daily"}
    assert f"{statusline.RED}$0.1 left" in statusline.line({"model": "Opus"}, known, True)


def test_the_command_is_the_same_line(home: Path) -> None:
    argv = [sys.executable, "-P", "-m", "services", "statusline"]
    done = subprocess.run(
        argv, input="{}", capture_output=True, text=True, timeout=10, check=True,
        cwd=Path(SCRIPT).parents[2],
    )  # fmt: skip
    assert done.stdout.startswith("? ")
    assert (
        "usage"
        in subprocess.run(
            [*argv, "--help"],
            capture_output=True,
            text=True,
            cwd=Path(SCRIPT).parents[2],
            check=True,
        ).stdout
    )
