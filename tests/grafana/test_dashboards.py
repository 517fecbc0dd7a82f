"""Every panel's statement is executed on ClickHouse, with Grafana's macros expanded."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import make_dashboards
from libs.common.contracts.identity import Principal
from services.analytics.rollups import Rollups
from services.analytics.store import Store
from services.analytics.writer import Writer
from tests.analytics.conftest import BOB, alert, decision, usage

pytestmark = pytest.mark.anyio
FOLDER = Path(make_dashboards.__file__).parent
FILES = sorted((FOLDER / "dashboards").glob("*.json"))
PANELS = {
    f"{file.stem}: {panel['title']}": panel
    for file in FILES
    for panel in json.loads(file.read_text())["panels"]
    if "rawSql" in panel.get("targets", [{}])[0]
}
NOW = int(time.time())
START, END, STEP = NOW - 7 * 86400, NOW + 3600, 3600


def expanded(sql: str) -> str:
    """As the data source does (grafana/clickhouse-datasource, pkg/macros)."""
    since, until = f"toDateTime({START})", f"toDateTime({END})"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {since} AND \1 <= {until}", sql)
    interval = rf"toStartOfInterval(toDateTime(\1), INTERVAL {STEP} second)"
    sql = re.sub(r"\$__timeInterval\((\w+)\)", interval, sql)
    sql = sql.replace("$__fromTime", since).replace("$__toTime", until)
    assert "$__" not in sql, sql
    return sql


async def nothing(events: Any, why: str = "") -> None:
    assert not events


async def fill(store: Store) -> None:
    rows = [usage(n, at=NOW - n * 7000, pii={"EMAIL": 1}, stream=True) for n in range(50)]
    rows += [usage(100, BOB, outcome="refused", status=402, error="budget_exceeded", model="")]
    rows += [usage(101, BOB, outcome="error", status=529, error="overloaded_error")]
    rows += [usage(103, unpriced=True), usage(104, outcome="reconciled")]
    rows += [usage(102, Principal(key_id="k", run="run-a", agent="sub"))]
    rollups = Rollups(store)
    writer = Writer(store, rollups.mark, nothing, nothing)
    await writer.take([*rows, decision(1), decision(2), alert()])
    await rollups.settle()


async def test_the_statement_of_every_panel_gives_rows(store: Store) -> None:
    await fill(store)
    faults = {}
    for name, panel in PANELS.items():
        target = panel["targets"][0]
        rows = await store.query(expanded(target["rawSql"]))
        if not rows or not any(value not in (None, "", 0) for value in rows[0].values()):
            faults[name] = "no figures"
        elif ("time" in rows[0]) != (target["queryType"] == "timeseries"):
            faults[name] = "a series needs a time, a table has none"
        elif not panel["fieldConfig"]["defaults"]["unit"]:
            faults[name] = "no unit"
    assert faults == {}
    assert len(PANELS) > 25


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_have_their_own_ids_and_places(file: Path) -> None:
    panels = json.loads(file.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_the_files_are_what_the_program_writes() -> None:
    written = {file.stem: file.read_text() for file in FILES}
    assert written == {uid: make_dashboards.text(uid) for uid in make_dashboards.DASHBOARDS}
    assert len({json.loads(text)["uid"] for text in written.values()}) == len(written)


def test_panels_name_the_data_sources_that_are_provisioned() -> None:
    file = FOLDER / "provisioning" / "datasources" / "modelmuxer.yml"
    known = {
        source["uid"]: source["type"] for source in yaml.safe_load(file.read_text())["datasources"]
    }
    for file in FILES:
        for panel in json.loads(file.read_text())["panels"]:
            for part in (panel, *panel.get("targets", [])):
                if source := part.get("datasource"):
                    assert known[source["uid"]] == source["type"]
