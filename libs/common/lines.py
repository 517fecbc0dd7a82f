"""The events of a journaled message: JSON, one a line."""

import contextlib
from typing import TypeVar

import msgspec

Q = TypeVar("Q")
# What is not understood, and why.
Dead = tuple[bytes, str]


def read_lines(decoder: "msgspec.json.Decoder[Q]", data: bytes) -> tuple[list[Q], list[Dead]]:
    """The events, and apart the lines that are none."""
    if data:
        with contextlib.suppress(msgspec.MsgspecError):
            return decoder.decode_lines(data), []
    good: list[Q] = []
    dead: list[Dead] = []
    for line in data.split(b"\n"):
        try:
            good.append(decoder.decode(line))
        except msgspec.MsgspecError as error:
            dead.append((line, str(error)))
    return good, dead
