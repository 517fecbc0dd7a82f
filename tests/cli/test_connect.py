"""Connecting keeps what is there; disconnecting leaves no trace."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., int]
KEY = "sk-mm-somebody"
OWN = b'{\n\t"permissions": {"allow": ["Bash(ls:*)"]},\n\t"env": {"FOO": "b\xc3\xa4r"}}'
COMMENTED = b'{\n  // my theme\n  "theme": "dark",\n}\n'


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below, with contents and modes."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mode:o} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


def place(home: Path, client: str) -> Path:
    return (
        home
        / {
            "claude": ".claude/settings.json",
            "cline": ".cline/data/settings/providers.json",
            "opencode": ".config/opencode/opencode.json",
            "aider": ".aider.conf.yml",
            "continue": ".continue/config.yaml",
        }[client]
    )


def put(file: Path, content: bytes, mode: int = 0o644) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)
    return file


CLIENTS = ("claude", "cline", "opencode", "aider", "continue")
BEFORE = {
    "claude": OWN,
    "cline": json.dumps(
        {
            "version": 1,
            "lastUsedProvider": "cline",
            "providers": {
                "cline": {
                    "settings": {"provider": "cline", "model": "aion-labs/aion-3.5"},
                    "updatedAt": "2026-11-22T21:27:45.970Z",
                    "tokenSource": "manual",
                }
            },
        }
    ).encode(),
    "opencode": b'{"theme": "nord", "provider": {"anthropic": {"options": {"timeout": 90000}}} }\n',
    "aider": b"# mine\ndark-mode: true",
    "continue": b"name: Mine\nversion: 0.0.1\nschema: v1\nmodels:\n"
    b"    - name: a\n      provider: x\n",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_home_without_settings_is_left_as_it_was(client: str, home: Path, mux: Run) -> None:
    before = tree(home)
    assert mux("connect", client, "--key", KEY) == 0
    assert KEY in place(home, client).read_text()
    assert mux("disconnect", client) == 0
    assert tree(home) == {**before, **{k: v for k, v in tree(home).items() if k in STATE}}


# The folders of the system itself, which other programs share.
STATE = (".local", ".local/state")


@pytest.mark.parametrize("client", CLIENTS)
def test_settings_that_exist_come_back_byte_for_byte(client: str, home: Path, mux: Run) -> None:
    file = put(place(home, client), BEFORE[client], 0o640)
    assert mux("connect", client, "--key", KEY) == 0
    assert KEY in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    assert mux("connect", client, "--key", "another", "--url", "http://10.0.0.1:9") == 0
    assert mux("disconnect", client) == 0
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (BEFORE[client], 0o640)


def test_what_stood_in_the_settings_stays(home: Path, mux: Run) -> None:
    file = put(place(home, "claude"), OWN)
    mux("connect", "claude", "--url", "http://localhost:8000/v1/", "--discover-models")
    settings = json.loads(file.read_text())
    assert settings["permissions"] == {"allow": ["Bash(ls:*)"]}
    assert settings["env"] == {
        "FOO": "bär",
        "ANTHROPIC_BASE_URL": "http://localhost:8000",
        "ANTHROPIC_AUTH_TOKEN": "sk-test-claude-dev",
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
    }
    assert "\n\t" in file.read_text() and not file.read_text().endswith("\n")


def test_a_change_made_while_connected_survives(home: Path, mux: Run) -> None:
    file = put(place(home, "claude"), b'{"model": "opus", "env": {"ANTHROPIC_BASE_URL": "x"}}')
    mux("connect", "claude", "--status-line", "--model", "claude-modelmuxer-auto")
    changed = json.loads(file.read_text()) | {"theme": "dark", "model": "sonnet"}
    file.write_text(json.dumps(changed))
    mux("disconnect", "claude")
    assert json.loads(file.read_text()) == {
        "model": "sonnet",
        "env": {"ANTHROPIC_BASE_URL": "x"},
        "theme": "dark",
    }


def test_a_client_that_rewrites_its_file_is_still_put_back_exactly(home: Path, mux: Run) -> None:
    file = put(place(home, "cline"), BEFORE["cline"])
    mux("connect", "cline")
    rewritten = json.loads(file.read_text())
    rewritten["providers"]["anthropic"]["updatedAt"] = "2026-11-22T21:29:17.861Z"
    file.write_text(json.dumps(rewritten, indent=4))
    mux("disconnect", "cline")
    assert file.read_bytes() == BEFORE["cline"]


def test_yaml_changed_while_connected_loses_only_our_lines(home: Path, mux: Run) -> None:
    file = put(place(home, "continue"), BEFORE["continue"])
    mux("connect", "continue")
    assert "    - name: ModelMuxer\n" in file.read_text()
    file.write_bytes(file.read_bytes() + b"rules: []\n")
    mux("disconnect", "continue")
    assert file.read_bytes() == BEFORE["continue"] + b"rules: []\n"


def test_a_project_keeps_its_key_in_the_file_that_git_ignores(home: Path, mux: Run) -> None:
    assert mux("connect", "claude", "--scope", "project") == 0
    file = home / "project/.claude/settings.local.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not place(home, "claude").exists()
    assert mux("disconnect", "claude", "--scope", "project") == 0
    assert not file.parent.exists()


def test_a_linked_settings_file_stays_a_link(home: Path, mux: Run) -> None:
    real = put(home / "dotfiles/claude.json", OWN)
    place(home, "claude").parent.mkdir()
    place(home, "claude").symlink_to(real)
    mux("connect", "claude")
    assert place(home, "claude").is_symlink() and b"ANTHROPIC_BASE_URL" in real.read_bytes()
    mux("disconnect", "claude")
    assert place(home, "claude").is_symlink() and real.read_bytes() == OWN


def test_a_dry_run_shows_the_difference_and_changes_nothing(
    home: Path, mux: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    put(place(home, "claude"), OWN)
    before = tree(home)
    assert mux("connect", "claude", "--dry-run") == 0
    assert '+\t\t"ANTHROPIC_BASE_URL": "http://localhost:8000"' in capsys.readouterr().out
    assert tree(home) == before


@pytest.mark.parametrize(
    ("client", "content", "words"),
    [
        ("opencode", COMMENTED, "it has comments or trailing commas"),
        ("claude", b"{", "it is no valid JSON"),
        ("claude", b"[]", "it is no JSON object"),
        ("claude", b'{"env": 1}', "`env` is no object"),
        ("claude", b"\xff", "it is no UTF-8 text"),
        ("aider", b"set-env: [A=b]\n", "it has `set-env:` already"),
        ("continue", b"models: []\n", "`models` is not a block list"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_what_to_do(
    client: str, content: bytes, words: str, home: Path, mux: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = put(place(home, client), content)
    assert mux("connect", client) == 1
    said = capsys.readouterr().err
    assert words in said and str(file) in said
    assert file.read_bytes() == content


def test_disconnecting_what_was_never_connected_changes_nothing(home: Path, mux: Run) -> None:
    put(place(home, "claude"), OWN)
    before = tree(home)
    assert mux("disconnect", "claude") == 0
    assert tree(home) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("connect", "claude", "--url", "localhost:8000"), "is no address such as"),
        (("connect", "claude", "--key", "a b"), "printable and without spaces"),
        (("connect", "cline", "--scope", "project"), "per user only"),
        (("connect", "clade"), "claude"),
        (("conect", "claude"), "Did you mean 'connect'"),
        (("connect", "claude", "--stat-line"), "--status-line"),
    ],
)
def test_a_wrong_word_names_what_is_right(
    words: tuple[str, ...], said: str, mux: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mux(*words) in (1, 2)
    assert said in capsys.readouterr().err


def test_the_key_is_readable_by_its_owner_only(home: Path, mux: Run) -> None:
    mux("connect", "claude", "--key", KEY)
    holding = [p for p in home.rglob("*") if p.is_file() and KEY in p.read_text()]
    assert len(holding) == 2
    assert {file.stat().st_mode & 0o777 for file in holding} == {0o600}
