"""How to reach nats-server."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct


class BusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`user`/`password` name this service at the server; with `tls_*` the connection is mutual
    TLS. Each service has an inbox prefix of its own, so that replies can be permitted."""

    url: str = "nats://127.0.0.1:4222"
    user: str = ""
    password: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    connect_timeout: float = 10.0

    def options(self, name: str, note: Callable[[Exception], Awaitable[None]]) -> dict[str, Any]:
        """Arguments of `nats.connect`."""
        options: dict[str, Any] = {
            "servers": [part.strip() for part in self.url.split(",")],
            "error_cb": note,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.25,
            "ping_interval": 10,
            "max_outstanding_pings": 2,
            "connect_timeout": 2,
            "inbox_prefix": f"_INBOX_{name}",
            "pending_size": 16 * 1024 * 1024,
            "drain_timeout": 10,
        }
        if self.user:
            options |= {"user": self.user, "password": self.password}
        if self.tls_ca or self.tls_cert:
            context = ssl.create_default_context(cafile=self.tls_ca or None)
            if self.tls_cert:
                context.load_cert_chain(self.tls_cert, self.tls_key or None)
            options["tls"] = context
        return options
