"""Whatever stands in a request, who reads it refuses by the field's name or takes it."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from libs.common.catalogue import Catalogue
from libs.common.contracts.routing import Features
from libs.common.errors import InvalidRequest
from libs.common.settings import Settings
from services.gateway.adapt import adapt_claude
from services.gateway.body import Body
from services.gateway.counting import count_body
from services.gateway.doors import openai_chat, openai_responses
from services.gateway.endpoint import _user_id
from services.gateway.features import features_of
from services.gateway.masking import collect
from services.gateway.providers import DIALECTS
from services.gateway.providers.form import check_form
from tests.flow.asks import SMALL
from tests.flow.malformed import MISFORMED, Case, ids
from tests.support.json import CHANGES
from tests.support.rich import CHAT, COMMON, RESPONSES, RICH
from tests.support.spoil import spoilt

CATALOGUE = Catalogue.load(Settings())
MODELS = {
    "openai": "gpt-6.1-terra",
    "openai-responses": "gpt-6.1-terra",
    "gemini": "gemini-3-flash-preview",
    "mistral": "mistral-large-latest",
    "bedrock": "claude-opus-4-8",
    "vertex": "claude-opus-4-8",
}
DOORS = {"chat": (openai_chat, CHAT), "responses": (openai_responses, RESPONSES)}


def changed(change: tuple[str, Any]) -> dict[str, Any]:
    return SMALL | dict([change])


@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize("case", MISFORMED, ids=ids(MISFORMED))
def test_a_translation_names_the_field(case: Case, dialect: str) -> None:
    facts = CATALOGUE.facts(MODELS[dialect])
    with pytest.raises(InvalidRequest) as refused:
        DIALECTS[dialect].to_upstream(SMALL | case[1], MODELS[dialect], facts, lambda _: "")
    assert refused.value.detail.startswith(case[2])


def translated(dialect: str, request: dict[str, Any]) -> None:
    """Through a dialect and into bytes; a refusal in words is as good."""
    facts = CATALOGUE.facts(MODELS[dialect])
    with contextlib.suppress(InvalidRequest):
        made = DIALECTS[dialect].to_upstream(request, MODELS[dialect], facts, lambda _: "")
        assert msgspec.json.encode(made.body)


@pytest.mark.parametrize("dialect", MODELS)
def test_the_rich_request_is_translated(dialect: str) -> None:
    facts = CATALOGUE.facts(MODELS[dialect])
    for request in (COMMON, *(door.to_canonical(body) for door, body in DOORS.values())):
        assert DIALECTS[dialect].to_upstream(request, MODELS[dialect], facts, lambda _: "").body


@pytest.mark.parametrize("dialect", MODELS)
def test_one_wrong_thing_anywhere_breaks_no_translation(dialect: str) -> None:
    for _, request in spoilt(COMMON):
        translated(dialect, request)


@pytest.mark.parametrize("name", DOORS)
def test_one_wrong_thing_anywhere_breaks_no_door(name: str) -> None:
    door, body = DOORS[name]
    for _, request in spoilt(body):
        with contextlib.suppress(InvalidRequest):
            assert msgspec.json.encode(door.to_canonical(request))


@pytest.mark.parametrize("dialect", MODELS)
@settings(max_examples=150, deadline=None)
@given(change=CHANGES)
def test_a_translation_refuses_in_words_or_not_at_all(
    dialect: str, change: tuple[str, Any]
) -> None:
    translated(dialect, changed(change))


def passed_on(request: dict[str, Any]) -> None:
    """All that reads a request on its way to Anthropic itself, which does the refusing."""
    try:
        body = Body(json.dumps(request).encode())
    except InvalidRequest:
        return
    features = features_of(body, door="messages", betas=[], headers={})
    assert msgspec.json.decode(msgspec.json.encode(features), type=Features) == features
    collect(body.fields)
    assert isinstance(_user_id(body.fields), str)
    for served in ("claude-haiku-4-5", "claude-opus-5-5"):
        with contextlib.suppress(InvalidRequest):
            adapt_claude(body.fields, [], "claude-opus-4-8", served, lambda _: "")
    with contextlib.suppress(InvalidRequest):
        check_form(body.tree(body.fields))
        assert count_body(body) > 0


@pytest.mark.parametrize("body", [COMMON, RICH], ids=["common", "rich"])
def test_one_wrong_thing_anywhere_breaks_nothing_on_its_way(body: dict[str, Any]) -> None:
    for _, request in spoilt(body):
        passed_on(request)


@settings(max_examples=150, deadline=None)
@given(change=CHANGES)
def test_what_passes_unread_breaks_nothing_on_its_way(change: tuple[str, Any]) -> None:
    passed_on(changed(change))
