"""What can be wrong between a client and the gateway. Each check asks as a client would and
returns what it found: fine, a warning, or a fault with its reason and its fix."""

import re
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

from msgspec import Struct

from libs.common.catalogue import Catalogue
from libs.common.settings import Settings
from services.cli.wire import Answer, Gateway, NoAnswer

State = Literal["ok", "warning", "failed", "skipped"]
MODEL = "claude-haiku-4-5"
WORDS = "Count from one to thirty in English words, separated by commas. Nothing else."
BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14"
MAX_SKEW = 60
SLOW_MODELS = 3.0  # Claude Code waits so long for the list of models
MANY = 5  # pieces of text from which on a burst is no accident


class Finding(Struct, frozen=True, kw_only=True):
    """`reason` is what was seen, `fix` what to do about it."""

    check: str
    state: State
    reason: str
    fix: str = ""


class Visit(Struct, kw_only=True):
    """What the checks of one run know so far. `missing` is the check whose failure makes the
    rest pointless."""

    gateway: Gateway
    model: str = ""
    free: bool = False
    environment: Mapping[str, str] = {}
    own_version: str = ""
    health: dict[str, Any] = {}
    date: str = ""
    models: tuple[dict[str, Any], ...] = ()
    missing: str = ""


Check = Callable[[str, Visit], Finding]


def ok(check: str, reason: str) -> Finding:
    return Finding(check=check, state="ok", reason=reason)


def failed(check: str, reason: str, fix: str) -> Finding:
    return Finding(check=check, state="failed", reason=reason, fix=fix)


def warning(check: str, reason: str, fix: str) -> Finding:
    return Finding(check=check, state="warning", reason=reason, fix=fix)


def run(visit: Visit) -> Iterator[Finding]:
    """All checks in order. Without an answer, or a key, those that need it are skipped."""
    for name, check, needs in CHECKS:
        if visit.missing and needs:
            yield Finding(check=name, state="skipped", reason=f"needs {visit.missing}")
            continue
        try:
            found = check(name, visit)
        except NoAnswer as error:
            found = failed(name, str(error), "look at the log of the gateway")
        if found.state == "failed" and name in ("connection", "ready", "key"):
            visit.missing = name
        yield found


def connection(name: str, visit: Visit) -> Finding:
    url = visit.gateway.url
    if re.search(r"/v1/?$", url):
        return failed(name, f"{url} ends in /v1", f"use {re.sub('/v1/?$', '', url)}")
    try:
        found = visit.gateway.get("/health", key="")
    except NoAnswer as error:
        return failed(name, f"{url}: {error}", _start(str(error), url))
    if 300 <= found.status < 400:
        where = found.headers.get("location", "?")
        return failed(name, f"redirected to {where}", "use that address; clients do not follow")
    if "providers" not in found.json:
        what = "a web page" if "html" in found.headers.get("content-type", "") else "something else"
        fix = "check the port; `modelmuxer up --port N` names who holds it"
        return failed(name, f"{url} is {what}, not ModelMuxer ({found.status})", fix)
    visit.health, visit.date = found.json, found.headers.get("date", "")
    return ok(name, f"ModelMuxer answers at {url} in {found.seconds * 1000:.0f} ms")


def _start(reason: str, url: str) -> str:
    if "certificate" in reason:
        return "trust its authority: SSL_CERT_FILE=ca.pem (Claude Code: NODE_EXTRA_CA_CERTS)"
    if "TLS" in reason:
        return f"use {url.replace('https://', 'http://')}"
    return "start it: modelmuxer up; in a container: docker logs modelmuxer-app"


def ready(name: str, visit: Visit) -> Finding:
    found = visit.gateway.get("/ready", key="")
    if found.status == 200:
        return ok(name, "it takes requests")
    why = str(found.json.get("status", found.status))
    if why == "draining":
        return failed(name, "it is shutting down", "start it again: modelmuxer up")
    return failed(name, f"{why}: it refuses every request", "is NATS up? nats_url in the settings")


