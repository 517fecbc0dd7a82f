"""What is remembered from turn to turn changes nothing but the time it takes."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.contracts.pii import Findings
from libs.common.settings.pii import PiiSettings
from services.gateway.masking import Masked, Placeholders, Policy, SpanCache, apply, collect
from tests.masking.requests import SECRET, fields_of, mask, request_of, spans_of
from tests.masking.test_apply import CONTENTS

MAIL = "anna.berg@northwind.io"


def remembered(request: Any, cache: SpanCache, policy: Policy, org: str = "default") -> Masked:
    fields = fields_of(request)
    blocks = collect(fields)
    known, unseen = cache.lookup(blocks, org)
    texts = tuple(spans_of(block.text) for block in unseen)
    known |= cache.store(unseen, Findings(texts=texts, rules="1"), org)
    return apply(fields, blocks, known, policy, Placeholders(SECRET, org), cache)


@given(CONTENTS, st.lists(CONTENTS, max_size=3))
@settings(max_examples=60, deadline=None)
def test_turn_after_turn_is_masked_as_if_nothing_was_remembered(
    start: list[Any], turns: list[list[Any]]
) -> None:
    cache, policy = SpanCache(), Policy.of(PiiSettings())
    contents = list(start)
    for more in [[], *turns]:
        contents += more
        assert remembered(request_of(*contents), cache, policy) == mask(request_of(*contents))


def test_tenants_and_policies_do_not_share_what_is_remembered() -> None:
    cache, request = SpanCache(), request_of(f"mail {MAIL}")
    plain = remembered(request, cache, Policy.of(PiiSettings()))
    other = remembered(request, cache, Policy.of(PiiSettings()), "other")
    allowed = remembered(request, cache, Policy.of(PiiSettings(entities={"EMAIL": "allow"})))
    assert plain.mapping.keys() != other.mapping.keys() and not allowed.mapping


def test_a_block_that_went_unscanned_once_is_masked_when_pii_is_back() -> None:
    cache, policy = SpanCache(), Policy.of(PiiSettings())
    request = request_of(f"first {MAIL}", "x", f"again {MAIL}")
    fields = fields_of(request)
    apply(fields, collect(fields), {}, policy, Placeholders(SECRET), cache)
    assert remembered(request, cache, policy) == mask(request)


def test_no_value_is_remembered() -> None:
    cache = SpanCache()
    remembered(request_of(f"mail {MAIL}"), cache, Policy.of(PiiSettings()))
    assert len(cache._marks) == 1 and MAIL not in repr(cache._marks)
