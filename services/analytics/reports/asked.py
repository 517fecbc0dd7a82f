"""What a caller asked, checked: every parameter becomes a value of a type, or an error that
names it and says what would be right. Values reach SQL as bound parameters only."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.contracts.identity import Principal
from libs.common.contracts.reports import Report
from libs.common.errors import Forbidden, InvalidRequest

MAX_DAYS = 400
MAX_LIMIT = 10_000
MAX_TEXT = 200
FORMATS = ("json", "csv", "jsonl")
CURSOR = re.compile(r"(\d{1,17})\.([\w.:-]{1,200})", re.ASCII)
# Not the system's own names, which ClickHouse does not know.
ZONE = re.compile(r"(?!right/|posix|localtime|Factory)[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")

# What a caller may group by, and the column it stands for.
GROUPS = {
    "model": "model",
    "asked": "asked",
    "provider": "provider",
    "key": "key_id",
    "user": "user",
    "team": "team",
    "run": "run",
    "agent": "agent",
    "reason": "reason",
    "day": "day",
}


class Period(Struct, frozen=True, kw_only=True):
    """[since, until): whole calendar days of `tz`; the last one is today."""

    days: int
    tz: str
    since: datetime
    until: datetime
    now: datetime

    @property
    def before(self) -> tuple[datetime, datetime]:
        """As much of the days before as has passed of these."""
        since = _midnight(self.since.astimezone(ZoneInfo(self.tz)), -self.days)
        return since, min(since + (self.now - self.since), self.since)


class Asked(Struct, frozen=True, kw_only=True):
    """Use the readers below for what only one report understands."""

    principal: Principal
    period: Period
    format: str
    query: Mapping[str, str]

    @classmethod
    def of(cls, report: Report, known: tuple[str, ...]) -> "Asked":
        for name in report.query:
            if name not in known:
                raise InvalidRequest(f"{_shown(name)}: no such parameter; use {', '.join(known)}")
        query = report.query
        return cls(
            principal=report.principal,
            period=period_of(query, datetime.now(UTC)),
            format=one_of("format", query.get("format", "json"), FORMATS),
            query=query,
        )

    @property
    def group_by(self) -> tuple[str, ...]:
        return group_by_of(self.query.get("group_by", "model"))

    @property
    def limit(self) -> int:
        return whole("limit", self.query.get("limit", "100"), 1, MAX_LIMIT)

    @property
    def cursor(self) -> tuple[int, str] | None:
        """Where the page before ended: microseconds and id."""
        text = self.query.get("cursor", "")
        if not text:
            return None
        found = CURSOR.fullmatch(text)
        if found is None:
            raise InvalidRequest("cursor: must be the `next` of the page before")
        return int(found[1]), found[2]

    def text(self, name: str, needed: bool = False) -> str:
        value = self.query.get(name, "")
        if len(value) > MAX_TEXT or not value.isprintable():
            raise InvalidRequest(f"{name}: must be plain text of at most {MAX_TEXT} characters")
        if needed and not value:
            raise InvalidRequest(f"{name}: is missing")
        return value

    def only_administrators(self, what: str) -> None:
        if not self.principal.admin:
            raise Forbidden(f"{what}: only an administrator's key may ask for it")


def period_of(query: Mapping[str, str], now: datetime) -> Period:
    days = whole("days", query.get("days", "7"), 1, MAX_DAYS)
    zone = zone_of(query.get("tz", "UTC"))
    today = now.astimezone(zone)
    since, until = _midnight(today, 1 - days), _midnight(today, 1)
    return Period(days=days, tz=zone.key, since=since, until=until, now=now)


def whole(name: str, text: str, least: int, most: int) -> int:
    rule = f"{name}: must be a whole number from {least} to {most}"
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidRequest(rule)
    if not least <= int(text) <= most:
        raise InvalidRequest(rule)
    return int(text)


def one_of(name: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise InvalidRequest(f"{name}: must be one of {', '.join(choices)}")
    return text


def group_by_of(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if len(names) > 3:
        raise InvalidRequest("group_by: at most three names, separated by commas")
    for name in names:
        one_of("group_by", name, tuple(GROUPS))
    return names


def zone_of(name: str) -> ZoneInfo:
    rule = "tz: must be an IANA time zone, for example UTC or Europe/Berlin"
    if not ZONE.fullmatch(name) or len(name) > 64:
        raise InvalidRequest(rule)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidRequest(rule) from None


def _midnight(local: datetime, days: int) -> datetime:
    """The start of the local day so many days on, in UTC."""
    day = (local + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.astimezone(UTC)


def _shown(name: str) -> str:
    return name if name.isidentifier() and len(name) < 40 else "a parameter"
