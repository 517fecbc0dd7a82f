"""Claude in another company's cloud: Anthropic's body, with that cloud's rules. Pure."""

from collections import Counter
from typing import Any

import msgspec

from libs.common.errors import InvalidRequest
from services.gateway.adapt import adapt_claude
from services.gateway.providers.base import Json, Origin, Translated
from services.gateway.providers.form import check_form
from services.gateway.providers.reading import THREAD, count_dropped

# What its own client is told by header, or by the address.
OUTSIDE = frozenset(("model", "stream", "anthropic_beta"))
_encode = msgspec.json.Encoder().encode


def prepare(
    request: Json, model: str, origin: Origin, takes: frozenset[str], betas: frozenset[str]
) -> tuple[Translated, list[str]]:
    """The body for `model`, and the betas that may go with it. The client's
    betas come in the field `anthropic_beta`; one that the cloud does not know is refused there,
    so it goes together with its field."""
    dropped: Counter[str] = Counter()
    check_form(request)
    if request.get("thread") is not None:
        raise InvalidRequest("thread: message threads are kept by Anthropic only", THREAD)
    fields = {
        name: msgspec.Raw(_encode(value))
        for name, value in request.items()
        if name not in OUTSIDE and value is not None
    }
    asked, wanted = str(request.get("model") or ""), list(request.get("anthropic_beta") or ())
    fields, wanted, changes = adapt_claude(fields, wanted, asked, model, origin)
    kept = [beta for beta in wanted if beta in betas]
    dropped.update(f"beta {beta}" for beta in wanted if beta not in betas)
    body: Json = {}
    for name, raw in fields.items():
        if name in takes and _allowed(name, kept):
            body[name] = msgspec.json.decode(raw)
        else:
            count_dropped(dropped, name)
    return Translated(body, dict(dropped), tuple(changes)), kept


def _allowed(name: str, betas: list[str]) -> bool:
    if name != "context_management":
        return True
    return any(beta.startswith(("context-management-", "compact-")) for beta in betas)


def tidy(body: Json) -> None:
    """Blank texts are refused; so is a conversation with tool calls and no tools."""
    used: set[str] = set()
    for at, message in enumerate(body.get("messages") or []):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        message["content"] = [block for block in content if not _blank(block)]
        for block in message["content"]:
            _refuse_urls(block, f"messages.{at}")
            if block.get("type") == "tool_use":
                used.add(str(block.get("name")))
    if used and not body.get("tools"):
        schema = {"type": "object", "properties": {}}
        body["tools"] = [{"name": name, "input_schema": schema} for name in sorted(used)]
        body["tool_choice"] = {"type": "none"}


def refuse_server_tools(body: Json, cloud: str, allowed: tuple[str, ...] = ()) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        kind = str(tool.get("type") or "custom")
        if kind.startswith(("web_", "code_execution")) and not kind.startswith(allowed or "\0"):
            raise InvalidRequest(f"tools.{at}.type: {kind} does not run on {cloud}; leave it out")


def _blank(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and not str(block.get("text") or "").strip()
    )


def _refuse_urls(block: Any, where: str) -> None:
    source = block.get("source") if isinstance(block, dict) else None
    if isinstance(source, dict) and source.get("type") in ("url", "file"):
        raise InvalidRequest(
            f"{where}: this cloud takes files as base64 only, not by {source['type']}"
        )
