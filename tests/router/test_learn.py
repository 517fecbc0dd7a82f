"""What outcomes teach: structure and results only, never text."""

import pytest

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import DECIDED, FEEDBACK, Decision, Feedback
from libs.common.contracts.usage import USED, Usage
from libs.common.journal import ensure_streams
from libs.common.outbox import Outbox
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from services.router.learn import Lessons, lessons_of
from services.router.quality import skill
from services.router.replay import replay
from tests.router.world import plan, request, rules
from tests.support.servers import Server

CODE = "write a python function for it"
MODEL = "claude-sonnet-5-5"
ME = Principal(key_id="k", run="s")


def decision(number: int, **features: object) -> Decision:
    found = plan(request(CODE, **features))
    return Decision(
        decision_id=f"d{number}",
        request_id=f"r{number}",
        at=float(number),
        principal=ME,
        features=request("", messages=number, user_chars=number),
        plan=found,
    )


def usage(number: int, **fields: object) -> Usage:
    base = {"request_id": f"r{number}", "attempt": 1, "at": 0.0, "principal": ME}
    base |= {"decision_id": f"d{number}", "model": MODEL, "stop_reason": "end_turn"}
    return Usage(**{**base, **fields})  # type: ignore[arg-type]


def taught(**fields: object) -> float:
    events = [decision(n) for n in range(50)] + [usage(n, **fields) for n in range(50)]
    return lessons_of(events).skills()[f"{MODEL} code"]


def test_good_outcomes_raise_a_skill_and_bad_ones_lower_it() -> None:
    assert taught() > 0 > taught(stop_reason="refusal")


def test_the_callers_word_outweighs_what_is_inferred() -> None:
    events = [decision(n) for n in range(50)] + [usage(n) for n in range(50)]
    said = [Feedback(decision_id=f"d{n}", principal=ME, score=-1.0) for n in range(50)]
    assert lessons_of([*events, *said]).skills()[f"{MODEL} code"] < taught(stop_reason="refusal")


def test_a_turn_sent_again_counts_against_the_first() -> None:
    def twice(lessons: Lessons) -> float:
        for n in range(0, 40, 2):
            first, second = decision(n), decision(n + 1)
            same = request("", messages=n, user_chars=99)
            for each in (first, second):
                lessons.take(Decision(**{**fields(each), "features": same}))
            lessons.take(usage(n))
        return lessons.skills()[f"{MODEL} code"]

    assert twice(Lessons()) < 0


def fields(of: Decision) -> dict[str, object]:
    return {name: getattr(of, name) for name in of.__struct_fields__}


def test_failed_attempts_and_unknown_decisions_teach_nothing() -> None:
    assert lessons_of([usage(1), decision(2), usage(2, outcome="error")]).skills() == {}


def test_a_skill_that_was_taught_moves_the_prior() -> None:
    facts = rules().catalogue.facts(MODEL)
    assert facts is not None
    assert skill(facts, "code", {(MODEL, "code"): -0.2}) == pytest.approx(
        skill(facts, "code", {}) - 0.2
    )


@pytest.mark.anyio
async def test_the_journal_is_read_from_its_beginning(nats: Server, tmp_path: object) -> None:
    bus = await Bus.connect(BusSettings(url=nats.url), "router")
    await ensure_streams(bus, JournalSettings())
    async with Outbox(bus, JournalSettings(), nats.cwd / "spool") as outbox:
        for n in range(700):
            outbox.put(DECIDED, decision(n), f"d{n}")
            outbox.put(USED, usage(n), f"u{n}")
        outbox.put(FEEDBACK, Feedback(decision_id="d1", principal=ME, score=1.0), "f1")
    lessons = await replay(bus)
    assert lessons.count == 700
    assert await bus.client.jetstream().consumers_info(EVENTS_STREAM) == []
    await bus.close()
