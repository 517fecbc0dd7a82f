import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.common.contracts.spending import ALERTED, Alert
from libs.common.errors import BudgetExceeded, MuxError
from libs.common.journal import Consumer
from libs.common.settings.ledger import WebhookSettings
from services.ledger.webhooks import check_webhook
from tests.ledger.conftest import loaded_for, replica
from tests.ledger.support import Client, offer, until
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def alerts(client: Client) -> AsyncIterator[list[Alert]]:
    seen: list[Alert] = []

    async def take(batch: list[Alert]) -> None:
        seen.extend(batch)

    consumer = Consumer(client.bus, "test", [ALERTED], take)
    await consumer.start()
    yield seen
    await consumer.stop()


async def count(seen: list[Any], number: int) -> None:
    async def enough() -> bool:
        return len(seen) >= number

    await until(enough)
    await asyncio.sleep(0.1)
    assert len(seen) == number


async def test_each_threshold_is_told_once_in_a_window(ledger: Client) -> None:
    await ledger.budget(1000)
    async with alerts(ledger) as seen:
        for number, cost in enumerate([499, 1, 100, 100, 150, 100, 60, 400]):
            ledger.use(f"r{number}", cost, reservation="")
            await asyncio.sleep(0.02)
        await count(seen, 3)
    assert [alert.threshold for alert in seen] == [50, 80, 95]
    assert [alert.spent for alert in seen] == [500, 850, 950]
    state = (await ledger.states())[0]
    assert state.passed == (50, 80, 95)


async def test_one_large_cost_tells_every_threshold_it_passes(ledger: Client) -> None:
    await ledger.budget(1000, thresholds=(10.0, 33.3, 99.0))
    async with alerts(ledger) as seen:
        ledger.use("r1", 900, reservation="")
        await count(seen, 2)
    assert {alert.threshold for alert in seen} == {10.0, 33.3}


async def test_a_refusal_tells_the_thresholds_that_spending_will_not_reach(
    ledger: Client,
) -> None:
    await ledger.budget(1000)
    async with alerts(ledger) as seen:
        ledger.use("r1", 600, reservation="")
        await ledger.settled(600)
        for number in range(3):
            with pytest.raises(BudgetExceeded):
                await ledger.reserve(f"big{number}", offer(500))
        await count(seen, 3)
    assert sorted((a.threshold, a.refused) for a in seen) == [(50, False), (80, True), (95, True)]


async def test_a_raised_limit_does_not_tell_again(ledger: Client) -> None:
    await ledger.budget(1000)
    async with alerts(ledger) as seen:
        ledger.use("r1", 600, reservation="")
        await count(seen, 1)
        await ledger.budget(100_000)
        ledger.use("r2", 50_000, reservation="")
        ledger.use("r3", 40_000, reservation="")
        await count(seen, 2)
    assert [alert.threshold for alert in seen] == [50, 80]


class Receiver:
    """An HTTP server that keeps what it is sent and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.calls = failures, list[tuple[dict[str, str], bytes]]()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.calls.append((headers, body))
        status = "503 Busy" if len(self.calls) <= self.failures else "204 No Content"
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def test_a_webhook_is_signed_and_tried_until_it_is_taken(
    tmp_path: Path, nats: Server, redis: Server, client: Client
) -> None:
    receiver = Receiver(failures=1)
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = {
        "MODELMUXER_LEDGER__WEBHOOK__URL": f"http://127.0.0.1:{port}/alerts",
        "MODELMUXER_LEDGER__WEBHOOK__SECRET": "env:HOOK_SECRET",
        "HOOK_SECRET": "hush",
    }
    config = tmp_path / "modelmuxer.toml"
    config.write_text('[ledger.webhook]\nallow = ["127.0.0.1"]\n')
    loaded = loaded_for(tmp_path, nats, redis, MODELMUXER_CONFIG=str(config), **settings)
    async with server, replica(loaded):
        await client.budget(1000, thresholds=(50.0,))
        client.use("r1", 600, reservation="")
        await until(lambda: taken(receiver, 2), 10)
    headers, body = receiver.calls[1]
    time, _, mac = headers["x-modelmuxer-signature"].partition(",v1=")
    signed = time.removeprefix("t=").encode() + b"." + body
    assert mac == hmac.new(b"hush", signed, hashlib.sha256).hexdigest()
    said = json.loads(body)
    assert (said["threshold"], said["spent_usd"], said["limit_usd"]) == (50, "0.000600", "0.001000")
    assert {call[0]["x-modelmuxer-delivery"] for call in receiver.calls} == {said["id"]}


async def taken(receiver: Receiver, number: int) -> bool:
    return len(receiver.calls) >= number


@pytest.mark.parametrize(
    "url, allow",
    [
        ("http://169.254.169.254/latest", ["hooks.example.com"]),
        ("https://hooks.example.com.evil.net/", ["hooks.example.com"]),
        ("https://hooks.example.com@evil.net/", ["hooks.example.com"]),
        ("https://user:pass@hooks.example.com/", ["hooks.example.com"]),
        ("file:///etc/passwd", [""]),
        ("https://hooks.example.com/", []),
    ],
)
async def test_a_webhook_outside_the_allow_list_is_never_called(url: str, allow: list[str]) -> None:
    with pytest.raises(MuxError, match="ledger.webhook"):
        check_webhook(WebhookSettings(url=url, secret="s", allow=allow))
