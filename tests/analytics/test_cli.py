"""The commands, against the real reports behind a door as thin as the gateway's."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from libs.common.bus import Bus
from libs.common.contracts.reports import REPORT, Report
from libs.common.errors import MuxError
from services.__main__ import main
from services.analytics.dead import Burial
from tests.analytics.conftest import ADMIN, BOB, booked, report, tell, usage
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def gateway(bus: Bus, service: None) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            asked = Report(
                principal=ADMIN,
                name=address.path.rpartition("/")[2],
                query=dict(parse_qsl(address.query)),
            )
            try:
                answer = asyncio.run_coroutine_threadsafe(bus.ask(REPORT, asked, 20), loop).result()
                self._send(200, bytes(answer.body))
            except MuxError as error:
                self._send(400, json.dumps({"error": {"message": error.detail}}).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def command(
    nats: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELMUXER_NATS_URL", nats.url)
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, list(words))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


async def test_the_reports_are_read_by_people(
    bus: Bus, gateway: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELMUXER_URL", gateway)
    await tell(bus, usage(1), usage(2, BOB, outcome="refused", status=402, error="budget_exceeded"))
    await booked(bus, 2)
    assert "total $0.002000 in 2 requests" in (await command("costs"))[1]
    assert "saved $0.008000 of $0.010000 (80.0 %)" in (await command("savings"))[1]
    assert "refused 402" in (await command("requests"))[1]
    assert "claude-opus-5 → claude-haiku-4-5" in (await command("top", "--once"))[1]
    assert "0 entries, unbroken" in (await command("audit", "verify"))[1]
    code, said = await command("costs", "--json", "--group-by", "user")
    assert (code, json.loads(said)["by_user"]) == (0, {"alice": "0.001000", "bob": "0.001000"})


@pytest.mark.parametrize("width", [80, 120])
async def test_no_name_or_figure_is_cut_in_a_narrow_terminal(
    bus: Bus, gateway: str, command: Command, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("MODELMUXER_URL", gateway)
    monkeypatch.setenv("COLUMNS", str(width))
    await tell(bus, usage(1, model="claude-sonnet-5-5", asked="claude-opus-5-5", cost=232_300))
    await booked(bus, 1)
    for line in ("costs", "savings", "requests", "top --once", "costs --group-by model,day,user"):
        said = (await command(*line.split()))[1]
        assert "…" not in said and max(map(len, said.splitlines())) <= width, said
        assert "$0.232300" in said and "sonnet-5-5" in said, said


async def test_a_wrong_option_is_answered_with_the_fix(
    gateway: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELMUXER_URL", gateway)
    code, said = await command("costs", "--days", "0")
    assert (code, said) == (1, "modelmuxer: days: must be a whole number from 1 to 400\n")


async def test_one_persons_records_leave_and_go(
    bus: Bus, service: None, command: Command, tmp_path: Path
) -> None:
    await tell(bus, usage(1), usage(2, BOB))
    await booked(bus, 2)
    assert (
        "1 records"
        in (await command("analytics", "export", "--user", "bob", "--out", "b.jsonl"))[1]
    )
    assert json.loads((tmp_path / "b.jsonl").read_text())["user"] == "bob"
    assert "usage: 1" in (await command("analytics", "delete", "--user", "bob", "--yes"))[1]
    assert (await report(bus, "costs", group_by="user"))["by_user"] == {"alice": "0.001000"}
    done = [(row["action"], row["target"]) for row in (await report(bus, "audit"))["rows"]]
    assert ("records.delete", "bob") in done


async def test_dead_events_are_looked_at_and_told_again(
    bus: Bus, service: None, command: Command
) -> None:
    await Burial(bus, "analytics").bury(usage(1), "a bad day")
    said = (await command("analytics", "dead", "list"))[1]
    assert "a bad day" in said
    assert "req_000001" in (await command("analytics", "dead", "show", "1"))[1]
    assert (await command("analytics", "dead", "replay"))[1] == "1 events told again\n"
    await booked(bus, 1)
    assert (await command("analytics", "dead", "show", "99"))[0] == 1
