"""What every dialect offers, and the values it speaks in."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from libs.common.catalogue import ModelFacts
from libs.common.contracts.usage import Tokens

Json = dict[str, Any]
Options = Mapping[str, str]
Origin = Callable[[str], str]


class Translated(NamedTuple):
    """A body in the provider's form; what could not be kept, name -> how often; what was put
    otherwise, in words; and the tools that go by another name there, see names.py."""

    body: Json
    dropped: dict[str, int]
    changes: tuple[str, ...] = ()
    names: dict[str, str] = {}


class ProviderError(NamedTuple):
    """A provider's refusal in Anthropic's words; `status` is what the client should see."""

    type: str
    message: str
    status: int


class Preset(Struct, frozen=True, kw_only=True):
    """What a provider's name stands for. `base_url` may hold `{option}` slots; `key` is where
    its key is looked for when no other place is configured, empty for a local server."""

    dialect: str
    base_url: str
    catalogue: str
    options: dict[str, str] = {}
    key: str = ""


class Translator(Protocol):
    """One answer on its way back, turned into canonical SSE events as it arrives. Raises
    nothing but UpstreamFailed."""

    def feed(self, chunk: bytes) -> list[bytes]: ...

    def close(self) -> list[bytes]: ...


class StreamType(Protocol):
    def __call__(self, model: str, input_tokens: int) -> Translator: ...


class Dialect(Protocol):
    """The shape of a dialect module."""

    @property
    def path(self) -> Callable[[str, bool, Options], str]: ...

    @property
    def headers(self) -> Callable[[str, Options], dict[str, str]]: ...

    @property
    def to_upstream(self) -> Callable[[Json, str, ModelFacts | None, Origin], Translated]: ...

    @property
    def from_upstream(self) -> Callable[[Json, str], Json]:
        """Raises UpstreamFailed for a failure that is told, and what `UNREADABLE` (events.py)
        lists for an answer that is not in the dialect's form."""

    @property
    def usage_of(self) -> Callable[[Json], Tokens | None]:
        """None where no usage is told that can be believed (counts.py)."""

    @property
    def error_of(self) -> Callable[[int, bytes], ProviderError]: ...

    @property
    def Stream(self) -> StreamType: ...
