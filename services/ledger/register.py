"""Definitions: budgets, keys, limits, pauses. Written to the journal before they apply.

The journal's state stream has the last word; Redis holds a copy that the scripts read, and
every replica another in memory, which decides what is allowed while Redis is away.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.identity import Key, Principal
from libs.common.contracts.spending import Budget, LimitEntry, Paused_
from libs.common.state import StateReader, write_state
from services.ledger import names
from services.ledger.store import AWAY, Scripts, Store, in_groups
from services.ledger.windows import LETTERS


class BudgetWord(Struct, frozen=True, kw_only=True, tag="budget"):
    budget: Budget
    deleted: bool = False


class KeyWord(Struct, frozen=True, kw_only=True, tag="key"):
    """`former` is the hash of the secret before the last rotation, good until `former_until`."""

    key: Key
    sha256: str
    former: str = ""
    former_until: float = 0.0


class LimitWord(Struct, frozen=True, kw_only=True, tag="limit"):
    entry: LimitEntry


class PauseWord(Struct, frozen=True, kw_only=True, tag="pause"):
    pause: Paused_


class MonthWord(Struct, frozen=True, kw_only=True, tag="month"):
    """What a month that has passed has cost, for a scope with a total."""

    org: str
    scope: str
    scope_id: str
    start: int
    cost: int = 0


Word = BudgetWord | KeyWord | LimitWord | PauseWord | MonthWord
W = TypeVar("W", BudgetWord, LimitWord, PauseWord, MonthWord)


class Register:
    """What is defined, as this replica knows it."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus, self._store = bus, store
        self._reader: StateReader[Word] = StateReader(bus, Word, self.take)
        self._words: dict[str, tuple[int, Word]] = {}
        self._by_scope: dict[tuple[str, str, str], dict[str, Budget]] = {}
        # Keys are many and seldom needed here: kept packed, the garbage collector never walks
        # them, and a reservation costs the same with ten thousand keys as with ten.
        self._keys: dict[str, bytes] = {}
        self._ids_by_hash: dict[str, str] = {}
        self._ids_by_name: dict[str, str] = {}

    async def follow(self) -> None:
        await self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()

    async def write(self, word: Word) -> None:
        """Journal it, then apply it. Raises Unavailable if it could not be journaled; a store
        that is away takes it when it is back."""
        place = await write_state(self._bus, name_of(word), word)
        self._remember(word, place)
        await self._apply(word, place)

    async def take(self, word: Word, place: int) -> None:
        """An entry of the journal, possibly our own or an old one."""
        if self._remember(word, place):
            try:
                await self._apply(word, place)
            except AWAY:
                return  # `restore` brings it when the store is back

    @property
    def current(self) -> bool:
        """Whether it knows all that was defined before the bus was last found."""
        return self._reader.current

    async def restore(self, scripts: Scripts | None = None) -> None:
        """Write every definition to the store; what is newer there stays."""

        async def apply(entry: bytes | tuple[int, Word]) -> None:
            place, word = _unpacked(entry) if isinstance(entry, bytes) else entry
            await self._apply(word, place, scripts)

        entries: list[bytes | tuple[int, Word]] = [*self._words.values(), *self._keys.values()]
        await in_groups(apply, entries)

    def words(self, kind: type[W]) -> list[W]:
        return [word for _, word in self._words.values() if isinstance(word, kind)]

    def orgs(self) -> set[str]:
        """Every tenant that something was defined for."""
        return {org_of(word) for _, word in self._words.values()} | {
            word.key.org for word in self.all_keys()
        }

    def knows(self, word: Word) -> bool:
        return name_of(word) in self._words

    def totals(self) -> list[tuple[str, str, str]]:
        """Scopes with a budget that never ends; those of runs end with the run."""
        return [
            scope
            for scope, budgets in self._by_scope.items()
            if scope[1] != "run" and any(b.window == "total" for b in budgets.values())
        ]

    def all_keys(self) -> list[KeyWord]:
        return [_unpacked(packed)[1] for packed in self._keys.values()]

    def key(self, id: str) -> KeyWord | None:
        packed = self._keys.get(id)
        return _unpacked(packed)[1] if packed else None

    def key_by_hash(self, sha256: str) -> KeyWord | None:
        return self.key(self._ids_by_hash.get(sha256, ""))

    def key_by_name(self, org: str, name: str) -> KeyWord | None:
        """The one that opens something under that name."""
        word = self.key(self._ids_by_name.get(f"{org}\0{name}", ""))
        return word if word and not word.key.revoked_at else None

    def budget(self, org: str, scope: str, scope_id: str, window: str) -> Budget | None:
        budgets = self._by_scope.get((org, scope, scope_id), {}).values()
        return next((budget for budget in budgets if budget.window == window), None)

    def budget_by_id(self, org: str, id: str) -> Budget | None:
        _, word = self._words.get(f"budget.{id}", (0, None))
        if isinstance(word, BudgetWord) and not word.deleted and word.budget.org == org:
            return word.budget
        return None

    def budgets_of(self, principal: Principal) -> list[Budget]:
        """The budgets that apply to a request, the widest scope first."""
        found: list[Budget] = []
        for scope, scope_id in names.scopes(principal):
            found += self._by_scope.get((principal.org, scope, scope_id), {}).values()
        return found

    def pause_of(self, principal: Principal) -> Paused_ | None:
        for scope, scope_id in names.scopes(principal):
            word = self._words.get(f"pause.{names.digest(principal.org, scope, scope_id)}")
            if word and isinstance(word[1], PauseWord) and word[1].pause.paused:
                return word[1].pause
        return None

    def _remember(self, word: Word, place: int) -> bool:
        if isinstance(word, KeyWord):
            return self._remember_key(word, place)
        name = name_of(word)
        known = self._words.get(name)
        if known and known[0] >= place:
            return False
        self._words[name] = (place, word)
        if isinstance(word, BudgetWord):
            self._remember_budget(word)
        return True

    def _remember_budget(self, word: BudgetWord) -> None:
        budget = word.budget
        scope = self._by_scope.setdefault((budget.org, budget.scope, budget.scope_id), {})
        if word.deleted:
            scope.pop(budget.id, None)
        else:
            scope[budget.id] = budget

    def _remember_key(self, word: KeyWord, place: int) -> bool:
        key = word.key
        packed = self._keys.get(key.id)
        if packed and _unpacked(packed)[0] >= place:
            return False
        self._keys[key.id] = msgspec.msgpack.encode((place, word))
        # Hashes of former secrets stay: whoever looks one up compares with the record.
        self._ids_by_hash[word.sha256] = key.id
        if not key.revoked_at:
            self._ids_by_name[f"{key.org}\0{key.name}"] = key.id
        return True

    async def _apply(self, word: Word, place: int, scripts: Scripts | None = None) -> None:
        if isinstance(word, MonthWord):
            return  # only a rebuild needs it
        keys, args = stored(word, place)
        await (scripts or self._store).run("define", keys, args)


