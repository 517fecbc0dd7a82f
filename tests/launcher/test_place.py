import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from libs.common.settings.load import ConfigError
from services.launcher import place

HOLD = (
    "import sys, time, pathlib; from services.launcher import place\n"
    "with place.claim(pathlib.Path(sys.argv[1])) as lock:\n"
    "    {child}\n"
    "    print('held', flush=True); time.sleep(60)\n"
)
CHILD = "import subprocess; subprocess.Popen(['sleep', '1.5'], pass_fds=[lock], stdout=2)"


def holder(folder: Path, child: str = "pass") -> subprocess.Popen[str]:
    script = HOLD.format(child=child)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def test_a_second_launcher_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    first = holder(tmp_path)
    try:
        with pytest.raises(ConfigError, match=f"process {first.pid}.*--data-dir"):
            place.claim(tmp_path).__enter__()
    finally:
        end(first)


def test_the_lock_of_a_killed_launcher_does_not_block(tmp_path: Path) -> None:
    end(holder(tmp_path))
    with place.claim(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_new_launcher_waits_until_the_children_of_a_killed_one_are_gone(tmp_path: Path) -> None:
    end(holder(tmp_path, CHILD))
    began = time.monotonic()
    with place.claim(tmp_path):
        assert time.monotonic() - began > 0.5


def test_data_of_another_release_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("99\n")
    with pytest.raises(ConfigError, match="data version 99"):
        place.claim(tmp_path).__enter__()


def test_the_password_of_the_stores_is_made_once_and_private(tmp_path: Path) -> None:
    first = place.password(tmp_path)
    assert place.password(tmp_path) == first
    assert (tmp_path / "password").stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot use the data directory"):
        place.claim(tmp_path / "file" / "data").__enter__()
