"""Fleets, requests and views for the router's tests: real catalogue, real prices."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import Deployment, Features, Plan, Route
from libs.common.settings.load import Loaded, load
from libs.common.settings.routing import RoutingSettings
from services.router.decide import decide
from services.router.health import Health
from services.router.rules import build
from services.router.view import Pin, Rules, View

NOW = 1_000_000.0
SIMULATOR = (Deployment(id="simulator", provider="simulator", dialect="anthropic", simulated=True),)
ANTHROPIC = (
    Deployment(id="anthropic", provider="anthropic", dialect="anthropic", catalogue="anthropic"),
)
OTHERS = tuple(
    Deployment(id=name, provider=name, dialect=name, catalogue=name)
    for name in ("openai", "gemini", "mistral")
)
FLEETS = {"simulator": SIMULATOR, "anthropic": ANTHROPIC, "all": ANTHROPIC + OTHERS}


@cache
def loaded() -> Loaded:
    folder = Path(tempfile.gettempdir()) / "modelmuxer-router-tests"
    return load(environ={"MODELMUXER_DATA_DIR": str(folder)})


@cache
def rules() -> Rules:
    return build(loaded())


def view(fleet: Sequence[Deployment] = ANTHROPIC, **settings: Any) -> View:
    found = replace(rules(), settings=RoutingSettings(**settings))
    return View(rules=found, deployments=fleet, health=Health())


def request(text: str = "", model: str = "claude-opus-5-5", **features: Any) -> Features:
    base = {
        "user_chars": len(text),
        "max_tokens": 1000,
        "input_tokens": 60,
        "messages": 1,
        "user_turns": 1,
    }
    return Features(model=model, user_text=text, **{**base, **features})


def route(features: Features, **fields: Any) -> Route:
    return Route(
        **{"request_id": "req", "principal": Principal(key_id="key_1"), "features": features}
        | fields
    )


def plan(
    features: Features, look: View | None = None, pin: Pin | None = None, **fields: Any
) -> Plan:
    return decide(route(features, **fields), look or view(), now=NOW, pin=pin).plan
