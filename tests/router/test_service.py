"""Real replicas on a real nats-server: what they agree on, and what happens when parts go."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from libs.common.bus import Bus
from libs.common.contracts.base import Nothing
from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import (
    ANNOUNCED,
    DEPLOYMENTS,
    GET_DECISION,
    ROUTE,
    SIGNATURE_SEEN,
    Announcement,
    Deployment,
    GetDecision,
    Plan,
    SignatureSeen,
)
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.errors import NotFound, Unavailable
from libs.common.journal import ensure_streams
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from libs.common.settings.load import load
from services.router.main import open_service
from tests.router.world import ANTHROPIC, loaded, request, route
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
SIMPLE, CODE = "what is this file called?", "write a python function for it"
ME = Principal(key_id="key_1")


@asynccontextmanager
async def routers(
    nats: Server, count: int = 1, config: Path | None = None, streams: bool = True
) -> AsyncIterator[tuple[Bus, list[Bus]]]:
    """A gateway's bus, and so many replicas."""
    settings = loaded()
    if config:
        settings = load(str(config), settings.environment)
    async with AsyncExitStack() as stack:
        gateway = await Bus.connect(BusSettings(url=nats.url), "gateway")
        stack.push_async_callback(gateway.close)
        if streams:
            await ensure_streams(gateway, JournalSettings())
        await gateway.serve(DEPLOYMENTS, _deployments)
        replicas = []
        for _ in range(count):
            bus = await Bus.connect(BusSettings(url=nats.url), "router")
            stack.push_async_callback(bus.close)
            await stack.enter_async_context(open_service(bus, settings))
            stack.push_async_callback(bus.stop_serving)
            replicas.append(bus)
        yield gateway, replicas


async def _deployments(_: Nothing) -> Announcement:
    return Announcement(gateway="g1", deployments=ANTHROPIC)


async def asked(bus: Bus, text: str = CODE, **fields: object) -> Plan:
    features = request(text, tools=24, cache_marks=3, input_tokens=200_000)
    changed = {k: fields.pop(k) for k in list(fields) if k in features.__struct_fields__}
    return await bus.ask(ROUTE, route(replace(features, **changed), **fields))


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 1.0) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, "not within the time"
        await asyncio.sleep(0.02)


def usage(plan: Plan, model: str, **fields: object) -> Usage:
    base = {"request_id": "r", "attempt": 1, "at": time.time(), "principal": ME}
    base |= {"deployment": "anthropic", "decision_id": plan.decision_id, "model": model}
    return Usage(**{**base, **fields})  # type: ignore[arg-type]


async def test_three_replicas_agree_where_a_session_is_within_a_second(nats: Server) -> None:
    async with routers(nats, 3) as (gateway, _):
        first = (await asked(gateway, SIMPLE, session="s")).candidates[0].model
        await asyncio.sleep(0.2)
        plans = [await asked(gateway, "", session="s", last_is_tool_result=True) for _ in range(12)]
        assert {p.candidates[0].model for p in plans} == {first} == {"claude-haiku-5-5"}
        stranger = await asked(
            gateway, "", session="s", last_is_tool_result=True, principal=Principal(key_id="k2")
        )
        assert stranger.candidates[0].model == "claude-sonnet-5-5"


async def test_three_replicas_agree_on_health_within_a_second(nats: Server) -> None:
    async with routers(nats, 3) as (gateway, _):
        plan = await asked(gateway)
        failed = usage(plan, "claude-sonnet-5-5", outcome="error", status=529)
        for _ in range(3):
            await gateway.tell(USED, failed)

        async def all_left() -> bool:
            plans = [await asked(gateway) for _ in range(12)]
            return {p.candidates[0].model for p in plans} == {"claude-opus-5-5"}

        await until(all_left)


async def test_a_session_follows_the_model_that_really_answered(nats: Server) -> None:
    async with routers(nats) as (gateway, _):
        plan = await asked(gateway, SIMPLE, session="s")
        tokens = Tokens(cache_write_5m=90_000, output=10)
        await gateway.tell(USED, usage(plan, "claude-opus-5-5", tokens=tokens))
        await asyncio.sleep(0.1)
        then = await asked(gateway, "", session="s", last_is_tool_result=True)
        assert then.candidates[0].model == "claude-opus-5-5"


async def test_a_refusal_moves_the_session_up(nats: Server) -> None:
    async with routers(nats) as (gateway, _):
        plan = await asked(gateway, SIMPLE, session="s")
        await gateway.tell(USED, usage(plan, "claude-haiku-5-5", stop_reason="refusal"))
        await asyncio.sleep(0.1)
        then = await asked(gateway, SIMPLE, session="s")
        assert then.candidates[0].model == "claude-sonnet-5-5"


async def test_a_replica_that_starts_later_knows_the_sessions(nats: Server) -> None:
    async with routers(nats) as (gateway, _):
        await asked(gateway, SIMPLE, session="s")
    async with routers(nats) as (gateway, _):

        async def known() -> bool:
            plan = await asked(gateway, "", session="s", last_is_tool_result=True)
            return plan.candidates[0].model == "claude-haiku-5-5"

        await until(known)


