"""What the reports say, from the rows of the embedded engine."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.identity import Principal
from libs.common.contracts.reports import Report
from libs.common.contracts.spending import Audit
from libs.common.contracts.usage import Tokens, Usage
from libs.common.errors import Forbidden, InvalidRequest, MuxError, NotFound
from services.analytics.audit import Head
from services.analytics.reports import REPORTS, answer
from services.analytics.reports.asked import GROUPS, Asked, period_of
from services.analytics.reports.requests import _filtered
from services.analytics.reports.source import pieces
from services.analytics.rollups import Rollups
from services.analytics.store import Store
from services.analytics.writer import Writer
from tests.analytics.conftest import ADMIN, ALICE, BOB, usage

pytestmark = pytest.mark.anyio
NOW = time.time()
DAY = 86400.0
HOSTILE = [
    "'; DROP TABLE usage; --",
    "1 OR 1=1",
    "{org:String}",
    "\\'",
    "x' UNION SELECT 1",
    "ä",
    "\0",
]


async def bury(event: object, why: str) -> None:
    raise AssertionError(why)


async def append(events: Sequence[Audit]) -> None:
    assert not events


async def head() -> Head:
    return Head()


async def write(store: Store, *events: Usage) -> None:
    rollups = Rollups(store)
    await Writer(store, rollups.mark, append, bury).take(events)
    await rollups.settle()


async def told(store: Store, name: str, who: Principal = ADMIN, **query: str) -> Any:
    made = await answer(store, head, Report(principal=who, name=name, query=query))
    return msgspec.json.decode(made.body)


def checked(**query: str) -> Asked:
    known = REPORTS["costs"].known
    return Asked.of(Report(principal=ADMIN, name="costs", query=query), known)


async def test_totals_groups_and_days_agree(store: Store) -> None:
    rows = [usage(n, at=NOW - n * 0.4 * DAY, cost=n, model=f"m{n % 3}") for n in range(1, 30)]
    await write(store, *rows)
    found = await told(store, "costs", days="30")
    assert found["total_cost"] == f"0.{sum(range(1, 30)):06d}"
    for part in (found["groups"], found["series"]):
        assert sum(float(row["cost"]) for row in part) == pytest.approx(float(found["total_cost"]))
    assert sum(map(float, found["by_model"].values())) == pytest.approx(float(found["total_cost"]))


@pytest.mark.parametrize("name", GROUPS)
async def test_costs_can_be_grouped_by(store: Store, name: str) -> None:
    await write(store, usage(1), usage(2, BOB))
    found = await told(store, "costs", group_by=name)
    assert sum(map(float, found[f"by_{name}"].values())) == pytest.approx(0.002)


async def test_reasons_are_grouped_without_their_figures(store: Store) -> None:
    reasons = ("simple query (30 chars), cheap", "simple query (7 chars), cheap")
    await write(store, *(usage(n, reason=reason) for n, reason in enumerate(reasons)))
    for name in ("costs", "latency"):
        groups = (await told(store, name, group_by="reason"))["groups"]
        assert [row["reason"] for row in groups] == ["simple query, cheap"]
    assert len((await told(store, "requests", reason="simple query, cheap"))["rows"]) == 2


async def test_costs_can_be_grouped_by_several_names(store: Store) -> None:
    await write(store, usage(1), usage(2, BOB), usage(3, BOB, model="gpt-6-luna"))
    found = await told(store, "costs", group_by="user,model")
    assert {(row["user"], row["model"]) for row in found["groups"]} == {
        ("alice", "claude-haiku-4-5"), ("bob", "claude-haiku-4-5"), ("bob", "gpt-6-luna"),
    }  # fmt: skip


async def test_the_days_before_are_compared_as_far_as_these_have_come(store: Store) -> None:
    late = (
        datetime.fromtimestamp(NOW, UTC).replace(hour=0, minute=0) - timedelta(minutes=1)
    ).timestamp()
    await write(store, usage(1, cost=300), usage(2, at=NOW - DAY - 5, cost=200), usage(3, at=late))
    found = await told(store, "costs", days="1")
    assert found["previous"] == {"total_cost": "0.000200", "change_percent": 50.0}


async def test_a_request_with_a_fallback_is_one_request_and_two_attempts(store: Store) -> None:
    failed = usage(1, outcome="error", cost=0, baseline_cost=0, status=529)
    await write(store, failed, usage(1, attempt=2))
    found = await told(store, "usage")
    assert (found["requests"], found["attempts"], found["errors"]) == (1, 2, 1)


async def test_savings_count_what_was_lost_too(store: Store) -> None:
    await write(store, usage(1), usage(2, model="dear", cost=9000))
    found = await told(store, "savings")
    assert (found["total_saved"], found["lost"]) == ("0.000000", "-0.004000")
    assert found["by_model"] == {"claude-haiku-4-5": "0.004000", "dear": "-0.004000"}


async def test_days_are_those_of_the_zone_also_where_it_has_half_hours(store: Store) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    at = (midnight - timedelta(hours=5, minutes=31) - timedelta(days=1)).timestamp()
    await write(store, usage(1, at=at), usage(2, at=at + 120))
    found = await told(store, "costs", days="7", tz="Asia/Kolkata", group_by="day")
    assert list(found["by_day"].values()) == ["0.001000", "0.001000"]
    assert len((await told(store, "costs", group_by="day"))["by_day"]) == 1


async def test_latency_shows_our_own_share(store: Store) -> None:
    timed = {"router_seconds": 0.001, "pii_seconds": 0.002, "ledger_seconds": 0.003}
    await write(store, *(usage(n, seconds=n / 10, **timed) for n in range(1, 101)))
    found = await told(store, "latency")
    assert found["duration"]["p50"] == pytest.approx(5.05, abs=0.1)
    assert found["gateway_overhead"]["p95"] == pytest.approx(0.006)
    assert found["groups"][0]["answers"] == 100


async def test_an_empty_store_gives_empty_reports(store: Store) -> None:
    for name in ("costs", "usage", "savings", "latency", "requests", "decisions"):
        assert await told(store, name)
    assert (await told(store, "latency"))["duration"] == {"p50": None, "p95": None, "p99": None}


async def test_the_log_is_paged_newest_first_without_a_gap(store: Store) -> None:
    same = NOW - 10
    await write(store, *(usage(n, at=same - n // 3) for n in range(10)))
    seen: list[str] = []
    cursor = ""
    while True:
        page = await told(store, "requests", limit="4", cursor=cursor)
        seen += [row["id"] for row in page["rows"]]
        if not (cursor := page["next"]):
            break
    assert len(seen) == len(set(seen)) == 10


async def test_the_log_is_filtered(store: Store) -> None:
    await write(store, usage(1), usage(2, BOB, outcome="refused", status=402))
    assert [row["user"] for row in (await told(store, "requests", status="402"))["rows"]] == ["bob"]
    assert [row["user"] for row in (await told(store, "requests", user="alice"))["rows"]] == [
        "alice"
    ]
    assert (await told(store, "requests", model="gpt"))["rows"] == []


async def test_a_row_of_the_log_is_what_the_event_said(store: Store) -> None:
    event = usage(1, pii={"EMAIL": 2}, tokens=Tokens(input=1, output=2), error="x", stream=True)
    await write(store, event)
    row = (await told(store, "requests"))["rows"][0]
    assert (row["pii"], row["tokens"]["output"], row["saved"]) == ({"EMAIL": 2}, 2, "0.004000")
    assert (row["asked"], row["model"], row["stream"]) == (event.asked, event.model, True)


async def test_the_trail_of_a_request_is_for_those_who_may_see_it(store: Store) -> None:
    await write(store, usage(1, reserved=9000, reservation="res"), usage(1, attempt=2))
    trail = await told(store, "request", ALICE, id="req_000001")
    assert trail["total_cost"] == "0.002000"
    assert [part["reserved"] for part in trail["attempts"]] == ["0.009000", "0.000000"]
    with pytest.raises(NotFound):
        await told(store, "request", BOB, id="req_000001")


async def test_a_key_sees_only_its_own_and_no_other_org(store: Store) -> None:
    stranger = Principal(key_id="key_x", org="other", admin=True)
    await write(store, usage(1), usage(2, BOB))
    assert [row["user"] for row in (await told(store, "requests", BOB))["rows"]] == ["bob"]
    assert (await told(store, "costs", stranger))["attempts"] == 0
    with pytest.raises(Forbidden, match="key"):
        await told(store, "requests", BOB, key=ALICE.key_id)
    for name in ("audit", "alerts", "export", "delete"):
        with pytest.raises(Forbidden):
            await told(
                store, name, BOB, **({"user": "alice"} if name in ("export", "delete") else {})
            )


@pytest.mark.parametrize("days", ["0", "-1", "1000000000", "1e9", "seven", "", "7.5", "٣", " 7"])
async def test_days_must_be_a_sensible_number(days: str) -> None:
    with pytest.raises(InvalidRequest, match="days: must be a whole number from 1 to 400"):
        checked(days=days)


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_parameter_reaches_the_sql(store: Store, text: str) -> None:
    await write(store, usage(1))
    for name, kind in REPORTS.items():
        for parameter in kind.known:
            given = {"user": "u"} if name == "delete" and parameter == "key" else {}
            try:
                await told(store, name, **(given | {parameter: text}))
            except MuxError as error:
                assert isinstance(error, InvalidRequest | NotFound), error
                assert error.detail.startswith((parameter, "user", "id")), error.detail
    assert (await told(store, "costs"))["attempts"] == 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"group_by": "password"}, "group_by: must be one of model"),
        ({"group_by": "model,day,key,user"}, "group_by: at most three"),
        ({"tz": "Mars/Base"}, "tz: must be an IANA time zone"),
        ({"tz": "../../etc/passwd"}, "tz: must be"),
        ({"format": "xml"}, "format: must be one of json"),
        ({"dayz": "7"}, "dayz: no such parameter; use days"),
    ],
)
async def test_an_error_names_the_parameter_and_the_fix(query: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        assert checked(**query).group_by
    assert words in raised.value.detail


async def test_csv_is_for_spreadsheets_and_defuses_formulas(store: Store) -> None:
    await write(store, usage(1, asked='=HYPERLINK("x")'), usage(2, cost=9000))
    text = await told(store, "requests", format="csv")
    assert '"\'=HYPERLINK(""x"")"' in text
    assert ",-0.004000," in text
    assert text.count("\r\n") == 3


async def test_json_lines_hold_one_group_each(store: Store) -> None:
    await write(store, usage(1), usage(2, model="other"))
    lines = (await told(store, "costs", format="jsonl")).splitlines()
    assert [msgspec.json.decode(line)["tokens_input"] for line in lines] == [100, 100]


async def test_one_persons_records_are_exported_and_deleted(store: Store) -> None:
    await write(store, usage(1), usage(2), usage(3, BOB))
    first = await told(store, "export", user="alice", limit="1")
    rest = await told(store, "export", user="alice", cursor=first["next"])
    assert [row["request_id"] for row in first["rows"] + rest["rows"]] == [
        "req_000002",
        "req_000001",
    ]
    assert (await told(store, "delete", user="alice"))["deleted"]["usage"] == 2
    assert (await told(store, "costs"))["attempts"] == 1
    assert (await told(store, "export", user="alice"))["rows"] == []


async def test_events_of_many_years_and_hours_are_taken_at_once(store: Store) -> None:
    times = [NOW - n * 31 * DAY for n in range(150)] + [NOW - n * 3600 for n in range(1100)]
    await write(store, *(usage(n, at=at) for n, at in enumerate(times)))
    assert (await told(store, "costs", days="60"))["attempts"] == 1102


@given(
    st.dictionaries(
        st.sampled_from(REPORTS["requests"].known),
        st.text() | st.sampled_from(["0", "1", "400", "UTC", "csv", "1.a", "Europe/Berlin"]),
    )
)
def test_any_parameters_are_understood_or_refused_by_name(query: dict[str, str]) -> None:
    try:
        asked = Asked.of(
            Report(principal=ALICE, name="requests", query=query), REPORTS["requests"].known
        )
        _filtered(asked)
        assert asked.limit > 0
        assert asked.period.since < asked.period.until
    except (InvalidRequest, Forbidden) as error:
        assert error.detail.partition(":")[0] in query


def test_a_span_is_cut_into_days_hours_and_rows() -> None:
    since = datetime(2026, 1, 1, 22, 30, tzinfo=UTC)
    found = pieces(since, datetime(2026, 1, 4, 1, 15, tzinfo=UTC), daily=True, hourly=True)
    assert [(piece.table, str(piece.until - piece.since)) for piece in found] == [
        ("usage", "0:30:00"), ("usage_hourly", "1:00:00"), ("usage_daily", "2 days, 0:00:00"),
        ("usage_hourly", "1:00:00"), ("usage", "0:15:00"),
    ]  # fmt: skip
    assert all(a.until == b.since for a, b in zip(found, found[1:], strict=False))


def test_a_period_is_whole_days_of_the_zone_over_a_change_of_clocks() -> None:
    now = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)  # Berlin went forward that night
    found = period_of({"days": "1", "tz": "Europe/Berlin"}, now)
    assert (found.since.hour, found.until.hour) == (23, 22)
