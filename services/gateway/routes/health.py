"""Liveness, readiness, metrics, and the front door's plate."""

import functools
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from libs.common.telemetry import OUTBOX_SPOOLED, OUTBOX_WAITING
from services.gateway.routes.callers import kit_of

router = APIRouter()


@router.get("/")
@router.head("/", include_in_schema=False)
async def plate() -> dict[str, str]:
    """Claude Code probes this with HEAD at its start."""
    return {"service": "modelmuxer", "messages": "/v1/messages", "dashboard": "/dashboard"}


@router.get("/health")
@router.head("/health", include_in_schema=False)
async def health(request: Request) -> dict[str, Any]:
    """Alive. Says what is live, but depends on nothing."""
    kit = kit_of(request)
    return {
        "status": "ok",
        "version": own_version(),
        "providers": kit.deployments.providers(),
        "simulator": kit.deployments.simulated,
        "notices": kit.deployments.notices,
        "development_key": kit.keys.development,
    }


@router.get("/ready")
@router.head("/ready", include_in_schema=False)
async def ready(request: Request) -> Response:
    """Whether this process should get traffic: connected to the bus, not leaving, and the
    services it asks have been there."""
    why = await _why_not(request)
    return JSONResponse({"status": why or "ready"}, 503 if why else 200)


async def _why_not(request: Request) -> str:
    kit = kit_of(request)
    if kit.draining:
        return "draining"
    if not kit.bus.connected:
        return "no message bus"
    missing = await request.app.state.peers.missing()
    return f"waiting for {', '.join(missing)}" if missing else ""


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    kit = kit_of(request)
    OUTBOX_WAITING.set(kit.outbox.waiting)
    OUTBOX_SPOOLED.set(kit.outbox.spooled)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


@functools.cache
def own_version() -> str:
    try:
        return version("modelmuxer")
    except PackageNotFoundError:
        return "0"
