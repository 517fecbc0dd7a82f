"""`make-venv.sh` takes the fastest Python of the machine, and says what is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.product import clean_environment

SCRIPT = Path(__file__).parents[2] / "scripts" / "make-venv.sh"
# Stands for a Python that needs so many microseconds; makes no real environment.
PYTHON = """#!/bin/sh
case "$1" in
  --version) echo "Python 3.11.0" ;;
  -m) mkdir -p "$3/bin" && echo "{name}" > "$3/bin/made-by" ;;
  *) {answer} ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder for Pythons, the only one on PATH but for the tools of the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("dirname", "mkdir", "sh"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return folder


def install(machine: Path, name: str, answer: str) -> None:
    python = machine / name
    python.write_text(PYTHON.format(name=name, answer=answer))
    python.chmod(0o755)


def make(machine: Path, **more: str) -> tuple[int, str, str]:
    """Code, what was said, and who made the environment."""
    target = machine.parent / "venv"
    # Pythons at fixed places of this machine stay out of it.
    script = SCRIPT.read_text().replace("/usr/bin/python3", str(machine / "system-python3"))
    (machine.parent / SCRIPT.name).write_text(script)
    done = subprocess.run(
        ["/bin/sh", machine.parent / SCRIPT.name, target],
        env=clean_environment(PATH=str(machine), **more), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    made = target / "bin" / "made-by"
    return (
        done.returncode,
        done.stdout + done.stderr,
        made.read_text().strip() if made.exists() else "",
    )


def test_the_fastest_python_makes_the_environment(machine: Path) -> None:
    install(machine, "python3.11", "echo 5400")
    install(machine, "python3", "echo 5300")
    install(machine, "system-python3", "echo 3500")
    code, said, maker = make(machine)
    assert (code, maker) == (0, "system-python3") and str(machine / "system-python3") in said


def test_a_little_faster_changes_nothing(machine: Path) -> None:
    install(machine, "python3.11", "echo 5400")
    install(machine, "python3", "echo 5000")
    assert make(machine)[2] == "python3.11"


def test_a_python_that_warns_is_taken_all_the_same(machine: Path) -> None:
    install(machine, "python3.11", "echo a warning >&2; echo 5400")
    install(machine, "python3", "echo a venv warning >&2; echo 3000")
    assert make(machine)[::2] == (0, "python3")


def test_a_python_that_does_not_say_a_number_is_passed_over(machine: Path) -> None:
    install(machine, "python3.12", "echo welcome; echo 3000")
    install(machine, "python3.11", "true")
    install(machine, "python3", "echo 5400")
    assert make(machine)[::2] == (0, "python3")


def test_a_newer_python_is_taken_if_there_is_no_other(machine: Path) -> None:
    install(machine, "python3.13", '[ "$2" = 99 ] && echo 100 || exit 1')
    assert make(machine)[2] == "python3.13"
    install(machine, "python3.11", "echo 5400")
    assert make(machine)[2] == "python3.11"


def test_a_python_named_by_hand_is_taken_however_slow(machine: Path) -> None:
    install(machine, "my own", "echo 9000")
    install(machine, "python3.11", "echo 3000")
    assert make(machine, PYTHON=str(machine / "my own"))[2] == "my own"


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ("echo lacks the venv module; exit 1", "apt-get install python3-venv"),
        ("echo older than 3.11; exit 1", "Python 3.11 or newer is needed"),
    ],
)
def test_without_a_fit_python_one_line_says_what_to_do(
    machine: Path, answer: str, advice: str
) -> None:
    install(machine, "python3", answer)
    code, said, maker = make(machine)
    assert code == 1 and advice in said and len(said.splitlines()) == 1 and not maker


def test_the_probe_times_this_very_python() -> None:
    probe = [sys.executable, SCRIPT.with_name("python-speed.py")]
    done = subprocess.run([*probe, "99"], capture_output=True, text=True, timeout=60)
    assert int(done.stdout) > 100
    done = subprocess.run([*probe, "10"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == "newer than 3.10\n"
