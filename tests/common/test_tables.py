"""Tables in terminals of any width."""

import pytest

from libs.common.tables import Column, figure, table
from services.ledger.admin_cli import BUDGETS, KEYS

NAMES = [Column("model", least=8), figure("cost"), figure("cached", spare=1)]
ROWS = [["claude-sonnet-5-5", "$0.232300", "12%"], ["gpt", "$1.000000", "0%"]]
BUDGET = ["bud_0123456789abcdef", "key key_0123456789abcdef", "monthly"]
BUDGET += ["$100.00", "$12.34", "$0.15", "$87.66", "12.3", "block"]
KEY = ["key_0123456789abcdef", "nightly-batch-jobs", "platform", "ann.longname@example.com"]
KEY += ["60 requests/min, 20000 tokens/min", "until 2026-12-24T08:00:00Z"]


def test_with_room_everything_stands_in_one_line_each() -> None:
    assert table(NAMES, ROWS, 80).splitlines() == [
        "model                   cost  cached",
        "─────────────────  ─────────  ──────",
        "claude-sonnet-5-5  $0.232300     12%",
        "gpt                $1.000000      0%",
    ]


def test_names_are_folded_before_anything_is_left_out() -> None:
    assert table(NAMES, ROWS[:1], 29).splitlines() == [
        "model            cost  cached",
        "──────────  ─────────  ──────",
        "claude-     $0.232300     12%",
        "sonnet-5-5",
    ]


def test_what_is_left_out_is_said_and_figures_stay_whole() -> None:
    lines = table(NAMES, ROWS[:1], 22).splitlines()
    assert lines[2:4] == ["claude-      $0.232300", "sonnet-5-5"]
    assert lines[-1] == "(no room for cached: widen the terminal, or --json)"


def test_where_nothing_more_can_go_the_table_is_too_wide_rather_than_cut() -> None:
    assert "$0.232300" in table(NAMES, ROWS, 5)


def test_a_table_without_rows_has_its_head() -> None:
    assert table(NAMES, [], 80).splitlines()[0] == "model  cost  cached"


def test_wide_letters_take_two_columns() -> None:
    lines = table(
        NAMES, [["日本語", "$1", "0%"], ["日本語のキー名前", "$2", "0%"]], 80
    ).splitlines()
    assert lines[2] == "日本語              $1      0%"
    assert "日本語の" in table(NAMES, [["日本語のキー名前", "$2", "0%"]], 22)


def test_a_terminal_obeys_nothing_that_stands_in_a_cell() -> None:
    shown = table(NAMES, [["\x1b[2J\u202eevil\nline", "$1", "0%"]], 80)
    assert "\x1b" not in shown and "\u202e" not in shown and len(shown.splitlines()) == 3


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("columns", "row"), [(BUDGETS, BUDGET), (KEYS, KEY)])
def test_budgets_and_keys_are_readable(columns: list[Column], row: list[str], width: int) -> None:
    said = table(columns, [row], width)
    assert max(map(len, said.splitlines())) <= width
    assert row[0] in said and all(money in said for money in row if money in ("$100.00", "$12.34"))
    assert width == 80 or "no room" not in said
