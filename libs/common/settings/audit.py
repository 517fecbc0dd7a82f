"""Audit: whether anything of what is said is kept."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bodies` is `off`, or `masked`: then requests and answers of keys with masking are stored
    with their placeholders, each up to `bodies_bytes`, for `bodies_days`."""

    bodies: Literal["off", "masked"] = "off"
    bodies_days: Annotated[int, Meta(ge=1)] = 30
    bodies_bytes: Annotated[int, Meta(ge=1, le=1_000_000)] = 65_536
