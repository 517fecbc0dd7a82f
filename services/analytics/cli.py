"""`modelmuxer analytics …`: the schema, one person's records, and events nobody could take."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from libs.common.bus import Bus
from libs.common.contracts.identity import Principal
from libs.common.contracts.reports import REPORT, Report
from libs.common.settings import Settings
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import load
from libs.common.tables import Column, figure, table
from services.analytics import dead as graves
from services.analytics import migrations
from services.analytics.reports.person import EXPORTED
from services.analytics.rollups import rebuild
from services.analytics.store import Store

T = TypeVar("T")
ConfigFile = Annotated[str | None, typer.Option("--config", help="The settings file.")]
Org = Annotated[str, typer.Option(help="The organisation.")]
app = typer.Typer(help="Run analytics (`modelmuxer analytics`), or look into it.")
DEAD = (
    figure("event"),
    Column("when"),
    Column("consumer", least=10),
    Column("subject", least=10),
    Column("why", least=20),
)
dead_app = typer.Typer(help="Events that nobody could take.", no_args_is_help=True)
app.add_typer(dead_app, name="dead")


@app.command()
def migrate(config: ConfigFile = None) -> None:
    """Bring the schema up to date; safe to repeat.

    Example: MODELMUXER_CLICKHOUSE_URL=http://clickhouse:8123 modelmuxer analytics migrate
    """
    settings = load(config).settings

    async def work(store: Store) -> list[str]:
        return await migrations.migrate(store, settings)

    names = asyncio.run(_with_store(settings, work))
    where = settings.clickhouse_url or f"the embedded store in {settings.data_dir}"
    _say(f"{where}: " + (f"ran {', '.join(names)}" if names else "nothing to do"))


@app.command("rebuild")
def rebuild_rollups(config: ConfigFile = None) -> None:
    """Compute all hourly and daily sums anew from the rows.

    Example: modelmuxer analytics rebuild
    """
    settings = load(config).settings

    async def work(store: Store) -> int:
        months = 0
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("days", total=None)
            async for done, total in rebuild(store):
                progress.update(task, completed=done, total=total)
                months = done
        return months

    _say(f"{asyncio.run(_with_store(settings, work))} days rebuilt")


@app.command()
def export(
    user: Annotated[str, typer.Option(help="Whose records.")],
    org: Org = "default",
    out: Annotated[Path | None, typer.Option(help="A file; else standard output.")] = None,
    config: ConfigFile = None,
) -> None:
    """Everything stored about one person, as JSON Lines.

    Example: modelmuxer analytics export --user alice --out alice.jsonl
    """
    settings = load(config).settings
    count = asyncio.run(_with_bus(settings, lambda bus: _export(bus, org, user, out)))
    Console(stderr=True).print(f"{count} records of {user}")


@app.command()
def delete(
    user: Annotated[str, typer.Option(help="Whose records.")],
    org: Org = "default",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Delete what is stored about one person, sums included. The audit trail stays.

    Example: modelmuxer analytics delete --user alice --yes
    """
    settings = load(config).settings
    if not yes:
        typer.confirm(f"Delete all analytics records of {user!r} in {org!r}?", abort=True)
    found = asyncio.run(_with_bus(settings, lambda bus: _ask(bus, org, "delete", user=user)))
    _say(", ".join(f"{table}: {count}" for table, count in found["deleted"].items()))


@dead_app.command("list")
def list_dead(config: ConfigFile = None) -> None:
    """What was put aside, and why.

    Example: modelmuxer analytics dead list
    """

    async def work(bus: Bus) -> list[graves.Dead]:
        return [found async for found in graves.listed(bus.client)]

    rows = [
        [str(found.seq), found.at[:19], found.consumer, found.subject, found.why]
        for found in asyncio.run(_with_bus(load(config).settings, work))
    ]
    _say(table(DEAD, rows) if rows else "no dead events")


@dead_app.command("show")
def show_dead(event: int, config: ConfigFile = None) -> None:
    """One event in full.

    Example: modelmuxer analytics dead show 1207
    """
    settings = load(config).settings
    found = asyncio.run(_with_bus(settings, lambda bus: graves.one(bus.client, event)))
    _say(found.data.decode(errors="replace"))


@dead_app.command("replay")
def replay_dead(
    event: Annotated[int | None, typer.Argument(help="Its number; all if left out.")] = None,
    config: ConfigFile = None,
) -> None:
    """Tell dead events again; each counts once, however often.

    Example: modelmuxer analytics dead replay 1207
    """

    async def work(bus: Bus) -> int:
        client = bus.client
        found = [each async for each in graves.listed(client)]
        chosen = found if event is None else [await graves.one(client, event)]
        for each in chosen:
            await graves.replay(client, each)
        return len(chosen)

    _say(f"{asyncio.run(_with_bus(load(config).settings, work))} events told again")


@dead_app.command("drop")
def drop_dead(event: int, config: ConfigFile = None) -> None:
    """Forget one dead event for good.

    Example: modelmuxer analytics dead drop 1207
    """

    async def work(bus: Bus) -> None:
        await graves.drop(bus.client, await graves.one(bus.client, event))

    asyncio.run(_with_bus(load(config).settings, work))
    _say(f"event {event} is gone")


async def _export(bus: Bus, org: str, user: str, out: Path | None) -> int:
    count = 0
    with _opened(out) as write, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("records", total=None)
        for table in EXPORTED:
            cursor = ""
            while True:
                page = await _ask(bus, org, "export", user=user, table=table, cursor=cursor)
                for row in page["rows"]:
                    write(msgspec.json.encode({"table": table} | row).decode() + "\n")
                count += len(page["rows"])
                progress.update(task, completed=count)
                if not (cursor := page["next"]):
                    break
    return count


@contextmanager
def _opened(out: Path | None) -> Iterator[Callable[[str], Any]]:
    if out is None:
        yield sys.stdout.write
        return
    with out.open("w", encoding="utf-8") as file:
        yield file.write


async def _ask(bus: Bus, org: str, name: str, **query: str) -> dict[str, Any]:
    """As the operator of this machine, who may see every person of the org."""
    operator = Principal(key_id="operator", org=org, admin=True)
    given = {key: value for key, value in query.items() if value}
    asked = Report(principal=operator, name=name, query=given)
    answer = await bus.ask(REPORT, asked, timeout=60)
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


async def _with_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    store = Store.of(settings)
    try:
        return await work(store)
    finally:
        await store.close()


async def _with_bus(settings: Settings, work: Callable[[Bus], Awaitable[T]]) -> T:
    bus = await Bus.connect(bus_settings(settings), "operator")
    try:
        return await work(bus)
    finally:
        await bus.close()


def bus_settings(settings: Settings) -> BusSettings:
    """The configured bus, else the one that `modelmuxer up` runs in the data directory."""
    nats = msgspec.structs.replace(settings.nats, connect_timeout=3.0)
    local = settings.data / "nats.conf"
    if settings.nats_url:
        return msgspec.structs.replace(nats, url=settings.nats_url)
    if not local.is_file():
        return nats
    text = local.read_text()
    named = {
        name: match[1] if (match := re.search(rf'\b{name}: "([^"]*)"', text)) else ""
        for name in ("listen", "user", "password")
    }
    return msgspec.structs.replace(
        nats, url=f"nats://{named['listen']}", user=named["user"], password=named["password"]
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
