"""Three replicas of every service, each a process: all of them work, and none counts twice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.contracts.usage import USED
from libs.common.replay import replay
from libs.common.settings.bus import BusSettings
from scripts.bench.bodies import body
from scripts.bench.scale import BEGIN, END, PAGE, Step, load, nats_url, report, shares, written
from scripts.bench.scale_cluster import Cluster, cluster
from scripts.bench.targets import mock
from tests.analytics.conftest import booked
from tests.analytics.conftest import report as asked

ASKED = ("router", "pii", "ledger")
EVENTS = 6000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three of each, but for analytics."""
    folder = tmp_path_factory.mktemp("cluster")
    with mock(folder) as upstream, cluster(folder, upstream.port, "") as made:
        for service in (*ASKED, "gateway") * 2:
            made.start(service)
        made.answering()
        yield made


@pytest.mark.slow
def test_replicas_of_every_service_share_the_requests(made: Cluster) -> None:
    before = made.delivered()
    found = load(made, body("1k", mail=True), 4.0)
    after = made.delivered()
    assert [each["bad"] for each in found] == [0, 0, 0]
    assert min(each["done"] for each in found) > 20
    for service in ASKED:
        parts = shares(before[service], after[service])
        assert len(parts) == 3 and min(parts) > 0.2, (service, parts)


@pytest.mark.slow
def test_replicas_of_analytics_share_the_events_and_count_each_once(made: Cluster) -> None:
    for _ in range(3):
        made.start("analytics")

    async def told_and_counted() -> tuple[int, int]:
        bus = await Bus.connect(BusSettings(url=nats_url(made)), "test")
        try:
            await written(made, EVENTS, 1)
            told = sum([len(rows) async for rows in replay(bus, USED)])
            await booked(bus, told, seconds=30)
            return told, (await asked(bus, "costs"))["attempts"]
        finally:
            await bus.close()

    asyncio.run(written(made, 1, 0))  # what the requests before have left
    before = made.delivered()["analytics"]
    told, counted = asyncio.run(told_and_counted())
    parts = shares(before, made.delivered()["analytics"])
    assert counted == told >= EVENTS
    assert len(parts) == 3 and min(parts) > 0.15, parts


def test_the_report_compares_replicas_and_computes_a_cluster() -> None:
    class Options:
        size = "1k"

    alone = Step("gateway", 1, 300.0, 5.0, 0, (1.0,), {"gateway": 1.2, "nats": 0.2, "redis": 0.1})
    ingest = Step("analytics", 1, 20e3, 0.0, 0, (1.0,), {"analytics": 0.03, "nats": 0.01})
    two = Step("gateway", 2, 590.0, 5.0, 0, (0.5, 0.5), {})
    text = report(alone, ingest, [alone, two], Options())  # type: ignore[arg-type]
    assert "| nats | 0.210 |" in text
    assert "| gateway | 2 | 590 | +290 | 50% · 50% | 5 | 0 |" in text
    assert "| gateway | 12.0 | 20 |" in text


def test_the_page_has_a_block_that_the_command_renews() -> None:
    page = Path(PAGE).read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert "| gateway |" in page.partition(BEGIN)[2].partition(END)[0]
