""".ci/compose-smoke on machines that lack or forbid what it needs: it skips, says why, ends well
and leaves nothing. What it finds where it does run is not asked here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETAVARK = Path("/usr/lib/podman/netavark")
SCRIPT = ROOT / ".ci" / "compose-smoke"
USED = "bash cat date df dirname env find grep mkdir rm sleep tail timeout touch xargs"
IMAGE_PYTHON = subprocess.run(
    [ROOT / ".ci" / "image-python"], cwd=ROOT, capture_output=True, text=True
).stdout.strip()
# A machine that could: root, room, namespaces, everything installed.
ABLE = {
    "id": "echo 0",
    "df": "echo Avail; echo 99999999",
    "python3.11": f'exec {IMAGE_PYTHON} "$@"',
    "mktemp": 'mkdir "$HOME/place" && echo "$HOME/place"',
    **dict.fromkeys(("unshare", "podman", "runc", "iptables", "ip", "curl", "mmdebstrap"), ":"),
}
NO_NETWORK = "echo 'E: Temporary failure resolving' >&2; exit 100"


def run(folder: Path, tools: dict[str, str | None], **environment: str) -> tuple[int, list[str]]:
    """Its status and output where `tools` (shell scripts; None: absent) are what PATH has."""
    for name in USED.split():
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, script in (ABLE | tools).items():
        (folder / name).unlink(missing_ok=True)
        if script is not None:
            (folder / name).write_text(f"#!/bin/bash\n{script}\n")
            (folder / name).chmod(0o755)
    own = {"PATH": str(folder), "HOME": str(folder)} | environment
    done = subprocess.run([SCRIPT], env=own, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.skipif(
    sys.platform != "linux" or not IMAGE_PYTHON,
    reason="it asks for Linux and a Python like the images' first",
)
@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ({"id": "echo 1000"}, "containers with a network need root here"),
        ({"df": "echo Avail; echo 1024"}, "less than 8 GB are free in /tmp"),
        (
            {"unshare": "echo 'unshare failed: Operation not permitted' >&2; exit 1"},
            "no namespaces of our own: unshare failed: Operation not permitted",
        ),
        ({"podman": None}, "not installed, and there is no apt-get: podman"),
        (
            {"podman": None, "apt-get": NO_NETWORK},
            "cannot be installed: podman: E: Temporary failure resolving",
        ),
        ({"mmdebstrap": NO_NETWORK}, "no Debian to start from: E: Temporary failure resolving"),
    ],
    ids=["no root", "no room", "no namespaces", "no apt", "no packages", "no Debian"],
)
def test_what_a_machine_lacks_is_a_reason_to_skip(
    tmp_path: Path, tools: dict[str, str | None], reason: str
) -> None:
    if not NETAVARK.exists() and {"podman", "mmdebstrap"} & set(tools):
        pytest.skip(f"{NETAVARK} is looked for at its own place, and is not there")
    assert run(tmp_path, tools, PIP_NO_INDEX="1") == (0, [f"SKIPPED: {reason}"])
    assert not (tmp_path / "place").exists()


def test_it_is_a_step_of_the_whole_check() -> None:
    assert 'step "compose" .ci/compose-smoke' in (ROOT / ".ci/run").read_text()
    assert os.access(SCRIPT, os.X_OK) and os.access(ROOT / ".ci/standins/smoke", os.X_OK)
