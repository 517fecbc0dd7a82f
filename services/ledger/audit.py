"""The audit trail: who changed what, journaled; never a secret, never a prompt."""

import time
import uuid
from collections.abc import Callable

from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import AUDITED, Audit
from libs.common.outbox import Outbox


class Auditor:
    def __init__(self, outbox: Outbox, clock: Callable[[], float] = time.time) -> None:
        self._outbox, self._now = outbox, clock

    def note(self, by: Principal, action: str, target: str, **detail: str) -> None:
        audit = Audit(
            id=uuid.uuid4().hex,
            at=self._now(),
            org=by.org,
            actor=by.key_id,
            action=action,
            target=target,
            detail=detail,
        )
        self._outbox.put(AUDITED, audit, audit.id)
