"""The gateway: where it listens, what it takes, how long it waits."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65_535)]


class TimeoutSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds. `first_token` bounds the wait for the provider's first event, `idle` the gap
    between two, `total` the whole answer."""

    connect: float = 5.0
    first_token: float = 120.0
    idle: float = 90.0
    total: float = 660.0
    head: float = 20.0
    body: float = 60.0
    route: float = 1.0
    scan: float = 10.0
    reserve: float = 2.0
    report: float = 30.0


class SemanticSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers to similar questions. `model` is the folder of an embedding model on this machine;
    without one the mode is refused. `similarity` is the least for whole texts, `words` for what
    was replaced in them; `candidates` earlier questions are compared."""

    model: str = ""
    similarity: float = 0.97
    words: float = 0.9
    candidates: int = 64
    max_chars: int = 1000


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The response cache: seconds an answer is kept, the largest one kept (bytes), whether
    `temperature: 0` asks for it by itself, and how long identical requests wait for the first."""

    ttl: float = 3600.0
    max_bytes: int = 262_144
    temperature_zero: bool = False
    claim: float = 60.0
    semantic: SemanticSettings = SemanticSettings()


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`*_down` say what happens when a service does not answer: "closed" refuses with 503,
    "open" goes on without it. `ping_after` is when a silent provider makes us answer with our
    own pings. `hedge` asks a second candidate when the first is slower than 95 % were, and
    `fallback_on_refusal` when it refuses. `echo_model` shows clients the model they asked for
    instead of the served one."""

    host: str = "127.0.0.1"
    port: Port = 8000
    workers: int = 1
    reuse_port: bool = False
    max_body: int = 32 * 1024 * 1024
    max_depth: int = 128
    max_blocks: int = 100_000
    ping_after: float = 10.0
    ping_every: float = 12.0
    keep_alive: float = 120.0
    drain: float = 660.0
    drain_wait: float = 0.0
    tls_cert: str = ""
    tls_key: str = ""
    https_proxy: str = ""
    ca_file: str = ""
    allowed_hosts: list[str] = []
    echo_model: bool = False
    router_down: Literal["open", "closed"] = "open"
    pii_down: Literal["open", "closed"] = "closed"
    key_cache: float = 5.0
    max_attempts: int = 4
    hedge: Literal["off", "p95"] = "off"
    fallback_on_refusal: bool = False
    timeouts: TimeoutSettings = TimeoutSettings()
    cache: CacheSettings = CacheSettings()