def _unpacked(packed: bytes) -> tuple[int, KeyWord]:
    return msgspec.msgpack.decode(packed, type=tuple[int, KeyWord])


def name_of(word: Word) -> str:
    """The subject of a definition: one per object, made of safe characters only."""
    match word:
        case BudgetWord():
            return f"budget.{word.budget.id}"
        case KeyWord():
            return f"key.{word.key.id}"
        case MonthWord():
            return f"month.{names.digest(word.org, word.scope, word.scope_id)}.{word.start}"
        case LimitWord():
            entry = word.entry
            return f"limit.{names.digest(entry.org, entry.scope, entry.scope_id)}"
    pause = word.pause
    return f"pause.{names.digest(pause.org, pause.scope, pause.scope_id)}"


def org_of(word: Word) -> str:
    match word:
        case BudgetWord():
            return word.budget.org
        case KeyWord():
            return word.key.org
        case LimitWord():
            return word.entry.org
        case MonthWord():
            return word.org
    return word.pause.org


def stored(
    word: BudgetWord | KeyWord | LimitWord | PauseWord, place: int
) -> tuple[list[str], list[str | int | bytes]]:
    """Keys and arguments of the script that defines it."""
    match word:
        case BudgetWord():
            budget = word.budget
            keys = [
                names.tenant(budget.org, "at", budget.scope, budget.scope_id),
                names.tenant(budget.org, "budgets"),
            ]
            whole = b"" if word.deleted else msgspec.json.encode(budget)
            short = "" if word.deleted else short_form(budget)
            return keys, [f"D{LETTERS[budget.window]}", place, short, budget.id, whole]
        case KeyWord():
            keys = [names.KEYS_BY_ID, names.KEYS_BY_HASH]
            whole = msgspec.json.encode(word)
            return keys, [word.key.id, place, whole, word.sha256, word.key.id]
        case LimitWord():
            entry, limits = word.entry, word.entry.limits
            short = f"{limits.rpm}|{limits.tpm}|{limits.concurrency}"
            field = f"{entry.scope}:{entry.scope_id}"
            return [names.tenant(entry.org, "limits")], [field, place, short]
    pause = word.pause
    short = f"{int(pause.paused)}|{pause.reason}"
    return [names.tenant(pause.org, "pauses")], [f"{pause.scope}:{pause.scope_id}", place, short]


def short_form(budget: Budget) -> str:
    """What the scripts read of a budget on every call."""
    thresholds = ",".join(f"{t:g}" for t in sorted(budget.thresholds))
    return f"{budget.limit}|{budget.mode[0]}|{int(budget.clamp)}|{thresholds}"


@asynccontextmanager
async def open_register(bus: Bus, store: Store) -> AsyncIterator[Register]:
    """A register that knows everything written so far and follows what comes."""
    register = Register(bus, store)
    try:
        await register.follow()
        yield register
    finally:
        await register.stop()
