"""What a candidate costs: the worst case for the ledger, the likely one for the choice, and
what the prompt cache makes of staying or leaving.

All amounts are micro-dollars, times seconds.
"""

from msgspec import Struct

from libs.common.contracts.routing import Features
from libs.common.prices import Price, Rates

MILLION = 1_000_000
# Estimates are upper bounds; a likely cost takes the middle of what text really needs.
LIKELY_SHARE = 0.5
# A search tool without `max_uses` is reserved at so many searches.
MOST_SEARCHES = 8
# How a session goes on, until it shows its own way: turns in a task, tokens each one adds, the
# share of tasks that need the dearer model, and how often its cache has lapsed by then.
AGENT_TURNS, CHAT_TURNS, MOST_TURNS = 8.0, 2.0, 30.0
GROWTH = 1500
RETURN_SHARE, RETURN_WEIGHT, LAPSE_SHARE = 0.3, 2.0, 0.4
# How many times a likely way back a move down has to save: where a cache is warm, where none is
# (one task's saving looks large beside the tasks that may follow), at a session's first turn, and
# where routing has cost the session money so far. After so many ways back up it never moves down.
WARM, COLD, START, LOSING = 1.5, 5.0, 2.2, 2.0
MOST_UPS = 2
# A stretch that costs less by under a tenth elsewhere is as good here: estimates err by more.
CLEARLY = 0.9


class Spend(Struct, frozen=True, kw_only=True):
    """`input_cost` and `output_price` make the worst case; `expected` is this turn's likely
    cost, `stretch` that of the turns expected on top of it."""

    input_cost: int
    output_price: int
    max_tokens: int
    estimate: int
    expected: int
    stretch: int


def spend(
    features: Features,
    price: Price,
    *,
    max_tokens: int,
    output: int,
    warm: int = 0,
    turns: float = 1.0,
    context: int = 0,
) -> Spend:
    """The cost of serving this turn, and the `turns` - 1 expected after it, with one model.

    `warm` is how many of the input tokens its cache is likely to hold; `context` the model's
    window, which is the worst case of an input that cannot be seen (a thread, a file by id).
    """
    speed = features.speed or features.service_tier
    most = max(features.input_tokens, context) if features.opaque else features.input_tokens
    rates = price.rates(features.input_tokens, speed=speed)
    input_cost = price.input_worst(most, speed=speed) + _searches(features, rates)
    output_price = price.output_rate(most, speed=speed)
    tokens = likely_tokens(features)
    likely_output = min(output, max_tokens) if max_tokens else output
    now = turn_cost(rates, tokens, min(warm, tokens), likely_output, bool(features.cache_marks))
    later = turn_cost(rates, tokens + GROWTH, tokens, likely_output, bool(features.cache_marks))
    return Spend(
        input_cost=input_cost,
        output_price=output_price,
        max_tokens=max_tokens,
        estimate=input_cost + -(-max_tokens * output_price // MILLION),
        expected=now,
        stretch=now + int(later * (turns - 1)),
    )


def turn_cost(rates: Rates, tokens: int, warm: int, output: int, caching: bool) -> int:
    """One turn: the warm part read, the rest written (or just read in, without cache marks)."""
    if not caching:
        return -(-(tokens * rates.input + output * rates.output) // MILLION)
    write = rates.cache_write_5m or rates.input
    read = rates.cache_read or rates.input
    return -(-(warm * read + (tokens - warm) * write + output * rates.output) // MILLION)


def likely_tokens(features: Features) -> int:
    return max(1, int(features.input_tokens * LIKELY_SHARE))


def stretch_of(tasks: int, turns: int, prior: float) -> float:
    """Turns that a task of this session takes: the prior, drawn towards what was seen."""
    return min(MOST_TURNS, max(1.0, (prior + turns) / (1 + tasks)))


def way_back(rates: Rates, tokens: int, turns: float, *, tasks: int, ups: int, warm: bool) -> int:
    """What leaving a model may cost later: coming back to a cache that has grown old or lapsed."""
    share = (RETURN_SHARE * RETURN_WEIGHT + ups) / (RETURN_WEIGHT + tasks)
    write, read = rates.cache_write_5m or rates.input, rates.cache_read or rates.input
    lost = GROWTH * turns + tokens * (LAPSE_SHARE if warm else 1.0)
    return int(min(1.0, share) * max(0, write - read) * lost // MILLION)


def caution(*, warm: bool, losing: bool) -> float:
    """How many times a likely way back a move down has to save."""
    return max(WARM if warm else COLD, LOSING if losing else 0.0)


def break_even(here: Rates, there: Rates) -> float:
    """L*: how many turns of a warm session must follow for a move to a cold model to pay.

    (w_Q - r_Q)·ρ / (r_P - r_Q·ρ), in rates per token; infinite where the other's cache reads
    are no cheaper.
    """
    write = there.cache_write_5m or there.input
    gain = (here.cache_read or here.input) - (there.cache_read or there.input)
    return (write - (there.cache_read or there.input)) / gain if gain > 0 else float("inf")


def _searches(features: Features, rates: Rates) -> int:
    """Server tools are reserved at a bounded number of searches."""
    searches = sum(tool.startswith("web_search") for tool in features.server_tools)
    return searches * (features.server_tool_uses or MOST_SEARCHES) * rates.web_search


def way_back_now(rates: Rates, tokens: int) -> int:
    """What writing so many tokens costs above reading them."""
    write, read = rates.cache_write_5m or rates.input, rates.cache_read or rates.input
    return max(0, write - read) * tokens // MILLION
