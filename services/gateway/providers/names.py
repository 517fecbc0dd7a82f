"""Tool names: Anthropic allows 128 characters, others 64.

A longer one travels under a shorter name with a mark of its own, and is put back in the answer.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

LONGEST = 64
_MARK = 12


def short(name: str) -> str:
    """The same short name for the same long one, in every turn."""
    if len(name) <= LONGEST:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:_MARK]
    return f"{name[: LONGEST - _MARK - 1]}_{mark}"


def shortened(*names: Any) -> dict[str, str]:
    """short name -> long name, of those that are too long."""
    return {short(name): name for name in names if isinstance(name, str) and len(name) > LONGEST}


def restore(canonical: bytes, names: Mapping[str, str]) -> bytes:
    """An answer, or a piece of its events, under the client's own names."""
    for shorter, longer in names.items():
        canonical = canonical.replace(
            b'"name":"%b"' % shorter.encode(), b'"name":"%b"' % longer.encode()
        )
    return canonical
