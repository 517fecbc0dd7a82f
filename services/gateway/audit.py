"""What an auditor asks about: administrators' acts, keys in use, and every refusal by policy.

Told to the journal; analytics chains and keeps it. Never a secret, never prompt text.
"""

import time
import uuid

from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import AUDITED, Audit
from libs.common.errors import MuxError
from services.gateway.call import Call
from services.gateway.kit import Kit

# Refusals that somebody will want to see explained later.
REFUSALS = frozenset({"pii_blocked", "budget_exceeded", "forbidden", "paused"})
USED_EVERY = 3600.0
MAX_KEYS = 50_000


def audit(kit: Kit, who: Principal, action: str, target: str = "", **detail: object) -> None:
    event = Audit(
        id=f"aud_{uuid.uuid4().hex}",
        at=time.time(),
        org=who.org,
        actor=who.key_id,
        action=action,
        target=target[:200],
        detail={name: str(value)[:500] for name, value in detail.items()},
    )
    kit.outbox.put(AUDITED, event, event.id)


def audit_refusal(kit: Kit, call: Call, error: BaseException) -> None:
    """A request that a policy refused: what kind, where, for whom."""
    if isinstance(error, MuxError) and error.code in REFUSALS:
        audit(
            kit,
            call.principal,
            f"refused.{error.code}",
            call.id,
            model=call.features.model,
            why=error.detail,
        )


def audit_use(kit: Kit, call: Call) -> None:
    """That a key is in use, at most once an hour."""
    now = time.monotonic()
    last = kit.keys_used.get(call.key.id, -USED_EVERY)
    if now - last < USED_EVERY:
        return
    if len(kit.keys_used) >= MAX_KEYS:
        kit.keys_used.clear()
    kit.keys_used[call.key.id] = now
    audit(kit, call.principal, "key.used", call.key.id, door=call.door, name=call.key.name)
