"""What a caller asked, checked: every parameter becomes a value of a type, or an error that
names it and says what would be right. Values reach SQL as bound parameters only."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.contracts.identity import Principal
from libs.common.contracts.reports import Report
from libs.common.errors import InvalidRequest

MAX_DAYS = 400
FORMATS = ("json", "csv", "jsonl")

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
        zone = ZoneInfo(self.tz)
        since = _midnight(self.since.astimezone(zone), -self.days)
        return since, min(since + (self.now - self.since), self.since)


class Asked(Struct, frozen=True, kw_only=True):
    principal: Principal
    period: Period
    group_by: tuple[str, ...]
    format: str
    query: Mapping[str, str]

    @classmethod
    def of(cls, report: Report) -> "Asked":
        query = report.query
        return cls(
            principal=report.principal,
            period=period_of(query, datetime.now(UTC)),
            group_by=group_by_of(query.get("group_by", "model")),
            format=one_of("format", query.get("format", "json"), FORMATS),
            query=query,
        )


def period_of(query: Mapping[str, str], now: datetime) -> Period:
    days = whole("days", query.get("days", "7"), 1, MAX_DAYS)
    zone = zone_of(query.get("tz", "UTC"))
    today = now.astimezone(zone)
    return Period(
        days=days,
        tz=zone.key,
        since=_midnight(today, 1 - days),
        until=_midnight(today, 1),
        now=now,
    )


def whole(name: str, text: str, least: int, most: int) -> int:
    rule = f"{name}: must be a whole number from {least} to {most}"
    if not text.isascii() or not text.isdigit() or len(text) > 9:
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
    if not name or len(name) > 64 or name.startswith(("/", ".")) or ".." in name:
        raise InvalidRequest(rule)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidRequest(rule) from None


def _midnight(local: datetime, days: int) -> datetime:
    """The start of the local day so many days on, in UTC."""
    day = (local + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.astimezone(UTC)
