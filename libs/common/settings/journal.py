"""The journal: how long JetStream keeps what happened, and where a pod spools."""

from msgspec import Struct


class JournalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`window` is how many events may await their acknowledgement before new ones are spooled
    to disk; `duplicate_window` (seconds) is how long JetStream drops repeats by itself."""

    days: float = 90.0
    max_bytes: int = -1
    replicas: int = 1
    duplicate_window: float = 120.0
    window: int = 4096
    ack_timeout: float = 5.0
