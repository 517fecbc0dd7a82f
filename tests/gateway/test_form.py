"""Whatever stands in a request, who reads it refuses by the field's name or takes it."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings

from libs.common.catalogue import Catalogue
from libs.common.errors import InvalidRequest
from libs.common.settings import Settings
from services.gateway.adapt import adapt_claude
from services.gateway.body import Body
from services.gateway.counting import count_body
from services.gateway.endpoint import _user_id
from services.gateway.features import features_of
from services.gateway.masking import collect
from services.gateway.providers import DIALECTS
from services.gateway.providers.form import check_form
from tests.flow.asks import SMALL
from tests.flow.malformed import MISFORMED, Case, ids
from tests.support.json import CHANGES

CATALOGUE = Catalogue.load(Settings())
MODELS = {
    "openai": "gpt-6.1-terra",
    "openai-responses": "gpt-6.1-terra",
    "gemini": "gemini-3-flash-preview",
    "mistral": "mistral-large-latest",
}


def changed(change: tuple[str, Any]) -> dict[str, Any]:
    return SMALL | dict([change])


@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize("case", MISFORMED, ids=ids(MISFORMED))
def test_a_translation_names_the_field(case: Case, dialect: str) -> None:
    facts = CATALOGUE.facts(MODELS[dialect])
    with pytest.raises(InvalidRequest) as refused:
        DIALECTS[dialect].to_upstream(SMALL | case[1], MODELS[dialect], facts, lambda _: "")
    assert refused.value.detail.startswith(case[2])


@pytest.mark.parametrize("dialect", MODELS)
@settings(max_examples=150, deadline=None)
@given(change=CHANGES)
def test_a_translation_refuses_in_words_or_not_at_all(
    dialect: str, change: tuple[str, Any]
) -> None:
    facts = CATALOGUE.facts(MODELS[dialect])
    with contextlib.suppress(InvalidRequest):
        DIALECTS[dialect].to_upstream(changed(change), MODELS[dialect], facts, lambda _: "")


@settings(max_examples=150, deadline=None)
@given(change=CHANGES)
def test_what_passes_unread_breaks_nothing_on_its_way(change: tuple[str, Any]) -> None:
    raw = json.dumps(changed(change)).encode()
    try:
        body = Body(raw)
    except InvalidRequest:
        return
    features_of(body, door="messages", betas=[], headers={})
    collect(body.fields)
    assert isinstance(_user_id(body.fields), str)
    for served in ("claude-haiku-4-5", "claude-opus-5-5"):
        with contextlib.suppress(InvalidRequest):
            adapt_claude(body.fields, [], "claude-opus-4-8", served, lambda _: "")
    with contextlib.suppress(InvalidRequest):
        check_form(body.tree(body.fields))
        assert count_body(body) > 0
