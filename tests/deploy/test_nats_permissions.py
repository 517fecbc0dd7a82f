"""One NATS user per service, default deny, on a real nats-server with the shipped users."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import nats as client
import pytest
import yaml
from nats.aio.client import Client
from nats.errors import Error, NoRespondersError
from redis.asyncio import Redis

from tests.deploy.test_redis_users import shipped_redis, url_of
from tests.support.provider import running as provider_running
from tests.support.servers import Server, binary, nats_server, running
from tests.support.stack import ALL, ProcessStack, placed

pytestmark = pytest.mark.anyio
FOLDER = Path(__file__).parents[2] / "deploy" / "k8s" / "base" / "nats"
USERS = [*ALL, "operator"]
KEPT = '[audit]\nbodies = "masked"\n'
VIOLATION = re.compile(r"Violation.*")


def password(user: str) -> str:
    return f"password-of-{user}"


@pytest.fixture
def nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for user in USERS:
        monkeypatch.setenv(f"NATS_PASSWORD_{user.upper()}", password(user))
    server = nats_server(tmp_path / "nats")
    with (tmp_path / "nats" / "nats.conf").open("a") as config:
        config.write(f'\ninclude "{_relative(tmp_path / "nats")}/users.conf"\n')
    with running(server):
        yield server


def _relative(folder: Path) -> str:
    """nats-server takes an include relative to the file that names it."""
    (folder / "shipped").symlink_to(FOLDER)
    return "shipped"


@asynccontextmanager
async def connected(server: Server, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection of that user, and what the server refused it."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error))

    connection = await client.connect(
        server.url,
        user=user,
        password=password(user),
        inbox_prefix=f"_INBOX_{user}".encode(),
        error_cb=note,
    )
    try:
        yield connection, refused
    finally:
        await connection.close()


async def heard(connection: Client, refused: list[str]) -> list[str]:
    """What the server refused until now. Twice, because nats-py writes a flush's PING past what
    it still buffers; the pause, because it notes errors in a task of its own."""
    await connection.flush()
    await connection.flush()
    await asyncio.sleep(0.05)
    return refused


async def may_publish(server: Server, user: str, subject: str) -> bool:
    async with connected(server, user) as (connection, refused):
        await connection.publish(subject, b"{}")
        return not await heard(connection, refused)


async def may_hear(server: Server, user: str, subject: str) -> bool:
    async with connected(server, user) as (connection, refused):
        await connection.subscribe(subject)
        return not await heard(connection, refused)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("router", "ledger.reserve.v1"),
        ("router", "pii.scan.v1"),
        ("router", "usage.v1"),
        ("pii", "usage.v1"),
        ("pii", "ledger.key.list.v1"),
        ("gateway", "state.v1.budgets.x"),
        ("gateway", "keys.changed.v1"),
        ("gateway", "live.v1"),
        ("gateway", "$JS.API.STREAM.DELETE.MODELMUXER_EVENTS"),
        ("gateway", "$JS.API.CONSUMER.CREATE.MODELMUXER_EVENTS"),
        ("analytics", "usage.v1"),
        ("analytics", "ledger.reserve.v1"),
        ("ledger", "router.route.v1"),
        ("ledger", "_INBOX_gateway.x"),
        ("operator", "ledger.budget.set.v1"),
    ],
)
async def test_a_service_cannot_say_what_is_not_its_to_say(
    nats: Server, user: str, subject: str
) -> None:
    assert not await may_publish(nats, user, subject)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("gateway", "usage.v1"),
        ("gateway", "audit.v1"),
        ("gateway", "ledger.reserve.v1"),
        ("gateway", ">"),
        ("router", "pii.scan.v1"),
        ("router", "_INBOX_gateway.>"),
        ("pii", "usage.v1"),
        ("ledger", "pii.scan.v1"),
        ("analytics", "state.v1.>"),
    ],
)
async def test_a_service_cannot_hear_what_is_not_for_it(
    nats: Server, user: str, subject: str
) -> None:
    assert not await may_hear(nats, user, subject)


async def test_a_service_may_answer_who_asked_and_nobody_else(nats: Server) -> None:
    async with connected(nats, "pii") as (pii, refused), connected(nats, "gateway") as (gateway, _):

        async def answer(message: client.aio.msg.Msg) -> None:
            await message.respond(b"found")

        await pii.subscribe("pii.scan.v1", cb=answer)
        await heard(pii, [])
        assert (await gateway.request("pii.scan.v1", b"{}", timeout=2)).data == b"found"
        await pii.publish("_INBOX_gateway.made.up", b"!")
        assert len(await heard(pii, refused)) == 1


async def test_without_a_password_nobody_connects(nats: Server) -> None:
    async def quiet(error: Exception) -> None:
        pass

    stranger = Client()
    try:
        with pytest.raises(Error):
            await stranger.connect(nats.url, allow_reconnect=False, error_cb=quiet)
    finally:
        await stranger.close()


async def test_a_router_asking_the_ledger_is_not_told_that_it_is_there(nats: Server) -> None:
    async with connected(nats, "router") as (router, refused):
        with pytest.raises((TimeoutError, Error)) as caught:
            await router.request("ledger.reserve.v1", b"{}", timeout=0.3)
        assert not isinstance(caught.value, NoRespondersError)
        assert "ledger.reserve.v1" in refused[0]


@pytest.mark.slow
async def test_the_whole_product_works_without_one_violation(tmp_path: Path, nats: Server) -> None:
    with running(shipped_redis(tmp_path / "redis", "k8s")) as redis:
        await use_the_whole_product(tmp_path, nats, redis)
        async with Redis.from_url(redis.url) as store:
            refused = {each["object"] for each in await store.acl_log()}
    assert refused <= {"client"}  # the library names itself, which Redis before 7.2 does not know
    log = (tmp_path / "nats" / "server.log").read_text()
    assert sorted(set(VIOLATION.findall(log))) == []


async def use_the_whole_product(tmp_path: Path, nats: Server, redis: Server) -> None:
    async with provider_running() as provider:
        place = ProcessStack(**placed(tmp_path, nats, redis, provider, {"more": KEPT}))
        try:
            await start_with_users(place)
            await use_everything(place)
        finally:
            for name in reversed(list(place.children)):
                place.stop(name)


async def start_with_users(place: ProcessStack) -> None:
    shared = place.config.read_text()
    for name in ALL:
        place.config = place.folder / f"{name}.toml"
        user = f'\n[nats]\nuser = "{name}"\npassword = "{password(name)}"\n'
        own = shared.replace(place.redis.url, url_of(place.redis, name))
        place.config.write_text(own + user)
        place.start(name)
    for child in list(place.children.values()):
        await child.ready()
    await place.ready()


async def use_everything(place: ProcessStack) -> None:
    """A masked answer, a budget, keys, limits, a pause, reports: every edge of the bus."""
    ask = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Write to ann@example.org, please."}],
    }
    budget = {"budget_type": "daily", "budget_limit": 5.0}
    async with place.http("masked") as user, place.http("admin") as admin:
        assert (await user.post("/v1/messages", json=ask)).status_code == 200
        answer = await admin.post("/v1/messages", json=ask | {"stream": True})
        assert answer.status_code == 200
        assert (await admin.post("/v1/analytics/budgets", json=budget)).status_code < 300
        await administer(admin)
        decision = f"/v1/decisions/{answer.headers['x-modelmuxer-decision-id']}"
        feedback = await user.post(f"{decision}/feedback", json={"score": 1})
        assert feedback.status_code in (202, 403, 404)
        for path in ("/v1/analytics/budgets", "/v1/analytics/costs?days=7", "/v1/models", decision):
            assert (await admin.get(path)).status_code == 200, path
        assert (await admin.get("/v1/analytics/audit")).status_code == 200
    assert len(await place_rows(place)) >= 2


async def administer(admin: httpx.AsyncClient) -> None:
    """A key made, rotated, limited, paused and revoked."""
    made = await admin.post("/v1/admin/keys", json={"name": "new", "team": "alpha"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]["id"]
    scope = {"scope": "key", "scope_id": key}
    steps = [
        (f"/v1/admin/keys/{key}/rotate", {}),
        ("/v1/admin/limits", scope | {"rpm": 10}),
        ("/v1/admin/pauses", scope | {"paused": True}),
    ]
    for path, body in steps:
        done = await admin.post(path, json=body)
        assert done.status_code < 300, (path, done.text)
    for path in ("/v1/admin/keys", "/v1/admin/limits", "/v1/admin/pauses"):
        assert (await admin.get(path)).status_code == 200
    assert (await admin.delete(f"/v1/admin/keys/{key}")).status_code == 200


async def place_rows(place: ProcessStack) -> list[str]:
    """Requests as analytics reports them, once they are booked."""
    async with place.http("admin") as admin:
        for _ in range(100):
            answer = (await admin.get("/v1/analytics/costs?days=1")).json()
            if answer["requests"] >= 2:
                return ["row"] * answer["requests"]
            await asyncio.sleep(0.1)
    return []


def test_the_users_of_the_file_are_the_services() -> None:
    users = re.findall(r'user: "([a-z]+)"', (FOLDER / "users.conf").read_text())
    assert sorted(users) == sorted(USERS)


@pytest.mark.parametrize("file", ["nats.conf", "compose.conf"])
def test_the_shipped_configurations_are_valid(file: str) -> None:
    containers = yaml.safe_load_all((FOLDER.parent / "stores" / "nats.yaml").read_text())
    env = next(c for c in containers if c["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    variables = {e["name"]: e.get("value", "secret") for e in env["containers"][0]["env"]}
    routes = variables["NATS_ROUTES"].replace("$(NATS_PASSWORD_ROUTE)", "secret")
    done = subprocess.run(
        [binary("nats-server"), "-t", "-c", str(FOLDER / file)],
        env=variables | {"NATS_ROUTES": routes, "POD_NAME": "nats-0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
