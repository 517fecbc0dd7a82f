"""What traffic teaches: how good each model has turned out to be, per kind of work.

Structural features and outcomes only; no text is kept anywhere to learn from. A decision
counts as bad if its attempt was refused or cut off, if the session had to move up, or if the
caller said so; feedback weighs more than what is inferred.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from libs.common.contracts.routing import Decision, Feedback
from libs.common.contracts.usage import Usage
from services.router.quality import STEEP

# The prior counts as so many observed decisions; a word from the caller as so many.
PRIOR, SAID = 30.0, 5.0
BAD_STOPS = {"refusal", "max_tokens", "model_context_window_exceeded"}
LEAST, MOST = 0.02, 0.995
RETRY_SECONDS = 120.0

Skills = dict[str, float]


class Lessons:
    """Gather events in any order, then ask for `skills`."""

    def __init__(self) -> None:
        self._decisions: dict[str, Decision] = {}
        self._served: dict[str, Usage] = {}
        self._said: dict[str, float] = {}

    def take(self, event: Decision | Usage | Feedback) -> None:
        match event:
            case Decision():
                self._decisions[event.decision_id] = event
            case Usage() if event.decision_id and event.outcome == "ok":
                self._served[event.decision_id] = event
            case Feedback():
                self._said[event.decision_id] = event.score

    @property
    def count(self) -> int:
        return len(self._decisions.keys() & self._served.keys())

    def skills(self) -> Skills:
        """The shift of the skill by "model label"."""
        failed = self._failed_sessions()
        good: dict[tuple[str, str], float] = defaultdict(float)
        bad: dict[tuple[str, str], float] = defaultdict(float)
        expected: dict[tuple[str, str], list[float]] = defaultdict(list)
        for decision_id in self._decisions.keys() & self._served.keys():
            decision, usage = self._decisions[decision_id], self._served[decision_id]
            key = (usage.model, decision.plan.label)
            quality = _quality(decision, usage.model)
            if not quality:
                continue
            expected[key].append(quality)
            score = self._said.get(decision_id)
            weight = 1.0 if score is None else SAID * abs(score)
            lost = usage.stop_reason in BAD_STOPS or decision_id in failed
            if lost if score is None else score < 0:
                bad[key] += weight
            else:
                good[key] += weight
        return {
            f"{model} {label}": _skill(values, good[model, label], bad[model, label])
            for (model, label), values in expected.items()
        }

    def _failed_sessions(self) -> set[str]:
        """Decisions whose next turn, soon after, had to escalate or brought a tool failure."""
        by_session: dict[tuple[str, str, str], list[Decision]] = defaultdict(list)
        for decision in self._decisions.values():
            principal = decision.principal
            if principal.run:
                by_session[principal.key_id, principal.run, principal.agent].append(decision)
        failed = set()
        for decisions in by_session.values():
            decisions.sort(key=lambda decision: decision.at)
            for before, after in zip(decisions, decisions[1:], strict=False):
                soon = after.at - before.at <= RETRY_SECONDS
                if soon and (after.features.last_tool_error or _asked_again(before, after)):
                    failed.add(before.decision_id)
        return failed


def _asked_again(before: Decision, after: Decision) -> bool:
    """The same turn, sent once more."""
    a, b = before.features, after.features
    return (a.messages, a.user_chars) == (b.messages, b.user_chars) and a.user_chars > 0


def _quality(decision: Decision, model: str) -> float:
    """What the plan thought of the model that served."""
    return next((c.quality for c in decision.plan.candidates if c.model == model), 0.0)


def _skill(expected: list[float], good: float, bad: float) -> float:
    """How far what was seen moves the skill.

    Skill and expectation are tied by `quality.good_enough`: p = 1 / (1 + exp(-STEEP · (s - d))),
    so a shift of the log-odds by x is a shift of the skill by x / STEEP.
    """
    prior = sum(expected) / len(expected)
    seen = (prior * PRIOR + good) / (PRIOR + good + bad)
    return round((_odds(seen) - _odds(prior)) / STEEP, 4)


def _odds(p: float) -> float:
    p = min(MOST, max(LEAST, p))
    return math.log(p / (1 - p))


def lessons_of(events: Iterable[Decision | Usage | Feedback]) -> Lessons:
    lessons = Lessons()
    for event in events:
        lessons.take(event)
    return lessons
