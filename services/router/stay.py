"""Stay or move: what a session's warm cache, and the task under way, make of the ranking."""

from services.router import cost, reasons
from services.router.label import STRONG_EFFORT
from services.router.task import Ranked, Task
from services.router.view import Option, Pin


def settle(task: Task, ranked: list[Ranked]) -> tuple[list[Ranked], bool, str]:
    """The order of trying, whether a warm session moves, and why it does or stays."""
    pin = task.pin
    here = next((r for r in ranked if pin and _is(r.option, pin)), None)
    if pin is None or here is None or here is ranked[0]:
        moved = pin is not None and pin.model != ranked[0].option.model
        return ranked, moved, reasons.GONE if moved else ""
    why = _why_stay(task, here, ranked[0])
    if not why:
        return ranked, True, reasons.HARDER if not here.good else reasons.PAYS
    return [here, *(r for r in ranked if r is not here)], False, why


def _is(option: Option, pin: Pin) -> bool:
    return option.model == pin.model and pin.deployment in ("", option.deployment.id)


def _why_stay(task: Task, here: Ranked, best: Ranked) -> str:
    """Why the session should stay where it is; empty if it should move."""
    pin, features = task.pin, task.features
    assert pin is not None
    if here.shut:
        return ""
    in_task = features.last_is_tool_result and pin.asked == features.model
    if not here.good and best.quality > here.quality:
        return reasons.IN_TASK if in_task and not _escalates(task) else ""
    if in_task:
        return reasons.IN_TASK
    if _pays(task, pin, here, best):
        return ""
    tokens = task.features.input_tokens
    turns = cost.break_even(here.option.price.rates(tokens), best.option.price.rates(tokens))
    return reasons.warm(turns) if pin.warm(task.now) else reasons.RISKY


def _pays(task: Task, pin: Pin, here: Ranked, best: Ranked) -> bool:
    """Is moving down worth it, with the way back and what has been gambled so far?"""
    if pin.credit < 0 and pin.ups >= cost.MOST_UPS:
        return False
    tokens = cost.likely_tokens(task.features)
    rates = here.option.price.rates(task.features.input_tokens)
    warm = bool(pin.warm(task.now))
    back = cost.way_back(rates, tokens, task.turns, tasks=pin.tasks, ups=pin.ups, warm=warm) * (
        cost.CAUTION if pin.credit < 0 else 1.0
    )
    return best.spend.stretch + back < here.spend.stretch


def _escalates(task: Task) -> bool:
    """Signs within a task that it is harder than it looked."""
    return task.features.effort in STRONG_EFFORT or task.pin is not None and task.pin.errors > 0
