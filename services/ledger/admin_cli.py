"""`modelmuxer keys|budgets|limits`: what a team's administrator does, over HTTP."""

import json
import sys
from typing import Annotated, Any

import typer

from libs.common.money import parse_usd, usd_short
from libs.common.tables import Column, figure, table
from services.ledger.remote import ask, segment

Dict = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Scope = Annotated[str, typer.Option(help="key, user, team, org or run.")]
ScopeId = Annotated[str, typer.Option("--id", help="Whose: a key id, user, team or run.")]
Rpm = Annotated[int, typer.Option(help="Requests per minute; 0: no limit of its own.")]
Tpm = Annotated[int, typer.Option(help="Tokens per minute; 0: no limit of its own.")]
Concurrency = Annotated[int, typer.Option(help="Calls at once; 0: no limit of its own.")]

LIMITS = ("rpm", "tpm", "concurrency")
WHOSE = (Column("scope"), Column("id", least=12))
KEYS = (
    Column("id"),
    Column("name", least=8),
    Column("team", least=6),
    Column("user", least=6),
    Column("limits", least=12),
    Column("state", least=10),
)
BUDGETS = (
    Column("id"),
    Column("whose", least=12),
    Column("window"),
    figure("limit"),
    figure("spent"),
    figure("held", spare=4),
    figure("left", spare=1),
    figure("%", spare=3),
    Column("mode", spare=2),
)

keys_app = typer.Typer(help="API keys of a team.", no_args_is_help=True)
budgets_app = typer.Typer(help="Budgets, and where they stand.", no_args_is_help=True)
limits_app = typer.Typer(help="Rate limits, and the kill switch.", no_args_is_help=True)


