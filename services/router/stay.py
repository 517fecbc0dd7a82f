"""Stay or move: what a session's warm cache, and the task under way, make of the ranking."""

import math

from libs.common.contracts.routing import Features
from services.router import cost, reasons
from services.router.label import STRONG_EFFORT
from services.router.task import Ranked, Task
from services.router.view import Option, Pin


def settle(task: Task, ranked: list[Ranked]) -> tuple[list[Ranked], bool, str]:
    """The order of trying, whether a warm session moves, and why it does or stays."""
    pin = task.pin
    home = _home(task, ranked) if pin is None else None
    if home:
        return [home, *(r for r in ranked if r is not home)], False, reasons.RISKY_START
    here = next((r for r in ranked if pin and _is(r.option, pin)), None)
    if pin is None or here is None or here is ranked[0]:
        moved = pin is not None and pin.model != ranked[0].option.model
        return ranked, moved, reasons.GONE if moved else ""
    why = _why_stay(task, here, ranked[0])
    if not why:
        return ranked, True, reasons.HARDER if not here.good else reasons.PAYS
    return [here, *(r for r in ranked if r is not here)], False, why


def _home(task: Task, ranked: list[Ranked]) -> Ranked | None:
    """The asked model, where a session that begins on a cheaper one would likely lose by it: its
    first harder task writes the whole context into the asked model's cache."""
    features, best = task.features, ranked[0]
    asked = next((r for r in ranked if r.option.facts is task.asked.facts), None)
    if not _lasts(features) or asked is None or asked is best or not asked.good or asked.shut:
        return None
    if best.shut or not best.good:
        return None
    rates = asked.option.price.rates(features.input_tokens)
    tokens = cost.likely_tokens(features)
    back = cost.way_back(rates, tokens, task.turns, tasks=0, ups=0, warm=False)
    worth = best.spend.stretch + back * cost.START < asked.spend.stretch
    there = best.option.price.rates(features.input_tokens)
    return None if worth and math.isfinite(cost.break_even(rates, there)) else asked


def _lasts(features: Features) -> bool:
    """An agent's conversation, of which more is to come."""
    return features.cache_marks > 0 and features.tools >= 3 and not features.background


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
    back = cost.way_back(rates, tokens, task.turns, tasks=pin.tasks, ups=pin.ups, warm=warm)
    caution = cost.caution(warm=warm, losing=pin.credit < 0)
    return best.spend.stretch + back * caution < here.spend.stretch * cost.CLEARLY


def _escalates(task: Task) -> bool:
    """Signs within a task that it is harder than it looked."""
    return task.features.effort in STRONG_EFFORT or task.pin is not None and task.pin.errors > 0
