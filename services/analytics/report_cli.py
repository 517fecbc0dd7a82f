"""`modelmuxer costs|savings|requests|top|audit`: reports of a running gateway, over HTTP."""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from libs.common.errors import MuxError
from libs.common.settings.load import read_dotenv
from libs.common.tables import Column, figure, table

URL = "http://127.0.0.1:8000"
DEVELOPMENT_KEY = "sk-test-claude-dev"  # what a gateway without configured keys accepts
app = typer.Typer(no_args_is_help=True)
Days = Annotated[str, typer.Option(help="Calendar days, today included.")]
GroupBy = Annotated[
    str,
    typer.Option(
        help="model, day, key, user, team, run, agent, provider, asked or reason; "
        "several with commas."
    ),
]
Tz = Annotated[str, typer.Option(help="Whose days, for example Europe/Berlin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Dict = dict[str, Any]
SPENDING = (
    figure("cost"),
    figure("requests"),
    figure("input", spare=2),
    figure("output", spare=2),
    figure("cached", spare=3),
    figure("saved", spare=1),
)
SAVING = (
    figure("saved"),
    figure("percent", spare=1),
    figure("cost"),
    figure("baseline", spare=2),
    figure("requests", spare=3),
)
LOG = (
    Column("when"),
    Column("who", least=8),
    Column("asked → served", least=17),
    Column("why", least=20, spare=2),
    figure("cost"),
    figure("saved", spare=1),
    figure("masked", spare=3),
    figure("s"),
    Column("outcome"),
)
TRAIL = (
    figure("no."),
    Column("when"),
    Column("actor", least=10),
    Column("action", least=12),
    Column("target", least=12),
    Column("detail", least=20, spare=1),
)


@app.command()
def costs(
    days: Days = "7", group_by: GroupBy = "model", tz: Tz = "UTC", as_json: AsJson = False
) -> None:
    """What was spent.

    Example: modelmuxer costs --days 30 --group-by team
    """
    found = fetch("costs", days=days, group_by=group_by, tz=tz)
    if as_json:
        return _json(found)
    _print(_grouped(found, SPENDING, _spending))
    previous = found["previous"]
    Console().print(
        f"total ${found['total_cost']} in {found['requests']} requests, "
        f"{_trend(previous['change_percent'])} the {found['days']} days before "
        f"(${previous['total_cost']}){_simulated(found)}"
    )


@app.command()
def savings(
    days: Days = "7", group_by: GroupBy = "model", tz: Tz = "UTC", as_json: AsJson = False
) -> None:
    """What routing saved against the baseline, losses included.

    Example: modelmuxer savings --days 30 --group-by reason
    """
    found = fetch("savings", days=days, group_by=group_by, tz=tz)
    if as_json:
        return _json(found)
    _print(_grouped(found, SAVING, _saving))
    Console().print(
        f"saved ${found['total_saved']} of ${found['baseline_cost']} "
        f"({_percent(found['saved_percent'])}){_simulated(found)}"
    )


@app.command()
def requests(
    days: Days = "1",
    limit: Annotated[str, typer.Option(help="How many, at most.")] = "30",
    model: Annotated[str, typer.Option(help="Only this served model.")] = "",
    user: Annotated[str, typer.Option(help="Only this user.")] = "",
    run: Annotated[str, typer.Option(help="Only this run.")] = "",
    outcome: Annotated[str, typer.Option(help="ok, error, cancelled, refused, cached.")] = "",
    as_json: AsJson = False,
) -> None:
    """The last requests, newest first.

    Example: modelmuxer requests --outcome refused --days 7
    """
    query = {"days": days, "limit": limit, "model": model, "user": user, "run": run}
    found = fetch("requests", **query, outcome=outcome)
    if as_json:
        return _json(found)
    _print(_log(found["rows"]))


@app.command()
def top(
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 1.0,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Rows to show.")] = 20,
    once: Annotated[bool, typer.Option("--once", help="Look once and leave.")] = False,
) -> None:
    """Live view of the requests, until Ctrl-C.

    Example: modelmuxer top --limit 40
    """
    if once:
        return _print(_look(limit))
    painted = _painted(_look(limit))
    with Live(painted, refresh_per_second=4, screen=sys.stdout.isatty()) as live:
        while True:
            time.sleep(every)
            live.update(_painted(_look(limit)))


@app.command()
def audit(
    verb: Annotated[str, typer.Argument(help="`list` or `verify`.")] = "list",
    days: Days = "30",
    action: Annotated[str, typer.Option(help="Only this action.")] = "",
    as_json: AsJson = False,
) -> None:
    """Who changed what; `modelmuxer audit verify` checks that the trail is whole.

    Example: modelmuxer audit verify
    """
    if verb not in ("list", "verify"):
        raise MuxError("audit: say `modelmuxer audit` or `modelmuxer audit verify`")
    if verb == "verify":
        return _verify(as_json)
    found = fetch("audit", days=days, action=action)
    if as_json:
        return _json(found)
    _print(table(TRAIL, map(_trail, found["rows"])))


def _verify(as_json: bool) -> None:
    found = fetch("audit", verify="true")
    if as_json:
        _json(found)
    elif found["broken"]:
        Console().print(f"[red]the trail is broken: {found['broken']}[/red]")
    else:
        Console().print(f"{found['entries']} entries, unbroken, up to {found['hash'][:16]}…")
    if found["broken"]:
        raise typer.Exit(1)


def fetch(report: str, **query: str) -> Dict:
    """Ask the gateway at MODELMUXER_URL with MODELMUXER_KEY. Raises MuxError with its words."""
    environment = {**read_dotenv(Path(".env")), **os.environ}
    base = environment.get("MODELMUXER_URL", URL).rstrip("/")
    key = environment.get("MODELMUXER_KEY") or environment.get("API_KEYS", "").partition(",")[0]
    given = urllib.parse.urlencode({name: value for name, value in query.items() if value})
    request = urllib.request.Request(f"{base}/v1/analytics/{report}?{given}")
    request.add_header("Authorization", f"Bearer {key.strip() or DEVELOPMENT_KEY}")
    try:
        with urllib.request.urlopen(request, timeout=35) as answer:
            found: Dict = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise MuxError(_refusal(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise MuxError(f"no gateway at {base} ({reason}); start one with `modelmuxer up`") from None


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        words = str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        words = f"the gateway answered {error.code}"
    return f"{words} (set MODELMUXER_KEY to a key of the gateway)" if error.code == 401 else words


def _look(limit: int) -> str:
    log = fetch("requests", days="1", limit=str(limit))
    sums = fetch("costs", days="1")
    return (
        f"today ${sums['total_cost']} · saved ${sums['saved']} · "
        f"{sums['requests']} requests · {sums['errors']} errors{_simulated(sums)}\n\n"
        + _log(log["rows"])
    )


def _log(rows: list[Dict]) -> str:
    return table(LOG, map(_request, rows))


def _request(row: Dict) -> list[str]:
    good = row["outcome"] in ("ok", "cached")
    return [
        row["at"][11:19],
        row["user"] or row["key_name"] or row["key_id"],
        f"{row['asked']} → {row['model'] or 'nobody'}",
        row["reason"],
        f"${row['cost']}",
        f"${row['saved']}",
        str(sum(row["pii"].values()) or ""),
        f"{row['seconds']:.2f}",
        row["outcome"] if good else f"{row['outcome']} {row['status']}",
    ]


def _spending(row: Dict) -> list[str]:
    tokens = row["tokens"]
    return [
        f"${row['cost']}",
        str(row["requests"]),
        str(tokens["input"] + tokens["cache_read"] + _written(tokens)),
        str(tokens["output"]),
        f"{row['cache_share']:.0%}",
        f"${row['saved']}",
    ]


def _saving(row: Dict) -> list[str]:
    return [
        f"${row['saved']}",
        _percent(row["saved_percent"]),
        f"${row['cost']}",
        f"${row['baseline_cost']}",
        str(row["requests"]),
    ]


def _trail(row: Dict) -> list[str]:
    detail = ", ".join(f"{name}={value}" for name, value in row["detail"].items())
    when = str(row["at"])[:19].replace("T", " ")
    return [str(row["seq"]), when, row["actor"], row["action"], row["target"], detail]


def _grouped(found: Dict, figures: tuple[Column, ...], cells: Callable[[Dict], list[str]]) -> str:
    names = found["group_by"].split(",")
    columns = [*(Column(name, least=10) for name in names), *figures]
    return table(columns, [[*_names(row, names), *cells(row)] for row in found["groups"]])


def _names(row: Dict, names: list[str]) -> list[str]:
    told = {**row, "key": row.get("key_name") or row.get("key")}
    return [told[name] or "–" for name in names]


def _print(text: str) -> None:
    Console().print(_painted(text), soft_wrap=True)


def _painted(text: str) -> Text:
    """What went wrong in red; it stands at the end of a line."""
    painted = Text(text)
    painted.highlight_regex(r"(?m)(error|refused|cancelled) \d+$", "red")
    return painted


def _written(tokens: dict[str, int]) -> int:
    return tokens["cache_write_5m"] + tokens["cache_write_1h"]


def _trend(change: float | None) -> str:
    return "nothing spent in" if change is None else f"{change:+.1f} % against"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def _simulated(found: Dict) -> str:
    return f" · {found['simulated']} simulated" if found["simulated"] else ""


def _json(found: Dict) -> None:
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
