"""Signatures for thinking that a model other than Claude made.

A client sends thinking blocks back as it got them. Ours say who made them and carry what that
provider wants back (Gemini's thought signature, OpenAI's encrypted reasoning), so that no
gateway has to remember anything: the same model gets it back, every other one does not.
"""

import base64
from typing import NamedTuple

import msgspec

PREFIX = "mmx1."


class Made(NamedTuple):
    """`payload` is the dialect's own; empty where it needs nothing back."""

    dialect: str
    model: str
    payload: str


def sign(dialect: str, model: str, payload: str = "") -> str:
    packed = base64.urlsafe_b64encode(msgspec.json.encode([dialect, model, payload])).decode()
    return PREFIX + packed


def read(signature: str) -> Made | None:
    """Who made it, or None for a signature that is not ours (then it is Claude's)."""
    if not signature.startswith(PREFIX):
        return None
    try:
        packed = base64.urlsafe_b64decode(signature[len(PREFIX) :])
        return Made(*msgspec.json.decode(packed, type=tuple[str, str, str]))
    except (ValueError, msgspec.MsgspecError):
        return Made("", "", "")
