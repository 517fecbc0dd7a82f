"""`POST /v1/pii/scan`: what pii would find in a text, for administrators. Places, never values."""

from typing import Any

from fastapi import APIRouter, Request

from libs.common.contracts.pii import SCAN, Finding, Scan
from libs.common.errors import InvalidRequest
from services.gateway.call import new_request_id
from services.gateway.routes.callers import administrator, json_object, kit_of
from services.gateway.routes.forms import known_fields, text

router = APIRouter(prefix="/v1/pii")
MAX_TEXTS = 1000


@router.post("/scan")
async def scan(request: Request) -> dict[str, Any]:
    """`{"text": …}` or `{"texts": […]}`; the findings of each, in the order of the texts."""
    who = await administrator(request)
    form = await json_object(request)
    known_fields(form, {"text", "texts", "org"})
    texts = _texts(form)
    kit = kit_of(request)
    found = await kit.bus.ask(
        SCAN,
        Scan(
            request_id=new_request_id(),
            texts=tuple(texts),
            prose=(True,) * len(texts),
            org=text(form, "org", who.org),
        ),
        kit.settings.gateway.timeouts.scan,
    )
    each = [[_shown(finding) for finding in findings] for findings in found.texts]
    shown: dict[str, Any] = {"findings": each[0]} if "text" in form else {"texts": each}
    return {**shown, "rules": found.rules}


def _texts(form: dict[str, object]) -> list[str]:
    """Raises InvalidRequest."""
    if ("text" in form) == ("texts" in form):
        raise InvalidRequest("text: give one text, or texts: a list of them")
    given = [form["text"]] if "text" in form else form["texts"]
    if not isinstance(given, list) or len(given) > MAX_TEXTS:
        raise InvalidRequest(f"texts: must be a list of at most {MAX_TEXTS} texts")
    texts = [each for each in given if isinstance(each, str)]
    if len(texts) < len(given):
        raise InvalidRequest("text: must be text" if "text" in form else "texts: must be texts")
    return texts


def _shown(finding: Finding) -> dict[str, Any]:
    """Offsets are in characters, as `modelmuxer pii scan` has them."""
    return {
        "type": finding.type,
        "start": finding.start,
        "end": finding.end,
        "score": finding.score,
    }
