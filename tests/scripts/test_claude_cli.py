"""scripts/claude-cli.py as a user runs it: one question, a pipe, and a terminal."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.proxy import Website, serving
from tests.scripts.terminal import Terminal
from tests.support.product import Product
from tests.support.servers import free_port

SCRIPT = Path(__file__).parents[2] / "scripts" / "claude-cli.py"
# Without site-packages: nothing but the standard library is there.
ARGV = [sys.executable, "-I", "-S", str(SCRIPT)]
CAPITAL = "The capital of France is Paris."


def environment(home: Path, product: Product | None, **more: str) -> dict[str, str]:
    url = {"ANTHROPIC_BASE_URL": product.url} if product else {}
    return {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"} | url | more


def ask(
    home: Path, product: Product | None, *words: str, stdin: str | None = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [*ARGV, *words],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(home, product, **more),
        **given,  # type: ignore[call-overload]
    )


def test_one_question_prints_the_answer_and_where_it_came_from(
    tmp_path: Path, product: Product
) -> None:
    done = ask(tmp_path, product, "-m", "What is the capital of France?")
    assert (done.returncode, done.stdout) == (0, CAPITAL + "\n")
    assert re.fullmatch(
        r"→ claude-haiku-\S+ · simple query.* · \$0\.0\d+ · saved .*\n", done.stderr
    )


def test_json_has_model_reason_and_the_booked_cost(tmp_path: Path, product: Product) -> None:
    words = ("-m", "What is the capital of France?", "--model", "claude-3-5-sonnet-20241022")
    found = json.loads(ask(tmp_path, product, *words, "--json").stdout)
    assert found["text"] == CAPITAL and found["model"].startswith("claude-haiku")
    assert found["reason"] and float(found["cost_usd"]) > 0 and found["stop_reason"] == "end_turn"


def test_a_pipe_is_the_question_or_what_the_question_is_about(
    tmp_path: Path, product: Product
) -> None:
    assert ask(tmp_path, product, "-q", stdin="the capital of France?").stdout == CAPITAL + "\n"
    both = ask(tmp_path, product, "-q", "-m", "Repeat:", stdin="blue whales")
    assert "Repeat: blue whales" in both.stdout and both.stderr == ""


@pytest.mark.parametrize(
    "names", ["ANTHROPIC_API_URL ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL ANTHROPIC_AUTH_TOKEN"]
)
def test_it_reads_all_four_names(names: str, tmp_path: Path, product: Product) -> None:
    address, key = names.split()
    more = {address: f"{product.url}/v1/", key: product.key}
    assert ask(tmp_path, None, "-q", "-m", "capital of France", **more).stdout == CAPITAL + "\n"


def test_a_refusal_is_one_line_and_an_exit_code(tmp_path: Path, product: Product) -> None:
    wrong = ask(tmp_path, product, "-m", "hi", "--key", "nope")
    assert wrong.returncode == 1 and wrong.stderr.startswith("claude-cli: 401: this key is not")
    nobody = ask(tmp_path, None, "-m", "hi", "--url", f"http://127.0.0.1:{free_port()}")
    assert nobody.returncode == 1 and "is `modelmuxer up` running?" in nobody.stderr
    with serving(Website) as url:
        page = ask(tmp_path, None, "-m", "hi", "--url", url)
    assert page.returncode == 1 and page.stderr.count("\n") == 1
    assert ask(tmp_path, product, "-m", "").returncode == 2
    assert ask(tmp_path, product, "-m", "x", "--url", "nonsense").returncode == 1


@pytest.fixture
def terminal(tmp_path: Path, product: Product) -> Iterator[Terminal]:
    opened = Terminal(ARGV, environment(tmp_path, product, NO_COLOR="1"))
    try:
        opened.expect(r"/help lists the commands\r\n.*> ")
        yield opened
    finally:
        opened.close()


def cost_of_session(terminal: Terminal) -> str:
    """What /cost says as soon as something is booked."""
    for _ in range(30):
        terminal.type("/cost\n")
        said = terminal.expect(r"(for 1 requests, saved|nothing is booked).*\r\n")
        if "saved" in said:
            break
    return said


def test_a_conversation_in_a_terminal(terminal: Terminal) -> None:
    terminal.type("What is the capital of France?\n")
    assert CAPITAL in terminal.expect(r"→ claude-haiku.*\r\n")
    assert "this session: $0.0" in cost_of_session(terminal)
    terminal.type("/model claude-opus-4-8\n")
    terminal.expect("model: claude-opus-4-8")
    terminal.type("/clear\n/help\n")
    terminal.expect("a new conversation")
    terminal.expect("Ctrl-C stops the answer, not the program")
    terminal.type("/nonsense\n")
    terminal.expect(r"no such command: /nonsense[\s\S]*> ")
    terminal.type("\x04")
    assert terminal.process.wait(5) == 0


def test_several_lines_are_one_turn(terminal: Terminal) -> None:
    terminal.type('"""\nred\ngreen\n"""\n')
    assert "You wrote: red green" in terminal.expect(r"→ .*\r\n")
    terminal.type("blue \\\nyellow\n")
    assert "You wrote: blue yellow" in terminal.expect(r"→ .*\r\n")


def test_ctrl_c_stops_the_answer_not_the_program(terminal: Terminal) -> None:
    terminal.type("Repeat: " + "one two three " * 150 + "\n")
    terminal.expect("You wrote: ")
    terminal.type("\x03")
    assert "stopped" in terminal.expect(r"→ .*\r\n")
    terminal.type("What is the capital of France?\n")
    assert CAPITAL in terminal.expect(r"→ .*\r\n.*> ")
    terminal.type("\x03")
    terminal.expect("Ctrl-D leaves")
    terminal.type("/quit\n")
    assert terminal.process.wait(5) == 0


def test_a_refused_turn_leaves_the_conversation_usable(terminal: Terminal) -> None:
    terminal.type("/model gpt-99\nhello\n")
    terminal.expect("! 404: model: 'gpt-99' is not known")
    terminal.type("/model modelmuxer-auto\nWhat is the capital of France?\n")
    assert CAPITAL in terminal.expect(r"→ .*\r\n")


def test_the_history_is_kept_for_its_owner(tmp_path: Path, terminal: Terminal) -> None:
    terminal.type("/help\n")
    terminal.expect(r"Ctrl-C stops.*\r\n.*> ")
    terminal.type("\x04")
    terminal.process.wait(5)
    file = tmp_path / ".local/state/modelmuxer/claude-cli-history"
    assert file.read_text() == "/help\n" and file.stat().st_mode & 0o777 == 0o600


def test_a_signal_in_one_question_ends_it(tmp_path: Path, product: Product) -> None:
    words = [*ARGV, "-m", "Repeat: " + "one two three " * 150]
    env = environment(tmp_path, product)
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(words, env=env, stdin=nothing, stdout=pipe) as process:
        assert process.stdout and process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
