"""What the stand-in saw and did: one record per request, exactly as it arrived."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    """`headers` in order and as written. `sent` is the body of our answer so far. `outcome`:
    complete, refused (an error answer), gone (the client left), broken (we broke it off)."""

    number: int
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    at: float = field(default_factory=time.monotonic)
    status: int = 0
    sent: bytes = b""
    outcome: str = "open"
    request_id: str = ""
    why: str = ""
    ended: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """The value of a header; several lines of it joined as HTTP allows."""
        return ", ".join(v for n, v in self.headers if n.lower() == name.lower())

    @property
    def credential(self) -> str:
        """The key it came with, whatever header a dialect puts it in."""
        given = self.header("x-api-key") or self.header("x-goog-api-key")
        return given or self.header("authorization").removeprefix("Bearer ")

    def end(self, outcome: str) -> None:
        self.outcome, self.ended = outcome, time.monotonic()
        self.over.set()

    def described(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body.decode("utf-8", "replace"),
            "status": self.status,
            "outcome": self.outcome,
            "request_id": self.request_id,
            "why": self.why,
            "seconds": round((self.ended or time.monotonic()) - self.at, 4),
        }
