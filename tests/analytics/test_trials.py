"""A scorer on trial is judged by what came of its choices."""

import time
from typing import Any

import pytest
from msgspec.structs import replace

from libs.common.bus import Bus
from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import DECIDED, FEEDBACK, Decision, Feedback
from tests.analytics.conftest import ADMIN, ALICE, BOB, booked, decision, publish, report, tell
from tests.analytics.conftest import usage as row

pytestmark = pytest.mark.anyio


def tried(number: int, who: Principal, arm: str, other: str, saves: int = 0) -> Decision:
    extra = {
        "trial": arm,
        "trial_scorer": "new.npz",
        "shadow_model": other,
        "shadow_saves": str(saves),
    }
    return replace(decision(number, who), extra=extra)


async def test_each_arm_shows_its_choices_outcomes_and_feedback(bus: Bus, service: None) -> None:
    await publish(bus, DECIDED, tried(1, ALICE, "shadow", "small"))
    await publish(bus, DECIDED, tried(2, ALICE, "shadow", "large", saves=-700))
    await publish(bus, DECIDED, tried(3, BOB, "served", "large", saves=-900))
    await publish(bus, DECIDED, decision(4))
    said = Feedback(decision_id="dec_3", principal=BOB, score=-1.0, at=time.time())
    await publish(bus, FEEDBACK, said)
    await publish(bus, FEEDBACK, replace(said, score=1.0, at=said.at + 1))
    await tell(
        bus,
        row(1, decision_id="dec_1"),
        row(2, decision_id="dec_2", outcome="error", cost=0, baseline_cost=0),
        row(2, decision_id="dec_2", attempt=2),
        row(3, BOB, decision_id="dec_3", stop_reason="refusal", cost=6000),
        row(4, decision_id="dec_4"),
    )
    await booked(bus, 5)
    found = await report(bus, "trials", ADMIN)
    current, trial = found["rows"]
    assert shown(current) == ("current", 1, 2, 50.0, "-0.000700", "0.008000", 1, 0, 0, None)
    assert shown(trial) == ("trial", 1, 1, 0.0, "-0.000900", "-0.001000", 0, 1, 1, 1.0)
    assert {each["scorer"] for each in found["rows"]} == {"new.npz"}


async def test_a_key_sees_its_own_part_of_a_trial(bus: Bus, service: None) -> None:
    await publish(bus, DECIDED, tried(1, ALICE, "shadow", "small"))
    await publish(bus, DECIDED, tried(3, BOB, "served", "large"))
    await tell(bus, row(1, decision_id="dec_1"), row(3, BOB, decision_id="dec_3"))
    await booked(bus, 2)
    assert [each["arm"] for each in (await report(bus, "trials", BOB))["rows"]] == ["trial"]
    assert (await report(bus, "trials", ADMIN, format="csv")).startswith("scorer,arm,keys")


def shown(arm: dict[str, Any]) -> tuple[Any, ...]:
    names = (
        "arm", "keys", "decisions", "agreed_percent", "would_save", "saved", "errors", "refusals",
        "feedback", "feedback_score",
    )  # fmt: skip
    return tuple(arm[name] for name in names)
