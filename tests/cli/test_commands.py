"""Every command of this part helps, suggests and completes."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Run = Callable[..., int]
COMMANDS = ("connect", "disconnect", "statusline", "doctor", "init")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, mux: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert mux(command, "--help") == 0
    assert "Example" in (said := capsys.readouterr().out) and f"modelmuxer {command}" in said


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("docter",), "doctor"),
        (("doctor", "--tmeout", "3"), "--timeout"),
        (("disconect", "claude"), "disconnect"),
        (("init", "--provider", "openai"), "--providers"),
    ],
)
def test_a_misspelt_word_gets_the_nearest(
    words: tuple[str, ...], nearest: str, mux: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mux(*words) == 2
    assert nearest in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("modelmuxer con", "connect"),
        ("modelmuxer connect cl", "claude"),
        ("modelmuxer connect claude --st", "--status-line"),
        ("modelmuxer doctor --j", "--json"),
    ],
)
def test_the_shell_completes(typed: str, offered: str) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    env = os.environ | words | {"_MODELMUXER_COMPLETE": "complete_bash"}
    argv = [sys.executable, "-P", "-m", "services"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
    assert offered in done.stdout.split()