@keys_app.command("create")
def create_key(
    name: str,
    team: Annotated[str, typer.Option(help="The team it spends for.")] = "",
    user: Annotated[str, typer.Option(help="The person who holds it.")] = "",
    models: Annotated[str, typer.Option(help="Allowed models, globs with commas.")] = "",
    routing: Annotated[str, typer.Option(help="respect, within-family or auto.")] = "auto",
    routing_max: Annotated[
        str, typer.Option(help="The widest routing a request may ask for; empty: --routing.")
    ] = "",
    pii: Annotated[str, typer.Option(help="on or off.")] = "on",
    cache: Annotated[str, typer.Option(help="off, read or read-write.")] = "off",
    rpm: Rpm = 0,
    tpm: Tpm = 0,
    concurrency: Concurrency = 0,
    admin: Annotated[bool, typer.Option("--admin", help="May manage keys and budgets.")] = False,
    subscription: Annotated[
        bool, typer.Option("--subscription", help="Passes its own Claude subscription on.")
    ] = False,
    days: Annotated[int, typer.Option(help="Days until it expires; 0: never.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown once, here.

    Example: modelmuxer keys create ann --team core --user ann --rpm 60
    """
    form: Dict = {
        "name": name,
        "team": team,
        "user": user,
        "models": [model.strip() for model in models.split(",") if model.strip()],
        "routing": routing,
        "routing_max": routing_max,
        "pii": pii,
        "cache": cache,
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        "admin": admin,
        "subscription": subscription,
    }
    if days:
        form["expires_in_days"] = days
    _show_secret(ask("POST", "/v1/admin/keys", form), as_json)


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Every managed key; never its secret.

    Example: modelmuxer keys list
    """
    found = ask("GET", "/v1/admin/keys")
    if as_json:
        return _json(found)
    rows = (
        [key["id"], key["name"], key["team"], key["user"], _limits(key), _key_state(key)]
        for key in found["keys"]
    )
    _say(table(KEYS, rows))


@keys_app.command("rotate")
def rotate_key(
    id: str,
    grace: Annotated[int, typer.Option(help="Seconds the old secret lives on.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret; its id, budgets and history stay.

    Example: modelmuxer keys rotate key_0123456789abcdef --grace 3600
    """
    answer = ask("POST", f"/v1/admin/keys/{segment(id)}/rotate", {"grace_seconds": grace})
    _show_secret(answer, as_json)


@keys_app.command("revoke")
def revoke_key(id: str) -> None:
    """End a key at once.

    Example: modelmuxer keys revoke key_0123456789abcdef
    """
    ask("DELETE", f"/v1/admin/keys/{segment(id)}")
    _say(f"{id} is revoked")


@budgets_app.command("list")
def list_budgets(scope: Scope = "", scope_id: ScopeId = "", as_json: AsJson = False) -> None:
    """Each budget: limit, spent, reserved, remaining, reset.

    Example: modelmuxer budgets list --scope team
    """
    found = ask("GET", "/v1/analytics/budgets", scope=scope, scope_id=scope_id)
    if as_json:
        return _json(found)
    _say(table(BUDGETS, map(_budget, found["budgets"])))


@budgets_app.command("set")
def set_budget(
    limit: Annotated[str, typer.Argument(help="US dollars, for example 5.00.")],
    window: Annotated[str, typer.Option(help="hourly, daily, weekly, monthly, total.")] = "daily",
    scope: Scope = "key",
    scope_id: ScopeId = "",
    mode: Annotated[str, typer.Option(help="block, downgrade or advise.")] = "block",
    alerts: Annotated[str, typer.Option(help="Percentages with commas.")] = "50,80,95",
    clamp: Annotated[bool, typer.Option(help="Shorten answers near the limit.")] = True,
    as_json: AsJson = False,
) -> None:
    """Set a budget, or replace the one of the same scope and window.

    Example: modelmuxer budgets set 100 --window monthly --scope team --id core
    """
    form = {
        "budget_type": window,
        "budget_limit": limit,
        "alert_thresholds": [_percent(part) for part in alerts.split(",") if part.strip()],
        "scope": scope,
        "scope_id": scope_id,
        "mode": mode,
        "clamp": clamp,
    }
    budget = ask("POST", "/v1/analytics/budgets", form)
    if as_json:
        return _json(budget)
    _say(
        f"{budget['id']}: {_money(budget['limit'])} {budget['budget_type']} for "
        f"{budget['scope']} {budget['scope_id']}, {_money(budget['spent'])} of it spent"
    )


@budgets_app.command("delete")
def delete_budget(id: str) -> None:
    """Remove a budget; what was spent is not forgotten.

    Example: modelmuxer budgets delete bud_0123456789abcdef
    """
    ask("DELETE", f"/v1/analytics/budgets/{segment(id)}")
    _say(f"{id} is deleted")


@limits_app.command("list")
def list_limits(as_json: AsJson = False) -> None:
    """Limits that an administrator has set.

    Example: modelmuxer limits list
    """
    found = ask("GET", "/v1/admin/limits")
    if as_json:
        return _json(found)
    rows = (
        [each["scope"], each["scope_id"], *(str(each[name] or "-") for name in LIMITS)]
        for each in found["limits"]
    )
    figures = map(figure, ("requests/min", "tokens/min", "at once"))
    _say(table([*WHOSE, *figures], rows))


@limits_app.command("set")
def set_limits(
    scope: Annotated[str, typer.Option(help="key, user, team or default.")] = "default",
    scope_id: ScopeId = "",
    rpm: Rpm = 0,
    tpm: Tpm = 0,
    concurrency: Concurrency = 0,
    as_json: AsJson = False,
) -> None:
    """Limit a key, user or team, or every key that has no limit of its own. Zeroes remove.

    Example: modelmuxer limits set --scope team --id core --rpm 600 --tpm 2000000
    """
    form = {
        "scope": scope,
        "scope_id": scope_id,
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
    }
    answer = ask("POST", "/v1/admin/limits", form)
    if as_json:
        return _json(answer)
    _say(f"{scope} {scope_id}: {_limits(answer)}")


@limits_app.command("pause")
def pause(
    scope: Annotated[str, typer.Option(help="run, key, user or team.")],
    scope_id: ScopeId,
    reason: Annotated[str, typer.Option(help="Told to whoever is stopped.")] = "",
) -> None:
    """Stop a run, key, user or team at once; open answers end.

    Example: modelmuxer limits pause --scope user --id ann --reason "runaway loop"
    """
    _pause(scope, scope_id, True, reason)


@limits_app.command("resume")
def resume(
    scope: Annotated[str, typer.Option(help="run, key, user or team.")], scope_id: ScopeId
) -> None:
    """Let a paused run, key, user or team go on.

    Example: modelmuxer limits resume --scope user --id ann
    """
    _pause(scope, scope_id, False, "")


@limits_app.command("pauses")
def list_pauses(as_json: AsJson = False) -> None:
    """Who is paused, and why.

    Example: modelmuxer limits pauses
    """
    found = ask("GET", "/v1/admin/pauses")
    if as_json:
        return _json(found)
    rows = (
        [each["scope"], each["scope_id"], each["reason"], str(each["at"])]
        for each in found["pauses"]
    )
    _say(table([*WHOSE, Column("reason", least=12), Column("since")], rows))


def _pause(scope: str, scope_id: str, paused: bool, reason: str) -> None:
    form = {"scope": scope, "scope_id": scope_id, "paused": paused, "reason": reason}
    ask("POST", "/v1/admin/pauses", form)
    _say(f"{scope} {scope_id} is {'paused' if paused else 'resumed'}")


def _show_secret(answer: Dict, as_json: bool) -> None:
    if as_json:
        return _json(answer)
    key = answer["key"]
    _say(f"{key['id']} ({key['name']}); keep the secret, it is not shown again:")
    _say(answer["secret"])


def _budget(budget: Dict) -> list[str]:
    return [
        budget["id"],
        f"{budget['scope']} {budget['scope_id']}",
        budget["budget_type"],
        *(_money(budget[name]) for name in ("limit", "spent", "reserved", "remaining")),
        f"{budget['percent']:.1f}",
        budget["mode"],
    ]


def _money(text: str) -> str:
    return usd_short(parse_usd(text))


def _limits(each: Dict) -> str:
    words = {"rpm": "requests/min", "tpm": "tokens/min", "concurrency": "at once"}
    set_ones = [f"{each[name]} {word}" for name, word in words.items() if each[name]]
    return ", ".join(set_ones) or "none of its own"


def _key_state(key: Dict) -> str:
    if key["revoked_at"]:
        return f"revoked {key['revoked_at']}"
    return f"until {key['expires_at']}" if key["expires_at"] else "active"


def _percent(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no percentage; write 50,80,95") from None


def _json(answer: Dict) -> None:
    _say(json.dumps(answer, indent=2))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