def head(name: str, visit: Visit) -> Finding:
    found = visit.gateway.get("/", method="HEAD", key="")
    if found.status < 300 or found.status == 404:
        return ok(name, f"HEAD / answers {found.status}")
    return failed(
        name, f"HEAD / answers {found.status}", "let HEAD pass in the proxy before the gateway"
    )


def key(name: str, visit: Visit) -> Finding:
    found = visit.gateway.get("/v1/models")
    if found.status == 401:
        return failed(
            name,
            found.message,
            "set ANTHROPIC_AUTH_TOKEN to a key of API_KEYS or of `modelmuxer keys create`",
        )
    if found.status != 200:
        return failed(name, f"/v1/models answers {found.status}: {found.message}", _fix(found))
    visit.models = tuple(found.json.get("data", ()))
    if found.seconds > SLOW_MODELS:
        return warning(name, f"/v1/models took {found.seconds:.1f} s", "Claude Code waits 3 s")
    return ok(name, "the key is known")


def models(name: str, visit: Visit) -> Finding:
    ids = [str(model.get("id")) for model in visit.models]
    if not ids:
        return failed(name, "no model is listed", "set a provider key: docs/configuration.md")
    claude = sum(id.startswith(("claude", "anthropic")) for id in ids)
    if not visit.model:
        visit.model = MODEL if any("claude" in id for id in ids) else "modelmuxer-auto"
    return ok(name, f"{len(ids)} models, {claude} of them under names Claude Code lists")


def answer(name: str, visit: Visit) -> Finding:
    if visit.free:
        return Finding(check=name, state="skipped", reason="--free asks no model")
    ask = {"role": "user", "content": WORDS}
    found = visit.gateway.stream({"model": visit.model, "max_tokens": 200, "messages": [ask]})
    if found.answer.status != 200:
        reason = f"{found.answer.status}: {found.answer.message}"
        if found.answer.status == 503:
            visit.missing = name  # a part is away: asking again waits for it again
        return failed(name, reason, _fix(found.answer))
    if found.error:
        return failed(name, f"the stream broke: {found.error}", "see the log of the gateway")
    if found.events[:1] != ("message_start",) or found.events[-1:] != ("message_stop",):
        fix = "something between cuts or changes streams; ask the gateway directly"
        return failed(name, f"an incomplete stream of {len(found.events)} events", fix)
    return _in_time(name, found.deltas, found.answer)


def _in_time(name: str, deltas: tuple[float, ...], found: Answer) -> Finding:
    if len(deltas) >= MANY and deltas[-1] - deltas[0] < 0.002:
        fix = "a proxy between buffers: for nginx `proxy_buffering off;`"
        return failed(name, f"all {len(deltas)} pieces came at once", fix)
    served = found.headers.get("x-modelmuxer-model", "?")
    first = f"first text after {deltas[0] * 1000:.0f} ms" if deltas else "no text"
    return ok(name, f"{served} streams; {first}, done after {found.seconds:.1f} s")


def betas(name: str, visit: Visit) -> Finding:
    """As Claude Code asks: not streamed, with `?beta=true`, betas and its session header."""
    if visit.free:
        return Finding(check=name, state="skipped", reason="--free asks no model")
    body = {
        "model": visit.model,
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Say OK."}],
        "metadata": {"user_id": "modelmuxer-doctor"},
    }
    headers = {"anthropic-beta": BETAS, "x-claude-code-session-id": "modelmuxer-doctor"}
    found = visit.gateway.post("/v1/messages?beta=true", body, headers)
    if found.status == 200 and found.json.get("type") == "message":
        return ok(name, "Claude Code's betas and query pass")
    return failed(name, f"{found.status}: {found.message}", _fix(found))


def count(name: str, visit: Visit) -> Finding:
    body = {"model": visit.model, "messages": [{"role": "user", "content": "How long is this?"}]}
    found = visit.gateway.post("/v1/messages/count_tokens?beta=true", body)
    tokens = found.json.get("input_tokens")
    if found.status == 200 and isinstance(tokens, int) and tokens > 0:
        return ok(name, f"count_tokens answers ({tokens} tokens)")
    reason = f"count_tokens answers {found.status}: {found.message}"
    return failed(name, reason, _fix(found))


