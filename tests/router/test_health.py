import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.identity import Principal
from libs.common.contracts.usage import Usage
from services.router.health import LONGEST_PAUSE, PAUSE, Circuit, Health

NOW = 1000.0


def usage(**fields: object) -> Usage:
    base = {"request_id": "r", "attempt": 1, "at": NOW, "principal": Principal(key_id="k")}
    base |= {"deployment": "d", "model": "m", "outcome": "error", "status": 529}
    return Usage(**{**base, **fields})  # type: ignore[arg-type]


def after(*events: Usage) -> Health:
    health = Health()
    for event in events:
        health.hear(event, NOW)
    return health


def test_failures_in_a_row_open_the_circuit() -> None:
    assert not after(usage(), usage()).why_shut("d", "m", NOW)
    assert "circuit open" in after(usage(), usage(), usage()).why_shut("d", "m", NOW)


def test_a_bad_share_opens_it_though_some_succeed() -> None:
    good = usage(outcome="ok", status=200)
    health = after(*[good, usage(), usage()] * 3)
    assert health.why_shut("d", "m", NOW)


def test_after_the_pause_one_probe_goes_and_an_answer_closes_it() -> None:
    health = after(usage(), usage(), usage())
    later = NOW + PAUSE
    assert not health.why_shut("d", "m", later)
    health.circuit("d", "m").chosen(later)
    assert "a probe is under way" in health.why_shut("d", "m", later)
    health.hear(usage(outcome="ok", status=200), later)
    assert not health.why_shut("d", "m", later)


def test_a_failed_probe_shuts_it_for_longer() -> None:
    health = after(*[usage()] * 4)
    assert health.why_shut("d", "m", NOW + PAUSE + 1)


def test_a_429_shuts_the_door_for_its_retry_after() -> None:
    health = after(usage(status=429, retry_after=42.0))
    assert "rate limited, 42 s to go" in health.why_shut("d", "m", NOW)
    assert not health.why_shut("d", "m", NOW + 42)


def test_a_rejected_key_shuts_every_model_of_the_deployment() -> None:
    health = after(usage(status=401))
    assert "rejected the key" in health.why_shut("d", "another", NOW)


@pytest.mark.parametrize(
    "event",
    [
        usage(door="count_tokens"),
        usage(status=400),
        usage(outcome="cancelled"),
        usage(outcome="refused"),
        usage(deployment=""),
    ],
)
def test_what_says_nothing_of_the_provider_counts_nothing(event: Usage) -> None:
    assert not after(*[event] * 9).why_shut("d", "m", NOW)


def test_the_window_gives_the_error_rate_and_the_first_token() -> None:
    health = after(*[usage(outcome="ok", status=200, first_token=n / 10) for n in range(1, 21)])
    circuit = health.circuit("d", "m")
    circuit.failed(NOW, 500, 0.0)
    assert circuit.error_rate(NOW) == pytest.approx(1 / 21)
    assert circuit.first_token_p95() == pytest.approx(1.9)


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["ok", 429, 500, 529])), max_size=40))
def test_a_circuit_never_stays_shut_for_good(events: list[tuple[float, str | int]]) -> None:
    circuit, now = Circuit(), NOW
    for pause, what in events:
        now += pause
        if what == "ok":
            circuit.answered(now, 0.1)
        else:
            circuit.failed(now, int(what), 0.0)
    assert not circuit.why_shut(now + LONGEST_PAUSE)
