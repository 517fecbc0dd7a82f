"""`modelmuxer ledger rebuild|check`: the book and the journal, without a gateway."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from libs.common.bus import Bus
from libs.common.errors import Conflict
from libs.common.journal import ensure_streams
from libs.common.local import find_bus, find_redis
from libs.common.money import usd
from libs.common.settings import Settings
from libs.common.settings.load import load
from libs.common.tables import Column, figure, table
from services.ledger import names
from services.ledger.book import Book
from services.ledger.checking import Checked, check
from services.ledger.rebuild import Keeper, Rebuilt
from services.ledger.register import open_register
from services.ledger.store import AWAY, Store, away, open_store
from services.ledger.windows import WINDOWS

app = typer.Typer(help="Run the ledger (`modelmuxer ledger`), or look into it.")
ConfigFile = Annotated[str | None, typer.Option("--config", help="The settings file.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def rebuild(
    wipe: Annotated[bool, typer.Option("--wipe", help="Forget the book that stands.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Make the book from the journal: every definition, and every row.

    A book that stands is only replaced with --wipe; requests get 503 until the new one stands.

    Example: modelmuxer ledger rebuild --wipe
    """
    with Progress(console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("messages of the journal", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        done = asyncio.run(rebuild_book(load(config).settings, wipe, progress))
    if as_json:
        return _say(msgspec.json.encode(done).decode())
    _say(f"booked {done.rows} rows, ${usd(done.cost)}")


@app.command("check")
def check_book(as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Compare the book with the sums over the journal's rows; exit code 1 if they differ.

    Example: modelmuxer ledger check
    """
    found = asyncio.run(_check(load(config).settings))
    if as_json:
        _say(msgspec.json.encode(found).decode())
    else:
        _show(found)
    raise typer.Exit(1 if found.differences else 0)


def _show(found: Checked) -> None:
    _say(
        f"{found.rows} rows, ${usd(found.cost)}, {found.reconciled} of them reconciled; "
        f"{found.open} reservations open"
    )
    if not found.differences:
        return _say("the book agrees with the journal in every scope and window")
    columns = (Column("scope"), Column("id", least=12), Column("window"))
    rows = (
        [each.scope, each.scope_id, WINDOWS[each.window], usd(each.booked), usd(each.rows)]
        for each in found.differences
    )
    _say(table([*columns, figure("book"), figure("journal")], rows))


async def rebuild_book(
    settings: Settings, wipe: bool, progress: Callable[[int, int], None] | None = None
) -> Rebuilt:
    async with _stores(settings) as (bus, store), open_register(bus, store) as register:
        keeper = Keeper(bus, store, register, Book(store, settings.ledger))
        keeper.progress = progress or keeper.progress
        try:
            if not wipe and await store.redis.exists(names.BOOK):
                raise Conflict("the book stands; compare it with `ledger check`, or add --wipe")
            return await keeper.rebuild(anew=wipe)
        except AWAY as error:
            raise away(error) from error


async def _check(settings: Settings) -> Checked:
    async with _stores(settings) as (bus, store):
        try:
            return await check(bus, store, time.time)
        except AWAY as error:
            raise away(error) from error


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[tuple[Bus, Store]]:
    bus = await Bus.connect(find_bus(settings), "cli")
    try:
        await ensure_streams(bus, settings.journal)
        async with open_store(find_redis(settings), 5.0) as store:
            yield bus, store
    finally:
        await bus.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
