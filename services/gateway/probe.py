"""Ask a provider for one token, and say in words what is wrong if it does not answer."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.catalogue import Catalogue
from libs.common.errors import MuxError
from services.gateway.deployments import NotLive, Target
from services.gateway.errors import Headers
from services.gateway.headers import retry_after_of
from services.gateway.providers import DIALECTS
from services.gateway.providers.anthropic import VERSION
from services.gateway.providers.base import Dialect, Json, ProviderError
from services.gateway.providers.events import UNREADABLE
from services.gateway.providers.failures import parse
from services.gateway.providers.signing import SIGNERS
from services.gateway.upstream import CallFailed, HttpReply, Upstreams

ASK: Json = {"max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
JSON: Headers = [(b"content-type", b"application/json"), (b"user-agent", b"modelmuxer")]
# Models of a provider's own list that answer no messages.
NO_CHAT = ("embed", "whisper", "tts", "guard", "rerank", "image", "moderation", "ocr")
NO_SUCH = ("not exist", "not found", "invalid model", "unknown", "unsupported")
# Ours, by the beginnings that `keys create`, `init` and the guide give them.
OURS = ("sk-mm-", "sk-test-claude")
FIXES = {
    "no_key": "put the key there; `env:NAME` reads a variable or .env, `file:PATH` a file",
    "own_key": "give the provider's own key, in a variable that is not ANTHROPIC_API_KEY if that "
    "one holds the key to this gateway: [providers.NAME] api_key",
    "setting": "mend [providers.NAME]; see docs/providers.md",
    "loop": "set [providers.NAME] base_url to the provider's own address",
    "key_rejected": "make a new key at the provider and put it at [providers.NAME] api_key",
    "forbidden": "let the key use this model and region at the provider, or use another key",
    "no_credit": "add credit at the provider, or use the key of another account",
    "unknown_model": "name one that it has: [providers.NAME] models",
    "address": "correct [providers.NAME] base_url (and dialect); see docs/providers.md",
    "rate_limited": "the key is good: wait, raise the limit at the provider, or add a second key "
    "to [providers.NAME] api_keys",
    "refused": "the provider's words say what it misses; see docs/providers.md",
    "down": "wait: the provider itself is failing; another provider can stand in for it",
    "name": "check the host in [providers.NAME] base_url, and this machine's DNS",
    "connect": "is the server running, and may this machine reach it? Behind a proxy set "
    "gateway.https_proxy",
    "tls": "the certificate is not trusted here: set gateway.ca_file to the authority's PEM file",
    "proxy": "check gateway.https_proxy or HTTPS_PROXY; NO_PROXY names hosts to reach directly",
    "silent": "the host takes connections and says nothing: check base_url and any firewall",
    "broken": "something between here and the provider breaks connections: check base_url",
    "credentials": "sign this machine in at the cloud, or set [providers.NAME] api_key",
}
OF_STATUS = {401: "key_rejected", 402: "no_credit", 403: "forbidden", 429: "rate_limited"}


class Finding(Struct, frozen=True, kw_only=True):
    """`what` is one word for programs: ok, or a key of `FIXES`."""

    provider: str
    deployment: str = ""
    model: str = ""
    what: str = "ok"
    reason: str
    fix: str = ""
    seconds: float = 0.0


def not_live(fault: NotLive) -> Finding:
    return _fault(fault.provider, fault.what, fault.why)


async def probe(
    upstreams: Upstreams, target: Target, catalogue: Catalogue, seconds: float
) -> Finding:
    """One token from one deployment, in the form that its requests have."""
    started, model = time.monotonic(), ""
    timeouts = {"connect": seconds, "read": seconds}
    deployment = target.deployment
    try:
        async with asyncio.timeout(2 * seconds):
            model = await _model(upstreams, target, catalogue, timeouts)
            what, reason = await _asked(upstreams, target, catalogue, model, timeouts)
    except CallFailed as failure:
        what, reason = failure.fault, failure.detail
    except TimeoutError:
        what, reason = "silent", f"no whole answer within {2 * seconds:g} s"
    except MuxError as error:
        what, reason = "credentials", error.detail
    if what != "ok":
        found = _fault(deployment.provider, what, reason)
    else:
        found = Finding(provider=deployment.provider, reason=reason)
    took = round(time.monotonic() - started, 3)
    return msgspec.structs.replace(found, deployment=deployment.id, model=model, seconds=took)


def _fault(provider: str, what: str, reason: str) -> Finding:
    fix = FIXES[what].replace("NAME]", f"{provider}]")
    return Finding(provider=provider, what=what, reason=reason, fix=fix)


async def _model(
    upstreams: Upstreams, target: Target, catalogue: Catalogue, timeouts: dict[str, float]
) -> str:
    """The first configured, else the cheapest known, else the first of the provider's list."""
    deployment = target.deployment
    if deployment.models:
        return deployment.models[0]
    pool = catalogue.pool(deployment.catalogue or deployment.provider)
    if pool:
        return pool["cheap"]
    own = {**DIALECTS[deployment.dialect].headers(target.credential, target.options)}
    reply = await upstreams.send(
        f"{target.base_url}/models", _pairs({**own, **target.headers}), b"",
        timeouts=timeouts, method="GET",
    )  # fmt: skip
    body = await reply.read()
    await reply.close()
    return _listed(parse(body))