def errors(name: str, visit: Visit) -> Finding:
    """A refusal must have Anthropic's shape and stop the client: without `x-should-retry:
    false` Claude Code repeats a refused request for three minutes."""
    found = visit.gateway.post("/v1/messages", b"{", key="not-a-key")
    inner = found.json.get("error")
    if found.status == 503:
        return failed(name, f"nobody can tell keys apart: {found.message}", _fix(found))
    if found.json.get("type") != "error" or not isinstance(inner, dict) or found.status != 401:
        fix = "something between replaces answers; ask the gateway directly"
        return failed(name, f"a wrong key gets {found.status}: {found.message[:60]}", fix)
    if found.headers.get("x-should-retry") != "false":
        fix = "let the header x-should-retry pass in the proxy before the gateway"
        return failed(name, "the header x-should-retry is lost on the way", fix)
    return ok(name, "refusals have Anthropic's shape and stop the client")


def clock(name: str, visit: Visit) -> Finding:
    try:
        skew = parsedate_to_datetime(visit.date).timestamp() - time()
    except (TypeError, ValueError):
        return warning(name, "the gateway tells no time", "let the Date header pass in the proxy")
    if abs(skew) > MAX_SKEW:
        text = f"the gateway's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        return failed(name, text, "budgets reset by the gateway's clock: set both by NTP")
    return ok(name, f"clocks agree within {max(1, abs(skew)):.0f} s")


def budgets(name: str, visit: Visit) -> Finding:
    found = visit.gateway.get("/v1/analytics/budgets")
    if found.status != 200:
        return failed(name, f"budgets answer {found.status}: {found.message}", _fix(found))
    rows = sorted(found.json.get("budgets", []), key=lambda row: float(row["remaining"]))
    if not rows:
        return ok(name, "no budget is set for this key")
    row = rows[0]
    said = f"${row['remaining']} of ${row['limit']} left ({row['scope']}, {row['budget_type']})"
    if float(row["remaining"]) <= 0 and row.get("mode") == "block":
        when = f"wait until {row['resets_at']}" if row.get("resets_at") else "it never resets"
        return failed(name, f"a budget is used up: {said}", f"{when}, or raise it")
    if float(row["percent"]) >= 80:
        return warning(name, f"a budget is nearly used up: {said}", "raise it, or spend less")
    return ok(name, said)


def providers(name: str, visit: Visit) -> Finding:
    """Each live provider answers by a cheap model of its own."""
    if notices := visit.health.get("notices"):
        return warning(name, "; ".join(map(str, notices)), "see docs/configuration.md#providers")
    if visit.health.get("simulator"):
        return warning(
            name,
            "no provider has a key: the simulator answers, no real model does",
            "set ANTHROPIC_API_KEY (or OPENAI_API_KEY, …) in .env where `modelmuxer up` runs",
        )
    live = [str(each) for each in visit.health.get("providers", [])]
    if visit.free:
        return ok(name, f"live: {', '.join(live)} (not asked: --free)")
    ids = {str(model.get("id")) for model in visit.models}
    wrong = [f"{each}: {why}" for each in live if (why := _ask_provider(visit, each, ids))]
    if wrong:
        fix = "check its key and address: modelmuxer config show, docs/configuration.md#providers"
        return failed(name, "; ".join(wrong), fix)
    return ok(name, f"answered: {', '.join(live)}")


def _ask_provider(visit: Visit, provider: str, ids: set[str]) -> str:
    """What is wrong with a provider; empty if nothing is, or if no model of it is known."""
    pool = Catalogue.load(Settings()).pool(provider) if provider in POOLED else {}
    model = next((pool[tier] for tier in ("cheap", "standard", "premium") if tier in pool), "")
    if model not in ids:
        return ""
    body = {
        "model": model,
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Say OK."}],
    }
    found = visit.gateway.post("/v1/messages", body, {"x-modelmuxer-routing": "respect"})
    if found.status != 200:
        return f"{found.status} {found.message}"
    served = found.headers.get("x-modelmuxer-provider", provider)
    return "" if served == provider else f"does not answer; {served} stood in"


