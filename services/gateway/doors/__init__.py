"""Doors for OpenAI-shaped clients: their requests into canonical form, our answers back.

Each is a module of the same names: `to_canonical`, `from_canonical`, `Stream`, `render_error`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from services.gateway.doors import openai_chat as openai_chat
from services.gateway.doors import openai_responses as openai_responses

Json = dict[str, Any]


class Relay(Protocol):
    """One answer as the client's chunks."""

    def feed(self, chunk: bytes) -> list[bytes]: ...

    def close(self) -> list[bytes]: ...


class RelayType(Protocol):
    def __call__(self, body: Json | None = None) -> Relay: ...


class Door(Protocol):
    """The shape of a door module."""

    @property
    def to_canonical(self) -> Callable[[Json], Json]: ...

    @property
    def from_canonical(self) -> Callable[[Json], Json]: ...

    @property
    def render_error(self) -> Callable[[int, str, str, Mapping[str, Any]], Json]: ...

    @property
    def Stream(self) -> RelayType: ...


DOORS: dict[str, Door] = {"chat": openai_chat, "responses": openai_responses}
