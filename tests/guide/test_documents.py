"""The pages for users: every command, option, setting, path, request and link in them is real."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest
import typer

from libs.common.errors import BY_CODE
from libs.common.settings import Settings
from services.gateway.errors import DOCS, TABLE
from services.launcher.command_line import PARTS, build
from tests.support.product import ADMIN_KEY, Product, clean_environment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "llms.txt", *sorted((ROOT / "docs").glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

SUBJECT = r"\.v\d+$"  # of a message: `router.route.v1`
# Where a command may begin; before it may stand variables and a prompt.
COMMAND = re.compile(
    r"(?:^|\$\(|\|\s*|;\s*|&&\s*)\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?modelmuxer +([a-z].*)"
)


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"```(\w*)\n(.*?)```", page.read_text(), re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[list[str]]:
    """Every `modelmuxer …`, in blocks and between backticks."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    lines = [line for block in blocks(page, "sh", "bash", "console") for line in block.splitlines()]
    inline = [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)]
    found = [COMMAND.search(words) for words in lines + inline]
    plain = [re.split(r" +#|[|;)\"<>]", match[1])[0] for match in found if match]
    return [shlex.split(words) for words in plain]


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(h) for h in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


@each_page
def test_every_command_and_option_exists(page: Path) -> None:
    for words in commands(page):
        assert words[0] in PARTS, words
        group = typer.main.get_command(build(words[0]))
        known, name = group, ""
        for word in words:
            inner = getattr(known, "commands", {}).get(word)
            if inner is None:
                break
            known, name = inner, word
        options = {option for parameter in known.params for option in parameter.opts}
        options |= {"--help"} | _of_services(name)
        wrong = [w for w in words if w.startswith("--") and w.partition("=")[0] not in options]
        assert wrong == [], words


def _of_services(name: str) -> set[str]:
    return {"--workers", "--config"} if name == "gateway" else set()


@each_page
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


@each_page
def test_files_of_the_tree_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"\bscripts[/\\][\w.-]+\.(?:py|ps1|sh)", page.read_text()):
        assert (ROOT / name.replace("\\", "/")).exists(), name


@each_page
def test_json_and_toml_are_well_formed(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "toml"):
        try:
            msgspec.toml.decode(text, type=Settings)
        except msgspec.ValidationError as error:
            # A piece of a file may leave out what the piece is not about.
            assert "missing required field" in str(error), text


@each_page
def test_every_setting_named_exists(page: Path) -> None:
    table = (ROOT / "docs" / "configuration.md").read_text()
    sections = "gateway|routing|pii|ledger|analytics|providers|models|keys|nats|journal"
    names = re.findall(rf"`((?:{sections})\.[\w.]+)(?: = [^`]*)?`", page.read_text())
    known = set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE))
    assert [n for n in names if n not in known and not re.search(SUBJECT, n)] == []


@each_page
def test_every_request_is_answered(page: Path, product: Product) -> None:
    for block in blocks(page, "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("curl "):
                line = line.replace("http://localhost:8000", product.url)
                done = subprocess.run(
                    ["bash", "-c", line.replace("curl ", "curl -sf -m 30 ", 1)],
                    capture_output=True, text=True, env=clean_environment(KEY=ADMIN_KEY),
                )  # fmt: skip
                assert done.returncode == 0 and done.stdout, line


def test_every_error_has_a_section_with_cause_and_fix() -> None:
    page = (ROOT / DOCS).read_text()
    sections = dict(re.findall(r"^## ([a-z_]+)\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(TABLE) == set(BY_CODE)
    for code, text in sections.items():
        assert "**Cause.**" in text and "**Fix.**" in text, code
        status, kind, retry = TABLE[code]
        row = f"| [`{code}`](#{code}) | {status} | `{kind}` | {'yes' if retry else 'no'} |"
        assert row in page, row


def test_every_refusal_names_its_section(product: Product) -> None:
    page = ROOT / DOCS
    asked = {
        "unauthenticated": ["-H", "x-api-key: no", f"{product.url}/v1/models"],
        "invalid_request": [
            "-H",
            f"x-api-key: {product.key}",
            "-d",
            "{",
            f"{product.url}/v1/messages",
        ],
        "404": [f"{product.url}/nowhere"],
        "405": [f"{product.url}/v1/messages"],
    }
    for anchor, words in asked.items():
        argv = ["curl", "-s", "-m", "10", "-D", "-", "-o", "/dev/null", *words]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        assert f"x-modelmuxer-docs: docs/errors.md#{anchor}\n" in said
        assert anchor in anchors(page)


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / DOCS).read_text().partition("## Exit codes")[2]
    source = (ROOT / "services" / "__main__.py").read_text()
    codes = set(re.findall(r"\b(?:return|_fail\([^\n]*,) ?(\d+)\)?$", source, re.MULTILINE))
    assert codes and all(f"| {code} |" in page for code in codes | {"78"})
