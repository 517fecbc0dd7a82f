"""A JSON value with one thing wrong in it: every place of it, and every kind of wrong thing."""

from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]
WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    10**30,
    "",
    "x",
    [],
    [None],
    [[]],
    [{}],
    {},
    {"type": None},
    {"type": ["x"]},
    [{"type": "text", "text": 5}],
)


def spoilt(value: Any) -> Iterator[tuple[Place, Any]]:
    """Where the wrong thing is, and the whole with it; also with the thing left out."""
    for place in places(value):
        yield place, _with(value, place, None, gone=True)
        for wrong in WRONG:
            yield place, _with(value, place, wrong)


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The way to everything that is in the value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, each in inner if isinstance(value, (dict, list)) else ():
        yield (*at, name)
        if isinstance(each, (dict, list)):
            yield from places(each, (*at, name))


def _with(value: Any, place: Place, wrong: Any, *, gone: bool = False) -> Any:
    """A copy of what is on the way; all else is shared."""
    copy, (name, *rest) = value.copy(), place
    if rest:
        copy[name] = _with(value[name], tuple(rest), wrong, gone=gone)
    elif gone:
        del copy[name]
    else:
        copy[name] = wrong
    return copy
