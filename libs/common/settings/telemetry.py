"""Traces."""

from typing import Annotated

from msgspec import Meta, Struct


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`otlp_url` is a collector that takes OTLP over HTTP as JSON; `sample` the part of the
    traces that begin here (a client's own decision stands)."""

    otlp_url: Annotated[str, Meta(pattern=r"^(https?://\S+)?$")] = ""
    sample: Annotated[float, Meta(ge=0, le=1)] = 1.0