def _listed(page: Any) -> str:
    """A name of a list of models; any name will do to hear what is wrong."""
    rows = page.get("data") if isinstance(page, dict) else page
    rows = rows if isinstance(rows, list) else []
    names = [str(row["id"]) for row in rows if isinstance(row, dict) and row.get("id")]
    chat = [name for name in names if not any(word in name.lower() for word in NO_CHAT)]
    return next(iter(chat or names), "default")


async def _asked(
    upstreams: Upstreams,
    target: Target,
    catalogue: Catalogue,
    model: str,
    timeouts: dict[str, float],
) -> tuple[str, str]:
    """(what, reason) of a request for one token."""
    dialect = DIALECTS[target.deployment.dialect]
    made = dialect.to_upstream({**ASK, "model": model}, model, catalogue.facts(model), lambda _: "")
    body = msgspec.json.encode(made.body)
    url = target.base_url + dialect.path(model, False, target.options)
    own = dialect.headers(target.credential, target.options)
    if sign := SIGNERS.get(target.deployment.dialect):
        json = {"content-type": "application/json"}
        own |= await asyncio.to_thread(sign, url, json, body, target.credential, target.options)
    if target.deployment.dialect == "anthropic":
        own = {"anthropic-version": VERSION, **own}
    reply = await upstreams.send(url, _pairs({**own, **target.headers}), body, timeouts=timeouts)
    try:
        return _judged(target, model, reply, await reply.read(1024 * 1024))
    finally:
        with contextlib.suppress(CallFailed):
            await reply.close()


def _pairs(headers: Mapping[str, str]) -> Headers:
    return [*JSON, *((k.lower().encode(), v.encode("latin-1")) for k, v in headers.items())]


def _judged(target: Target, model: str, reply: HttpReply, body: bytes) -> tuple[str, str]:
    dialect, status, parsed = DIALECTS[target.deployment.dialect], reply.status, parse(body)
    if status >= 500 and not isinstance(parsed, dict | list):
        return "down", f"answered HTTP {status}"
    if not isinstance(parsed, dict | list) or 300 <= status < 400:
        return "address", f"answered HTTP {status} without JSON: this is not the provider's API"
    if status < 400:
        return _answered(dialect, parsed, model)
    error = dialect.error_of(status, body)
    what = _what(status, error)
    return what, _words(what, target, model, reply, error)


def _answered(dialect: Dialect, parsed: Any, model: str) -> tuple[str, str]:
    try:
        if isinstance(dialect.from_upstream(parsed, model)["content"], list):
            return "ok", f"{model} answers"
    except UNREADABLE:
        pass
    return "address", "answered in another form than its dialect has"


def _what(status: int, error: ProviderError) -> str:
    words = error.message.lower()
    if error.type == "billing_error" or "credit balance" in words:
        return "no_credit"
    if status in OF_STATUS:
        return OF_STATUS[status]
    if "api key" in words and ("invalid" in words or "not valid" in words):
        return "key_rejected"
    if status == 404 or ("model" in words and any(each in words for each in NO_SUCH)):
        return "unknown_model"
    return "down" if status >= 500 else "refused"


def _words(what: str, target: Target, model: str, reply: HttpReply, error: ProviderError) -> str:
    said = f"HTTP {reply.status}: {error.message[:300]}"
    if what == "key_rejected" and target.credential.startswith(OURS):
        return f"the key is one that ModelMuxer made, not one of the provider's ({said})"
    after = retry_after_of(reply)
    start = {
        "key_rejected": "the key was rejected",
        "forbidden": f"the key may not use {model}",
        "no_credit": "the account has no credit",
        "unknown_model": f"it has no model {model}",
        "rate_limited": f"rate-limited, for {after:g} s" if after else "rate-limited",
        "down": "the provider fails",
    }.get(what, f"it refuses a request of one token to {model}")
    return f"{start} ({said})"
