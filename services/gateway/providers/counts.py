"""Numbers of tokens as strangers tell them: a usage is believed as a whole, or not at all.

What is not believed is as good as not told: our own estimate is booked then, and flagged.
"""

from collections.abc import Callable
from typing import Any

from libs.common.contracts.usage import Tokens

# More than any model reads or writes in one call.
MOST = 100_000_000
NOTHING = Tokens()


def believed(read: Callable[[Any], Tokens], usage: object) -> Tokens | None:
    """The tokens that `read` finds in a usage; None where it tells none, or nonsense."""
    try:
        found = read(usage)
    except (AttributeError, TypeError, ValueError):
        return None
    return found if found != NOTHING else None


def told(usage: Any, *path: str) -> int:
    """The number at the end of a path. Raises ValueError where there is none."""
    value = _at(usage, path)
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(f"{'.'.join(path)}: no number of tokens")
    return value


def maybe(usage: Any, *path: str) -> int:
    """The same, of a path that may lead nowhere: then 0."""
    return 0 if _at(usage, path) is None else told(usage, *path)


def _at(usage: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        usage = (usage or {}).get(name)
    return usage
