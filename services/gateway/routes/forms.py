"""Small readings of JSON forms, shared by the routes."""

from datetime import UTC, datetime
from typing import Any

from libs.common.errors import InvalidRequest


def moment(seconds: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def known_fields(form: dict[str, object], known: set[str]) -> None:
    """Raises InvalidRequest for a field nobody reads."""
    if unknown := sorted(set(form) - known):
        raise InvalidRequest(f"{unknown[0][:60]}: no such field; use {', '.join(sorted(known))}")


def text(form: dict[str, object], name: str, default: str = "", limit: int = 200) -> str:
    value = form.get(name, default)
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidRequest(f"{name}: must be text of at most {limit} characters")
    return value


def whole(form: dict[str, object], name: str, top: int = 10**12) -> int:
    value = form.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= top:
        raise InvalidRequest(f"{name}: must be a whole number from 0 (no limit) up")
    return value


def flag(form: dict[str, object], name: str, default: bool = False) -> bool:
    value = form.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name}: must be true or false")
    return value


def one_of(form: dict[str, object], name: str, allowed: tuple[str, ...], default: str = "") -> Any:
    value = form.get(name, default)
    if value not in allowed:
        raise InvalidRequest(f"{name}: must be one of {', '.join(filter(None, allowed))}")
    return value
