"""`install.sh`, which `make run` starts: what it says while pip works, from pip's own words."""

import subprocess
from pathlib import Path

import pytest

from tests.support.product import clean_environment

SCRIPT = Path(__file__).parents[2] / "scripts" / "install.sh"
# What pip 24 prints, shortened; the file `go` is waited for where a `wait` stands.
PIP = """\
Obtaining file:///tree
  Installing build dependencies: started
  Installing build dependencies: finished with status 'done'
  Preparing editable metadata (pyproject.toml): finished with status 'done'
Collecting msgspec<0.22,>=0.19 (from modelmuxer==0.1.0)
  Using cached msgspec-0.21.1-cp311-cp311-manylinux_2_17_x86_64.whl.metadata (5.6 kB)
Requirement already satisfied: typer<1,>=0.12 in ./lib (from modelmuxer==0.1.0) (0.20.0)
Collecting uvicorn[standard]>=0.30 (from modelmuxer==0.1.0)
  Downloading uvicorn-0.38.0-py3-none-any.whl.metadata (6.8 kB)
wait
Installing collected packages: msgspec, uvicorn, modelmuxer
Successfully installed modelmuxer-0.1.0 msgspec-0.21.1 uvicorn-0.38.0
"""
PYTHON = """#!/bin/sh
echo "$@" > asked
while IFS= read -r line; do
  if [ "$line" = wait ]; then while [ ! -e go ]; do sleep 0.02; done; else echo "$line"; fi
done < said
exit "$(cat code)"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder whose environment has a pip that says what is in the file `said`."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "said").write_text(PIP)
    (tmp_path / "code").write_text("0")
    return tmp_path


def started(tree: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["/bin/bash", SCRIPT, "all"],
        cwd=tree, env=clean_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_each_package_is_named_while_pip_still_collects(tree: Path) -> None:
    with started(tree) as install:
        assert install.stdout
        early = [install.stdout.readline() for _ in range(2)]
        assert not (tree / "go").exists() and install.poll() is None
        (tree / "go").touch()
        rest = install.stdout.read()
    assert early == ["  msgspec<0.22,>=0.19\n", "  uvicorn[standard]>=0.30\n"]
    assert (rest, install.returncode) == ("unpacking\ninstalled\n", 0)


def test_the_tree_is_installed_with_the_named_extra(tree: Path) -> None:
    (tree / "go").touch()
    with started(tree) as install:
        assert install.wait(20) == 0
    asked = (tree / "asked").read_text()
    assert asked.startswith("-m pip install ") and asked.endswith("--editable .[all]\n")


def test_a_pip_that_fails_fails_it_and_is_heard(tree: Path) -> None:
    (tree / "said").write_text("Collecting nats-py\nERROR: No matching distribution for nats-py\n")
    (tree / "code").write_text("1")
    with started(tree) as install:
        assert install.stdout
        said = install.stdout.read()
    assert install.returncode == 1
    assert said == "  nats-py\nERROR: No matching distribution for nats-py\n"
