"""Where things lie in Redis. All keys of a tenant share a hash tag, so one script may touch
them on a cluster too.

    ledger:{org}:book                 who may write in the tenant's book (a wiped store has none)
    ledger:{org}:at:<scope>:<id>      one hash per scope: D<window> budgets, r reserved, c open
                                      calls, <window><start> spent, a<window><start> alerted
    ledger:{org}:rate:<scope>:<id>    one hash per scope: requests and tokens by five seconds
    ledger:{org}:call:<id>            one reservation, and afterwards the mark that it is booked
    ledger:{org}:open                 open reservations by the moment they expire
    ledger:{org}:budgets|limits|pauses  definitions by name
    ledger:{keys}:…                   managed keys by hash and by id
"""

import hashlib

from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import Scope, Window

BOOK = "ledger:book"
# A run of Redis, and the number of a message: all the journal has up to there is booked in it.
REACHED = "ledger:reached"
ORGS = "ledger:orgs"
LOCK = "ledger:rebuilding"
# Managed keys lie where a tenant of this name would: they are found before theirs is known.
KEYS_ORG = "keys"
KEYS_BY_HASH, KEYS_BY_ID = "ledger:{keys}:by_hash", "ledger:{keys}:by_id"
# Longer ids of runs are kept as their hash: the client chooses them.
LONGEST_RUN = 128


def tenant(org: str, *parts: str) -> str:
    return ":".join((f"ledger:{{{org}}}", *parts))


def mark(org: str) -> str:
    return tenant(org, "book")


def org_of(key: str) -> str:
    """The tenant in whose book a key lies."""
    return key[len("ledger:{") :].partition("}:")[0]


def run_id(principal: Principal) -> str:
    """A run belongs to its key: the same id under another key is another run."""
    return run_of(principal.key_id, principal.run)


def run_of(key_id: str, run: str) -> str:
    if len(run) > LONGEST_RUN:
        run = hashlib.sha256(run.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{key_id}/{run}"


def scopes(principal: Principal) -> list[tuple[Scope, str]]:
    """Every scope a request is booked on, the widest first."""
    found: list[tuple[Scope, str]] = [("org", principal.org)]
    if principal.team:
        found.append(("team", principal.team))
    if principal.user:
        found.append(("user", principal.user))
    found.append(("key", principal.key_id))
    if principal.run:
        found.append(("run", run_id(principal)))
    return found


def budget_id(org: str, scope: str, scope_id: str, window: Window) -> str:
    return "bud_" + digest(org, scope, scope_id, window)


def digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:16]
