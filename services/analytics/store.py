"""ClickHouse: the embedded engine or a server, behind the same client and the same SQL.

The client is synchronous, so each side works in threads of its own: one writer, because the
embedded engine wants one, and readers, so that a report never waits for an insert.
"""

import asyncio
import logging
import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DatabaseError,
    DataError,
    OperationalError,
    ProgrammingError,
)
from clickhouse_connect.driver.insert import InsertContext

from libs.common.errors import MuxError, Unavailable
from libs.common.settings import Settings
from services.analytics.rows import Columns

log = logging.getLogger(__name__)
T = TypeVar("T")
Connect = Callable[[str], Client]
READ_SECONDS = 20
SLOW_SECONDS = 10.0  # what takes longer, its connection included, is in the log
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

# Times far apart are strange, but must not stop the insert of the others.
INSERT_SETTINGS = {"max_partitions_per_insert_block": 0}
# FINAL need not look for the same event in two months.
READ_SETTINGS = {
    "max_execution_time": READ_SECONDS,
    "do_not_merge_across_partitions_select_final": 1,
}

# Values of one list parameter: a server takes 128 KiB of a parameter (http_max_field_value_size).
LISTED = 1000

# What ClickHouse says about a value it cannot take (ErrorCodes.cpp): parsing, ranges, types.
DATA_ERRORS = frozenset({6, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407, 636})


def pieces(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in lists that fit a parameter."""
    return (values[start : start + LISTED] for start in range(0, len(values), LISTED))


class BadRow(MuxError):
    """ClickHouse understood the insert and refuses a value in it."""


class Store:
    """Open it with `await Store.open(settings)`; `close` waits for what is running."""

    def __init__(self, connect: Connect, database: str, readers: int) -> None:
        self._connect, self.database = connect, database
        self._writer = ThreadPoolExecutor(1, "clickhouse-write")
        self._readers = ThreadPoolExecutor(readers, "clickhouse-read")
        self._clients: dict[str, Client] = {}
        self._plans: dict[str, InsertContext] = {}

    @classmethod
    def of(cls, settings: Settings) -> "Store":
        """Nothing is opened yet: a server that is away now may be back later."""
        database = settings.analytics.database
        if not IDENTIFIER.fullmatch(database):
            raise MuxError(
                f"analytics.database: {database!r} is no plain name; use letters, digits, _"
            )
        if url := settings.clickhouse_url:
            return cls(lambda name: _server(url, name), database, readers=4)
        folder = settings.data / "clickhouse"
        return cls(lambda name: _embedded(folder, name), database, readers=1)

    async def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a SELECT; values only ever travel as `{name:Type}` parameters."""

        def work(client: Client) -> list[dict[str, Any]]:
            return list(client.query(sql, parameters, settings=READ_SETTINGS).named_results())

        return await self._in(self._readers, "read", work)

    async def write(self, sql: str, **parameters: Any) -> None:
        await self._in(self._writer, "write", lambda client: client.command(sql, parameters))

    async def read_own_writes(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a SELECT, in the writer's turn."""

        def work(client: Client) -> list[dict[str, Any]]:
            return list(client.query(sql, parameters).named_results())

        return await self._in(self._writer, "write", work)

    async def insert(self, table: str, columns: Columns) -> None:
        """Insert columns of equal length. Raises BadRow if a value among them is refused."""

        def work(client: Client) -> None:
            plan = self._plans.get(table)
            if plan is None:
                plan = client.create_insert_context(
                    table, list(columns), column_oriented=True, settings=INSERT_SETTINGS
                )
                self._plans[table] = plan
            plan.data = list(columns.values())
            client.insert(context=plan)

        await self._in(self._writer, "write", work)

    async def create_database(self) -> None:
        def work() -> None:
            client = self._connect("")
            try:
                client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            finally:
                client.close()

        await asyncio.get_running_loop().run_in_executor(self._writer, lambda: _said(work))

    async def close(self) -> None:
        for pool in (self._readers, self._writer):
            await asyncio.to_thread(pool.shutdown)
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._plans.clear()

    async def _in(self, pool: ThreadPoolExecutor, side: str, work: Callable[[Client], T]) -> T:
        def run() -> T:
            began = time.monotonic()
            try:
                client = self._clients.get(side)
                if client is None:
                    client = self._clients[side] = self._connect(self.database)
                return work(client)
            finally:
                if (took := time.monotonic() - began) > SLOW_SECONDS:
                    log.warning("ClickHouse: a %s took %.1f s", side, took)

        return await asyncio.get_running_loop().run_in_executor(pool, lambda: _said(run))


def _said(work: Callable[[], T]) -> T:
    """Run it, and put the driver's errors into our words; theirs quote the statement."""
    try:
        return work()
    except (DataError, OverflowError, struct.error) as error:
        raise BadRow(f"a value does not fit: {_first_line(error)}") from error
    except (OperationalError, OSError) as error:
        log.warning("ClickHouse: %s", _first_line(error))
        raise Unavailable("ClickHouse is away") from error
    except DatabaseError as error:
        if error.code in DATA_ERRORS:
            raise BadRow(f"ClickHouse refuses a value: {_first_line(error)}") from error
        log.warning("ClickHouse: %s", _first_line(error))
        raise Unavailable(f"ClickHouse said {error.name or 'no'}") from error
    except ClickHouseError as error:
        log.warning("ClickHouse: %s", _first_line(error))
        raise Unavailable("ClickHouse cannot be used") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _embedded(folder: Path, database: str) -> Client:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return clickhouse_connect.get_client(
            interface="chdb", path=str(folder), database=database or None, tz_mode="aware"
        )
    except ProgrammingError as error:
        log.warning("ClickHouse: %s", _first_line(error))
        raise Unavailable(
            f"{folder} cannot be opened; is another analytics at work on it? "
            "(it brings its schema up to date by itself)"
        ) from error


def _server(url: str, database: str) -> Client:
    return clickhouse_connect.get_client(
        dsn=url,
        database=database or None,
        autogenerate_session_id=False,
        connect_timeout=3,
        send_receive_timeout=60,
        compress=False,
        tz_mode="aware",
    )
