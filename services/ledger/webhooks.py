"""Alerts as signed webhooks, to hosts of the allow-list only, from the journal.

The receiver checks `x-modelmuxer-signature: t=<seconds>,v1=<hex>`, where hex is the HMAC-SHA256
of `<seconds>.<body>` under the shared secret, and answers 2xx. Anything else is tried again.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import msgspec

from libs.common.bus import Bus
from libs.common.contracts.spending import ALERTED, Alert
from libs.common.errors import MuxError, Unavailable
from libs.common.journal import Consumer
from libs.common.money import usd
from libs.common.settings.ledger import WebhookSettings
from libs.common.settings.load import Loaded, resolve
from libs.common.telemetry import LEDGER_WEBHOOKS

log = logging.getLogger(__name__)
TIMEOUT = 5.0
# Attempts, with pauses of 2, 4, 8, 16 and then 30 seconds between them.
MAX_DELIVER = 12
# Alerts of before a webhook was set up are history, not news.
STALE = 86400.0


class Webhook:
    """Calls one address. Raises Unavailable unless it answers 2xx."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        secret: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._url, self._secret, self._now = client, url, secret, clock

    async def send(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            if self._now() - alert.at < STALE:
                await self._send(alert)

    async def _send(self, alert: Alert) -> None:
        body = msgspec.json.encode(message(alert))
        headers = {
            "content-type": "application/json",
            "x-modelmuxer-delivery": alert.id,
            "x-modelmuxer-signature": signature(self._secret, int(self._now()), body),
        }
        try:
            reply = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            LEDGER_WEBHOOKS.labels("failed").inc()
            raise Unavailable(f"the alert webhook failed: {type(error).__name__}") from error
        LEDGER_WEBHOOKS.labels("sent" if reply.is_success else "failed").inc()
        if not reply.is_success:
            raise Unavailable(f"the alert webhook answered {reply.status_code}")


def message(alert: Alert) -> dict[str, object]:
    budget = alert.budget
    return {
        "type": "budget.alert",
        "id": alert.id,
        "at": alert.at,
        "threshold": alert.threshold,
        "percent": round(100 * alert.spent / budget.limit, 2),
        "spent_usd": usd(alert.spent),
        "limit_usd": usd(budget.limit),
        "refused": alert.refused,
        "window_start": alert.window_start,
        "budget": {
            "id": budget.id,
            "org": budget.org,
            "scope": budget.scope,
            "scope_id": budget.scope_id,
            "budget_type": budget.window,
            "mode": budget.mode,
        },
    }


def signature(secret: str, at: int, body: bytes) -> str:
    mac = hmac.new(secret.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def check_webhook(settings: WebhookSettings) -> None:
    """Raises MuxError for an address that must not or cannot be called."""
    parts = urlsplit(settings.url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
        raise MuxError("ledger.webhook.url: write https://host/path, without user or password")
    if parts.hostname not in settings.allow and parts.netloc not in settings.allow:
        raise MuxError(
            f"ledger.webhook.allow: add {parts.hostname!r}, the host of ledger.webhook.url"
        )
    if not settings.secret:
        raise MuxError("ledger.webhook.secret: needed to sign, for example env:WEBHOOK_SECRET")


@asynccontextmanager
async def webhooks(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    """Follow the alerts of the journal, if an address is set. Raises MuxError."""
    settings = loaded.settings.ledger.webhook
    if not settings.url:
        yield
        return
    check_webhook(settings)
    secret = resolve(settings.secret, loaded.environment)
    if not secret:
        raise MuxError(f"ledger.webhook.secret: {settings.secret} is empty; set it")
    async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
        webhook = Webhook(client, settings.url, secret)
        consumer = Consumer(
            bus, "ledger_alerts", [ALERTED], webhook.send, batch=1, max_deliver=MAX_DELIVER
        )
        await consumer.start()
        try:
            yield
        finally:
            await consumer.stop()
