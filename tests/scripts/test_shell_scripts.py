"""The guide's scripts: PowerShell is parsed, and run where pwsh is; the bash twins are run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_powershell

from tests.support.product import Product, clean_environment
from tests.support.servers import free_port

SCRIPTS = Path(__file__).parents[2] / "scripts"
POWERSHELL = sorted(SCRIPTS.glob("*.ps1"))
NAMES = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
needs_pwsh = pytest.mark.skipif(not shutil.which("pwsh"), reason="pwsh is not installed")
needs_zsh = pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")


def parsed(source: bytes) -> tree_sitter.Tree:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language())).parse(source)


def bash(script: str, *words: str, shell: str = "bash", **more: str) -> tuple[int, str]:
    done = subprocess.run(
        [shell, "-c", script, shell, *words],
        cwd=SCRIPTS.parent, env=clean_environment(**more), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_guide_names_three_powershell_scripts() -> None:
    assert [file.name for file in POWERSHELL] == [
        "activate_claude_modelmuxer.ps1",
        "configure_claude_cli.ps1",
        "test_claude_integration.ps1",
    ]


@pytest.mark.parametrize("file", POWERSHELL, ids=lambda file: file.name)
def test_powershell_parses(file: Path) -> None:
    assert not parsed(file.read_bytes()).root_node.has_error
    assert parsed(file.read_bytes() + b"\nif (").root_node.has_error, "the parser sees errors"


@pytest.mark.parametrize("file", POWERSHELL, ids=lambda file: file.name)
def test_powershell_help_documents_every_parameter(file: Path) -> None:
    text = file.read_text()
    helped, _, code = text.partition("#>")
    assert ".SYNOPSIS" in helped and helped.count(".EXAMPLE") >= 2
    block = code[code.index("param(") : code.index("\n)")]
    declared = re.findall(r"^    \[[a-z]+\]\$(\w+)", block, re.MULTILINE)
    assert declared and re.findall(r"\.PARAMETER (\w+)", helped) == declared


def test_powershell_takes_the_options_of_the_guide() -> None:
    text = (SCRIPTS / "configure_claude_cli.ps1").read_text()
    for option in ("UserProfile", "BaseUrl", "ApiKey", "Remove"):
        assert re.search(rf"^\.PARAMETER {option}$", text, re.MULTILINE)
    assert all(name in text for name in NAMES)


@needs_pwsh
def test_powershell_finds_a_healthy_product(product: Product) -> None:
    script = SCRIPTS / "test_claude_integration.ps1"
    argv = ["pwsh", "-NoProfile", "-File", str(script), "-BaseUrl", product.url]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_pwsh
def test_powershell_activates_and_gives_back() -> None:
    script = SCRIPTS / "activate_claude_modelmuxer.ps1"
    code = (
        f"$env:ANTHROPIC_API_KEY = 'mine'; . '{script}' -BaseUrl http://h:1/v1; "
        "Write-Output $env:ANTHROPIC_BASE_URL; Disable-ClaudeModelMuxer; "
        'Write-Output "[$env:ANTHROPIC_BASE_URL][$env:ANTHROPIC_API_KEY]"'
    )
    argv = ["pwsh", "-NoProfile", "-Command", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert "http://h:1\n" in done.stdout and "[][mine]" in done.stdout


@pytest.mark.parametrize("shell", ["bash", pytest.param("zsh", marks=needs_zsh)])
def test_activation_lasts_until_it_is_undone(shell: str) -> None:
    script = (
        ". scripts/activate_claude_modelmuxer.sh http://h:1/v1/ sk-1; "
        ". scripts/activate_claude_modelmuxer.sh http://h:2 sk-2; "
        'echo "$ANTHROPIC_BASE_URL $ANTHROPIC_API_URL $ANTHROPIC_API_KEY $ANTHROPIC_AUTH_TOKEN"; '
        'deactivate_claude_modelmuxer; echo "[${ANTHROPIC_BASE_URL-none}][$ANTHROPIC_API_KEY]"'
    )
    code, said = bash(script, shell=shell, ANTHROPIC_API_KEY="it's mine")
    assert code == 0 and "http://h:2 http://h:2 sk-2 sk-2\n" in said
    assert said.endswith("[none][it's mine]\n")


def test_configuring_new_shells_and_removing_it_again(tmp_path: Path) -> None:
    rc = tmp_path / ".bashrc"
    rc.write_text("alias ll='ls -l'\n")
    for _ in range(2):
        run = ["--base-url", "http://h:1/v1", "--api-key", "sk-1"]
        assert bash('scripts/configure_claude_cli.sh "$@"', *run, HOME=str(tmp_path))[0] == 0
    assert rc.read_text().count("ANTHROPIC_BASE_URL='http://h:1'") == 1
    _, said = bash(f". {rc}; env", HOME=str(tmp_path))
    assert all(f"{name}=" in said for name in NAMES)
    assert bash("scripts/configure_claude_cli.sh --remove", HOME=str(tmp_path))[0] == 0
    assert rc.read_text() == "alias ll='ls -l'\n"


@pytest.mark.parametrize("words", [["--nonsense"], ["--base-url", "x"], ["--api-key", "a'b"]])
def test_a_wrong_option_changes_nothing(words: list[str], tmp_path: Path) -> None:
    code, said = bash('scripts/configure_claude_cli.sh "$@"', *words, HOME=str(tmp_path))
    assert code == 2 and said and not list(tmp_path.iterdir())


def test_the_integration_check_passes_and_fails(product: Product) -> None:
    code, said = bash('scripts/test_claude_integration.sh "$@"', product.url)
    assert code == 0 and said.count("  ok  ") == 8, said
    code, said = bash('scripts/test_claude_integration.sh "$@"', f"http://127.0.0.1:{free_port()}")
    assert code == 8 and "modelmuxer doctor" in said


def test_bash_scripts_parse() -> None:
    for file in SCRIPTS.glob("*.sh"):
        assert bash('bash -n "$1"', str(file)) == (0, "")
