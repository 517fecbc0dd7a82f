"""Calendar windows in UTC: where the one that holds a moment starts, and where it ends."""

from datetime import UTC, datetime
from functools import lru_cache

from libs.common.contracts.spending import Window

HOUR, DAY = 3600, 86400
# The first Monday of the epoch: 1970-01-05.
MONDAY = 4 * DAY
# How a window is called inside the store.
LETTERS: dict[Window, str] = {
    "hourly": "h",
    "daily": "d",
    "weekly": "w",
    "monthly": "m",
    "total": "t",
}
WINDOWS: dict[str, Window] = {letter: window for window, letter in LETTERS.items()}


def window_start(window: Window, at: float) -> int:
    """Seconds since the epoch; 0 for the window that never ends."""
    moment = int(at)
    match window:
        case "hourly":
            return moment - moment % HOUR
        case "daily":
            return moment - moment % DAY
        case "weekly":
            return moment - (moment - MONDAY) % (7 * DAY)
        case "monthly":
            return _month(moment, 0)
    return 0


def window_end(window: Window, at: float) -> int:
    """When the window that holds `at` is over; 0 for never."""
    if window == "total":
        return 0
    if window == "monthly":
        return _month(int(at), 1)
    length = {"hourly": HOUR, "daily": DAY, "weekly": 7 * DAY}[window]
    return window_start(window, at) + length


def starts(at: float) -> dict[str, int]:
    """The start of every window that holds `at`, by letter. Not to be changed: it is shared."""
    return _starts(int(at) // HOUR)


@lru_cache(64)
def _starts(hour: int) -> dict[str, int]:
    """Every window begins with an hour."""
    return {letter: window_start(window, hour * HOUR) for window, letter in LETTERS.items()}


def _month(moment: int, later: int) -> int:
    day = datetime.fromtimestamp(moment, UTC)
    years, month = divmod(day.month - 1 + later, 12)
    return int(datetime(day.year + years, month + 1, 1, tzinfo=UTC).timestamp())