POOLED = ("anthropic", "openai", "gemini", "mistral")


def environment(name: str, visit: Visit) -> Finding:
    """The four names that clients read, and proxies that would come between."""
    wrong = list(_wrong_variables(visit.environment, visit.gateway.url))
    if not wrong:
        return ok(name, "the variables of this shell fit")
    reasons = "; ".join(reason for reason, _ in wrong)
    return warning(name, reasons, "; ".join(dict.fromkeys(fix for _, fix in wrong)))


def _wrong_variables(environ: Mapping[str, str], url: str) -> Iterator[tuple[str, str]]:
    set_up = "`modelmuxer connect claude`, or eval its --print"
    for variable in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"):
        value = environ.get(variable, "")
        if re.search(r"/v1/?$", value):
            yield f"{variable}={value} ends in /v1, which clients append themselves", set_up
        elif value and _loopback(value) != _loopback(url):
            yield f"{variable}={value} leads elsewhere", set_up
    token, api_key = environ.get("ANTHROPIC_AUTH_TOKEN"), environ.get("ANTHROPIC_API_KEY")
    if token and api_key and token != api_key:
        fix = "unset the one you do not mean"
        yield "ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN differ; clients send both", fix
    proxy = environ.get("HTTP_PROXY") or environ.get("http_proxy")
    spared = environ.get("NO_PROXY", "") + "," + environ.get("no_proxy", "")
    host = re.sub(r"^https?://|[:/].*$", "", url)
    if proxy and url.startswith("http://") and host not in spared and "*" not in spared:
        yield f"HTTP_PROXY is set and NO_PROXY does not name {host}", f"export NO_PROXY={host}"


def _loopback(url: str) -> str:
    return url.rstrip("/").replace("//localhost", "//127.0.0.1")


def versions(name: str, visit: Visit) -> Finding:
    theirs, ours = str(visit.health.get("version", "")), visit.own_version
    if not theirs:
        return warning(name, f"the gateway tells no version; this is {ours}", "upgrade it")
    if theirs != ours:
        return warning(name, f"the gateway is {theirs}, this command {ours}", "upgrade the older")
    return ok(name, f"both are {ours}")


def _fix(found: Answer) -> str:
    """By the status; docs/errors.md has all of them."""
    message = found.message.lower()
    if found.status == 402:
        return "raise the budget, or wait until it resets: docs/errors.md#budget_exceeded"
    if found.status == 503:
        down = next((s for s in ("pii", "ledger", "router", "nats") if s in message), "a service")
        return f"{down} is away: look at its log; `modelmuxer up` starts it again"
    if found.status in (502, 504) or found.status >= 520:
        return "the provider fails: check its key and address (modelmuxer config show)"
    return FIXES.get(found.status, "see docs/errors.md")


FIXES = {
    400: "the message names the field: docs/errors.md#invalid_request",
    401: "the provider does not take its key: check it where `modelmuxer up` runs",
    403: "this key may not do that: docs/errors.md#forbidden",
    404: "this key or gateway has no such model: modelmuxer doctor --model NAME",
    405: "something between blocks POST; ask the gateway directly",
    429: "wait, or raise the limit: docs/errors.md#limit_exceeded",
}
# name, check, whether it needs an answer and a known key
CHECKS: tuple[tuple[str, Check, bool], ...] = (
    ("connection", connection, False),
    ("ready", ready, True),
    ("head", head, True),
    ("errors", errors, True),
    ("clock", clock, True),
    ("key", key, True),
    ("models", models, True),
    ("count_tokens", count, True),
    ("budgets", budgets, True),
    ("answer", answer, True),
    ("betas", betas, True),
    ("providers", providers, True),
    ("versions", versions, True),
    ("environment", environment, False),
)
