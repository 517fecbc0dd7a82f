"""The request as a candidate gets it: passed through, adapted, or translated.

Served model = asked model: the bytes as they came, but for masked text. A sibling Claude:
`adapt_claude` changes only what that model does not take. Another provider: its dialect.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from libs.common.errors import InvalidRequest
from services.gateway.adapt import adapt_claude
from services.gateway.body import raw_of
from services.gateway.call import Attempt, Call
from services.gateway.features import signature_hash
from services.gateway.kit import Kit
from services.gateway.providers import DIALECTS
from services.gateway.providers.base import Dialect


class Outgoing(Struct, frozen=True):
    """`betas` is None where the client's own lines pass as they are. `names` are the tools that
    go by another name there."""

    path: str
    body: bytes
    betas: list[str] | None = None
    changes: list[str] = []
    names: dict[str, str] = {}


def outgoing(kit: Kit, call: Call, attempt: Attempt, dialect: Dialect) -> Outgoing:
    """Raises InvalidRequest, naming the field, for what the dialect cannot keep."""
    target = kit.deployments.targets[attempt.candidate.deployment]
    path = dialect.path(attempt.candidate.model, call.stream, target.options)
    if dialect is DIALECTS["anthropic"]:
        return _passed_through(kit, call, attempt, path)
    return _translated(kit, call, attempt, dialect, path)


def _passed_through(kit: Kit, call: Call, attempt: Attempt, path: str) -> Outgoing:
    """The fields stay as sent where the served model is the asked one, but for thinking of
    other models and a thinking budget that a tool loop of theirs does not allow."""
    asked, served = call.features.model, attempt.candidate.model
    path += f"?{call.query}" if call.query and "?" not in path else ""
    given = list(call.features.betas)
    written_for = _written_for(kit, call, served)
    fields, betas, changes = adapt_claude(
        call.fields, given, written_for, served, _origin(kit, call, served)
    )
    if asked != served:
        fields["model"] = raw_of(served)
    if attempt.max_tokens and attempt.max_tokens < call.body.max_tokens:
        fields["max_tokens"] = raw_of(attempt.max_tokens)
        _lower_thinking(fields, attempt.max_tokens)
    adapted = betas if betas != given else None
    return Outgoing(path, call.body.encoded(fields), adapted, changes)


def _written_for(kit: Kit, call: Call, served: str) -> str:
    """The Claude that the client had in mind: the served one, however its name was spelled
    (`anthropic/…`, `…[1m]`); none behind a door that is not Anthropic's."""
    asked = call.features.model
    if call.door != "messages":
        return ""
    if asked == served or served not in asked:
        return asked
    resolved = kit.catalogue.resolve(asked)
    return served if resolved and resolved.model == served else asked


def _origin(kit: Kit, call: Call, served: str) -> Callable[[str], str] | None:
    """Who made a signature, where one is known to be another model's: else nobody need ask,
    and the messages need not be read."""
    if all(kit.origins.of(each) in ("", served) for each in call.features.signatures):
        return None
    return lambda signature: kit.origins.of(signature_hash(signature))


def _lower_thinking(fields: dict[str, Raw], max_tokens: int) -> None:
    """`budget_tokens` must stay under `max_tokens`, or the provider refuses."""
    try:
        thinking = msgspec.json.decode(fields["thinking"])
    except (KeyError, msgspec.MsgspecError):
        return
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and budget >= max_tokens:
        fields["thinking"] = raw_of({**thinking, "budget_tokens": max(1024, max_tokens - 1)})


def _translated(kit: Kit, call: Call, attempt: Attempt, dialect: Dialect, path: str) -> Outgoing:
    model = attempt.candidate.model
    tree = call.body.tree(call.fields)
    if attempt.max_tokens:
        tree["max_tokens"] = attempt.max_tokens
    if call.features.betas:
        tree["anthropic_beta"] = list(call.features.betas)
    try:
        made = dialect.to_upstream(
            tree, model, kit.catalogue.facts(model), lambda s: kit.origins.of(signature_hash(s))
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidRequest(f"the request cannot be put into {model}'s form: {error}") from None
    changes = [f"{name} dropped ({count})" for name, count in sorted(made.dropped.items())]
    body = call.body.restored(msgspec.json.encode(made.body))
    return Outgoing(path, body, None, [*made.changes, *changes], made.names)
