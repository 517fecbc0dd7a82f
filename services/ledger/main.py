"""The ledger: money, limits, keys. Everything it serves is wired here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from libs.common.bus import Bus
from libs.common.contracts.identity import LOOK_UP_KEY
from libs.common.contracts.spending import DELETE_BUDGET, LIST_BUDGETS, RESERVE, SET_BUDGET
from libs.common.contracts.usage import USED
from libs.common.journal import Consumer, ensure_streams
from libs.common.outbox import Outbox
from libs.common.settings.load import Loaded
from services.ledger.alerts import Alerter
from services.ledger.book import Book
from services.ledger.budgets import BudgetDesk
from services.ledger.keys import KeyDesk
from services.ledger.rebuild import Keeper
from services.ledger.register import open_register
from services.ledger.reserving import Reserver
from services.ledger.settling import Settler
from services.ledger.store import open_store

# A row that cannot be booked is tried for hours, not dropped: it is money.
MAX_DELIVER = 10_000


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    settings = loaded.settings
    await ensure_streams(bus, settings.journal)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store = await enter(open_store(settings.redis_url, settings.ledger.store_timeout))
        register = await enter(open_register(bus, store))
        outbox = await enter(Outbox(bus, settings.journal, spool(loaded)))
        book = Book(store, settings.ledger)
        keeper = Keeper(bus, store, register, book)
        stack.callback(keeper.close)
        await keeper.open()
        alerter = Alerter(register, store, outbox)
        settler = Settler(book, alerter)
        consumer = Consumer(bus, "ledger", [USED], settler.take, max_deliver=MAX_DELIVER)
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        stack.callback(settler.close)

        budgets = BudgetDesk(register, store)
        await bus.serve(RESERVE, Reserver(book, register, keeper, alerter).reserve)
        await bus.serve(SET_BUDGET, budgets.put)
        await bus.serve(LIST_BUDGETS, budgets.show)
        await bus.serve(DELETE_BUDGET, budgets.remove)
        await bus.serve(LOOK_UP_KEY, KeyDesk(register, store).look_up)
        yield


def spool(loaded: Loaded) -> Path:
    return loaded.settings.data / "spool" / "ledger.ndjson"
