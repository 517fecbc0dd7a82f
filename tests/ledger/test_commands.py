"""The commands against a running product, and the walk-through of docs/budgets.md."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import ADMIN_KEY, Product, clean_environment

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "budgets.md").read_text()


def command(product: Product, line: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services", *shlex.split(line)[1:]],
        cwd=product.folder,
        env=clean_environment(MODELMUXER_URL=product.url, MODELMUXER_KEY=ADMIN_KEY, COLUMNS="120"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def plain(product: Product, line: str) -> Any:
    return json.loads(command(product, f"{line} --json"))


def call(product: Product, secret: str, **body: Any) -> int:
    asked = {"model": "claude-haiku-5-5", "max_tokens": 50} | body
    asked["messages"] = [{"role": "user", "content": "Say hello."}]
    request = urllib.request.Request(
        f"{product.url}/v1/messages",
        data=json.dumps(asked).encode(),
        headers={"x-api-key": secret, "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def section(title: str) -> list[str]:
    """The commands of a section of the page."""
    text = DOC.split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_walk_through_of_the_page_works_as_written(product: Product) -> None:
    lines = section("A team")
    said = {line: command(product, line) for line in lines}
    assert "$100.00 monthly for team core" in said[lines[2]]
    assert "ann" in said[lines[-1]] and "resumed" in said[lines[-1]]
    budgets = plain(product, "modelmuxer budgets list")["budgets"]
    limits = {(b["scope"], b["scope_id"]): b["limit"] for b in budgets}
    assert limits[("team", "core")] == "200.000000"
    assert {key["name"] for key in plain(product, "modelmuxer keys list")["keys"]} >= {"ann", "bob"}


def test_a_members_key_spends_the_teams_budget_within_a_second(product: Product) -> None:
    key = plain(product, "modelmuxer keys create carl --team carls --user carl")
    budget = plain(product, "modelmuxer budgets set 1 --scope team --id carls")
    assert budget["spent"] == "0.000000"
    assert call(product, key["secret"]) == 200
    started = time.monotonic()
    while plain(product, "modelmuxer budgets list --scope team --id carls")["budgets"][0][
        "spent"
    ] == ("0.000000"):
        assert time.monotonic() - started < 5
    command(product, "modelmuxer budgets set 0.000001 --scope team --id carls")
    assert call(product, key["secret"]) == 402
    command(product, "modelmuxer budgets set 2 --scope team --id carls")
    assert call(product, key["secret"]) == 200


def test_a_key_is_made_with_a_widest_routing(product: Product) -> None:
    made = plain(product, "modelmuxer keys create eve --routing respect --routing-max auto")
    assert (made["key"]["routing"], made["key"]["routing_max"]) == ("respect", "auto")


def test_a_rotated_and_a_revoked_secret_open_nothing(product: Product) -> None:
    made = plain(product, "modelmuxer keys create dora")
    assert call(product, made["secret"]) == 200
    new = plain(product, f"modelmuxer keys rotate {made['key']['id']}")
    assert new["key"]["id"] == made["key"]["id"]
    assert (call(product, made["secret"]), call(product, new["secret"])) == (401, 200)
    command(product, f"modelmuxer keys revoke {made['key']['id']}")
    assert call(product, new["secret"]) == 401


def test_the_book_agrees_with_the_journal_and_survives_being_forgotten(product: Product) -> None:
    assert "agrees" in command(product, "modelmuxer ledger check")
    before = plain(product, "modelmuxer budgets list")
    rebuilt = plain(product, "modelmuxer ledger rebuild --wipe")
    assert rebuilt["rows"] > 0
    assert plain(product, "modelmuxer budgets list") == before
    assert plain(product, "modelmuxer ledger check")["differences"] == []


@pytest.mark.parametrize(
    "line, words",
    [
        ("modelmuxer budgets set -- -5", "budget_limit"),
        ("modelmuxer budgets set NaN", "budget_limit"),
        ("modelmuxer budgets set lots", "budget_limit"),
        ("modelmuxer budgets set 1e30", "budget_limit"),
        ("modelmuxer budgets set 5 --window yearly", "budget_type"),
        ("modelmuxer budgets set 5 --scope planet", "scope"),
        ("modelmuxer budgets set 5 --alerts 80,50", "alert_thresholds"),
        ("modelmuxer budgets set 5 --alerts much", "percentage"),
        ("modelmuxer budgets delete bud_0", "no budget"),
        ("modelmuxer keys revoke key_0", "no managed key"),
        ("modelmuxer keys create ☃ --rpm -1", "rpm"),
        (f"modelmuxer keys create {'x' * 10_000}", "name"),
        ("modelmuxer keys create nan --routing-max respect", "routing_max"),
        ("modelmuxer limits set --scope team", "scope_id"),
    ],
)
def test_a_bad_command_says_what_is_wrong_in_one_line(
    product: Product, line: str, words: str
) -> None:
    said = command(product, line, fails=True)
    assert words in said


def test_a_gateway_that_is_not_there_is_named(product: Product, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services", "keys", "list"],
        cwd=tmp_path,
        env=clean_environment(MODELMUXER_URL="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode and "no gateway at http://127.0.0.1:9" in done.stderr


def test_prices_are_listed_checked_overridden_and_baked(tmp_path: Path) -> None:
    environment = clean_environment(MODELMUXER_DATA_DIR=str(tmp_path), **_columns())

    def prices(line: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "services", "prices", *shlex.split(line)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "anthropic/claude-haiku-5-5" in prices("list --model haiku-5-5")
    assert "priced" in prices("check")
    prices("override mine --input 0.5 --output 1.5")
    assert '[models."mine"]\ninput = "0.5"' in (tmp_path / "modelmuxer.toml").read_text()
    assert "version genai-" in prices("bake table.json")
    assert (tmp_path / "table.json").stat().st_size > 100_000


def _columns() -> dict[str, str]:
    return {"COLUMNS": os.environ.get("COLUMNS", "160")}
