"""The analytics API over HTTP, on the whole product: what /openapi.json says of it is true, and
nothing that a stranger sends is a fault of ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.servers import Server
from tests.support.stack import KEYS, Place, Stack, stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def place(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[Stack]:
    async with stack(tmp_path, nats, redis, analytics=True) as opened:
        yield opened


async def test_no_request_to_the_analytics_api_is_a_fault(place: Stack) -> None:
    await asked(place)
    schema = schemathesis.openapi.from_dict(await openapi(place))
    assert len(schema) == 15
    await asyncio.to_thread(fuzz, schema, place.url)


def fuzz(schema: Any, url: str) -> None:
    for found in schema.get_all_operations():
        operation = found.ok()
        attack(operation, GenerationMode.POSITIVE, url)
        with contextlib.suppress(Unsatisfiable):  # what takes any text cannot be asked wrongly
            attack(operation, GenerationMode.NEGATIVE, url)


def attack(operation: Any, mode: GenerationMode, url: str) -> None:
    """A dozen requests, some that hold to the schema and some that do not."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any) -> None:
        answer = case.call(base_url=url, headers={"x-api-key": KEYS["admin"]}, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    one()


async def openapi(place: Stack) -> dict[str, Any]:
    async with place.http() as http:
        schema = (await http.get("/openapi.json")).json()
    paths = {path: way for path, way in schema["paths"].items() if "/v1/analytics/" in path}
    return schema | {"paths": paths}


async def asked(place: Stack, words: str = "Hello!") -> str:
    """The id of a request that was answered and is in the reports."""
    body = {
        "model": "claude-sonnet-5",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": words}],
    }
    async with place.http() as http:
        answer = await http.post("/v1/messages", json=body)
        assert answer.status_code == 200
    id = answer.headers["x-modelmuxer-request-id"]
    await trail(place, id)
    return id


async def trail(place: Place, id: str, key: str = "admin") -> Any:
    async with place.http(key) as http:
        for _ in range(200):
            found = await http.get(f"/v1/analytics/requests/{id}")
            if found.status_code == 200:
                return found.json()
            await asyncio.sleep(0.05)
    raise TimeoutError(found.text)


async def lines(http: httpx.AsyncClient, path: str) -> list[Any]:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return [msgspec.json.decode(line) for line in answer.content.splitlines()]


async def test_an_administrator_exports_and_deletes_one_persons_records(place: Stack) -> None:
    id = await asked(place)
    records = "/v1/analytics/records?user=ada"
    async with place.http() as http:
        assert (await http.get(records)).status_code == 403
        assert (await http.delete(records)).status_code == 403
        assert (await http.get("/v1/analytics/alerts")).status_code == 403
    async with place.http("admin") as http:
        assert [row["request_id"] for row in await lines(http, f"{records}&format=jsonl")] == [id]
        assert (await http.delete(records)).json()["deleted"]["usage"] == 1
        assert await lines(http, f"{records}&format=jsonl") == []
        assert (await http.get("/v1/analytics/alerts")).json()["rows"] == []
        unknown = await http.get("/v1/analytics/delete?user=ada")
        assert (unknown.status_code, unknown.json()["type"]) == (404, "error")
        acts = (await http.get("/v1/analytics/audit?target=ada")).json()["rows"]
        assert {act["action"] for act in acts} == {"records.export", "records.delete"}
