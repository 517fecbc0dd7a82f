"""Under which names answers are kept: what must be the same for an answer to be the same."""

import hashlib

import msgspec

from services.gateway.call import Call

# What does not change an answer, or changes with every request.
IGNORED = frozenset({"stream", "metadata", "service_tier"})
BILLING = "x-anthropic-billing-header"


def name_of(call: Call) -> str:
    """The answer's name: whose it is and the whole masked request."""
    return f"answer:{_digest(call, IGNORED)}"


def frame_of(call: Call) -> str:
    """The name of everything but what was said."""
    return _digest(call, IGNORED | {"messages"})


def _digest(call: Call, without: frozenset[str]) -> str:
    """Tenant, policy and the fields of the masked body, in one order."""
    digest = hashlib.blake2b(digest_size=20)
    allowed = ",".join(sorted(call.key.models))
    digest.update(f"{call.principal.org}\0{call.routing}\0{call.door}\0{allowed}\0".encode())
    for name in sorted(call.fields):
        if name not in without:
            digest.update(name.encode() + b"\0" + _normalised(name, call.fields[name]) + b"\0")
    return digest.hexdigest()


def _normalised(name: str, raw: msgspec.Raw) -> bytes:
    """Without white space; the billing line of Claude Code changes with every prompt."""
    value = msgspec.json.decode(raw)
    if name == "system" and isinstance(value, list):
        value = [b for b in value if not str(b.get("text", "")).startswith(BILLING)]
    return msgspec.json.encode(value, order="sorted")
