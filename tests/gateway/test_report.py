"""The lines that people read in the terminal."""

import asyncio
import logging

import pytest

from libs.common.contracts.identity import Principal
from libs.common.contracts.usage import Usage
from libs.common.errors import MuxError, NotFound, Unauthenticated, UpstreamFailed
from services.gateway.report import MOST, line, report_refusal, sparing

pytestmark = pytest.mark.anyio


def row(**more: object) -> Usage:
    base = {"request_id": "r", "attempt": 1, "at": 0.0, "principal": Principal(key_id="k")}
    return Usage(**base | {"asked": "opus", "model": "haiku", "seconds": 0.0123} | more)  # type: ignore[arg-type]


def test_a_line_says_cost_saving_and_time_for_people() -> None:
    said = line(row(reason="simple", confidence=0.9, cost=1912, baseline_cost=91_912, seconds=1.5))
    assert said == "opus → haiku · simple (0.90) · $0.0019 · saved $0.09 · 1.50 s"


def test_what_saved_nothing_says_nothing_of_it() -> None:
    assert line(row(cost=564, baseline_cost=564)) == "opus → haiku · $0.00056 · 12 ms"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (61.239, "61.24 s")],
)
def test_less_than_a_second_is_told_in_milliseconds(seconds: float, text: str) -> None:
    assert line(row(seconds=seconds)).endswith(f" · {text}")


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, Unauthenticated("this key is not known here"), "this key is not known here"),
        (404, NotFound("/a\nb\x1b[31m: no such path"), "/a b [31m: no such path"),
        (400, UpstreamFailed("words of a prompt"), "upstream_failed"),
        (500, MuxError(), "internal"),
    ],
)
def test_a_refusal_has_one_clean_line(
    caplog: pytest.LogCaptureFixture, status: int, error: MuxError, text: str
) -> None:
    caplog.set_level(logging.INFO)
    report_refusal(status, error, "req_1")
    assert caplog.messages == [f"refused {status} · {text}"]


async def test_a_flood_of_refusals_has_few_lines_and_a_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    # A gateway of another test may be open in this process.
    monkeypatch.setattr(logging.getLogger("modelmuxer.refused"), "filters", [])
    with sparing():
        for _ in range(1000):
            report_refusal(401, Unauthenticated("unknown"), "req_1")
        assert caplog.messages == ["refused 401 · unknown"] * MOST
        await asyncio.sleep(1.1)
        report_refusal(401, Unauthenticated("unknown"), "req_1")
    assert caplog.messages[MOST:] == [
        f"refused {1000 - MOST} more within a second",
        "refused 401 · unknown",
    ]
