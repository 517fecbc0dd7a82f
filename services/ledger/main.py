"""The ledger: money, limits, keys. Everything it serves is wired here."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from libs.common.bus import Bus
from libs.common.contracts.identity import LOOK_UP_KEY
from libs.common.contracts.spending import (
    ACT_ON_KEY,
    ADMIT,
    CREATE_KEY,
    DELETE_BUDGET,
    LIST_BUDGETS,
    LIST_KEYS,
    LIST_LIMITS,
    LIST_PAUSES,
    PAUSE,
    RESERVE,
    SET_BUDGET,
    SET_LIMITS,
)
from libs.common.contracts.usage import USED
from libs.common.journal import Consumer, ensure_streams
from libs.common.outbox import Outbox
from libs.common.settings.load import Loaded
from services.ledger.alerts import Alerter
from services.ledger.book import Book, Clock
from services.ledger.budgets import BudgetDesk
from services.ledger.keys import KeyDesk
from services.ledger.policies import PolicyDesk
from services.ledger.rebuild import DURABLE, Keeper
from services.ledger.register import open_register
from services.ledger.reserving import Reserver
from services.ledger.settling import Settler
from services.ledger.store import open_store
from services.ledger.sweeping import Sweeper
from services.ledger.webhooks import webhooks

# A row that cannot be booked is tried for days, not dropped: it is money.
MAX_DELIVER = 10_000
LOCAL = "redis://127.0.0.1:6379/0"


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded, clock: Clock = time.time) -> AsyncIterator[None]:
    settings = loaded.settings
    await ensure_streams(bus, settings.journal)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store = await enter(open_store(settings.redis_url or LOCAL, settings.ledger.store_timeout))
        register = await enter(open_register(bus, store))
        outbox = await enter(Outbox(bus, settings.journal, spool(loaded)))
        book = Book(store, settings.ledger, clock)
        keeper = Keeper(bus, store, register, book)
        stack.push_async_callback(keeper.close)
        await keeper.open()
        alerter = Alerter(register, store, outbox, clock)
        settler = Settler(keeper, alerter)
        consumer = Consumer(bus, DURABLE, [USED], settler.take, max_deliver=MAX_DELIVER)
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        stack.callback(settler.close)
        sweeper = Sweeper(bus, store, outbox, keeper, clock)
        await enter(sweeper.running(settings.ledger.sweep_every))
        await enter(webhooks(bus, loaded))

        budgets = BudgetDesk(register, store, clock)
        keys = KeyDesk(bus, register, store, clock)
        policies = PolicyDesk(bus, register, store, settings.ledger, clock)
        await bus.serve(RESERVE, Reserver(book, register, keeper, alerter).reserve)
        await bus.serve(ADMIT, policies.admit)
        await bus.serve(SET_BUDGET, budgets.put)
        await bus.serve(LIST_BUDGETS, budgets.show)
        await bus.serve(DELETE_BUDGET, budgets.remove)
        await bus.serve(LOOK_UP_KEY, keys.look_up)
        await bus.serve(CREATE_KEY, keys.create)
        await bus.serve(ACT_ON_KEY, keys.act)
        await bus.serve(LIST_KEYS, keys.show)
        await bus.serve(SET_LIMITS, policies.set_limits)
        await bus.serve(LIST_LIMITS, policies.list_limits)
        await bus.serve(PAUSE, policies.pause)
        await bus.serve(LIST_PAUSES, policies.list_pauses)
        yield


def spool(loaded: Loaded) -> Path:
    return loaded.settings.data / "spool" / "ledger"