async def test_the_origin_of_thinking_is_known_to_every_replica(nats: Server) -> None:
    async with routers(nats, 2) as (gateway, _):
        await gateway.tell(SIGNATURE_SEEN, SignatureSeen(signature="abc", model="claude-opus-4-8"))
        await asyncio.sleep(0.2)
        for _ in range(8):
            plan = await asked(gateway, signatures=("abc",))
            assert plan.candidates[0].foreign == ("abc",)


async def test_without_jetstream_a_request_is_decided_as_new(nats: Server, tmp_path: Path) -> None:
    server = nats.cwd / "nats.conf"
    server.write_text(server.read_text().replace("jetstream {", "# jetstream {"))
    nats.restart()
    config = tmp_path / "modelmuxer.toml"
    config.write_text("[journal]\nack_timeout = 0.1\n")
    async with routers(nats, 1, config, streams=False) as (gateway, _):
        plan = await asked(gateway, SIMPLE, session="s")
        assert plan.candidates[0].model == "claude-haiku-5-5"


async def test_a_decision_can_be_explained_afterwards_by_any_replica(nats: Server) -> None:
    async with routers(nats, 3) as (gateway, _):
        plan = await asked(gateway, "my secret words")
        await asyncio.sleep(0.3)
        for _ in range(6):
            ask = GetDecision(decision_id=plan.decision_id, principal=ME)
            decision = await gateway.ask(GET_DECISION, ask)
            assert decision.plan == plan
            assert decision.features.user_text == ""
        with pytest.raises(NotFound):
            await gateway.ask(
                GET_DECISION, replace(ask, principal=Principal(key_id="k2", org="other"))
            )


async def test_a_dry_run_and_a_count_leave_no_trace(nats: Server) -> None:
    async with routers(nats) as (gateway, _):
        dry = await asked(gateway, SIMPLE, session="s", dry_run=True)
        await asked(gateway, SIMPLE, session="s", door="count_tokens")
        then = await asked(gateway, "", session="s", last_is_tool_result=True)
        assert then.candidates[0].model == "claude-sonnet-5-5"
        with pytest.raises(NotFound):
            await gateway.ask(GET_DECISION, GetDecision(decision_id=dry.decision_id, principal=ME))


async def test_new_deployments_are_planned_with_at_once(nats: Server) -> None:
    async with routers(nats) as (gateway, _):
        other = Deployment(id="openai", provider="openai", dialect="openai", catalogue="openai")
        await gateway.tell(ANNOUNCED, Announcement(gateway="g1", deployments=(other,)))
        await asyncio.sleep(0.1)
        assert (await asked(gateway)).candidates[0].provider == "openai"


async def test_rules_are_reloaded_without_a_lost_request_and_a_bad_edit_changes_nothing(
    nats: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "modelmuxer.toml"
    config.write_text("[routing]\nreload_every = 0.05\n")
    async with routers(nats, 1, config) as (gateway, _):
        served: list[str] = []

        async def becomes(model: str) -> None:
            async def served_now() -> bool:
                served.append((await asked(gateway)).candidates[0].model)
                return served[-1] == model

            await until(served_now, 3)

        await becomes("claude-sonnet-5-5")
        rule = '[[routing.rules]]\nlabel = "code"\nuse = "{}"\n'
        config.write_text("[routing]\nreload_every = 0.05\n" + rule.format("premium"))
        await becomes("claude-opus-5-5")
        config.write_text("[routing]\n" + rule.format("claud-opus"))
        await asyncio.sleep(0.3)
        await becomes("claude-opus-5-5")
        assert "routing.rules[0].use: 'claud-opus' is not known; did you mean" in caplog.text


async def test_a_shadow_scorer_is_noted_and_never_serves(nats: Server, tmp_path: Path) -> None:
    decision = await _tried(nats, tmp_path, share=0.0)
    assert decision["trial"] == "shadow" and decision["shadow_model"]
    assert decision["trial_scorer"] == "scorer.npz" and decision["shadow_saves"] == "0"


async def test_a_trial_serves_its_share_of_the_keys(nats: Server, tmp_path: Path) -> None:
    assert (await _tried(nats, tmp_path, share=1.0))["trial"] == "served"


async def _tried(nats: Server, folder: Path, share: float) -> dict[str, str]:
    shipped = Path("services/router/scorer.npz").resolve()
    config = folder / "modelmuxer.toml"
    config.write_text(f'[routing.trial]\nscorer = "{shipped}"\nshare = {share}\n')
    async with routers(nats, 1, config) as (gateway, _):
        plan = await asked(gateway, tools=0)
        await asyncio.sleep(0.2)
        ask = GetDecision(decision_id=plan.decision_id, principal=ME)
        return (await gateway.ask(GET_DECISION, ask)).extra


async def test_a_router_that_hears_of_no_provider_says_so(nats: Server) -> None:
    bus = await Bus.connect(BusSettings(url=nats.url), "router")
    async with open_service(bus, loaded()):
        with pytest.raises(Unavailable, match="no provider is live"):
            await asked(bus)
        await bus.stop_serving()
    await bus.close()
