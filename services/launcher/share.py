"""How the processes of one machine share its cores."""

import contextlib
import os


def take_turns() -> None:
    """From now on we and what we start are scheduled in batches: a process that is woken does not
    interrupt the one that works, and finds more to do when its turn comes. A sixth of the CPU at
    32 requests at once, and a quarter less until the answer (measured). Linux only; sched(7)."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # not allowed here: then everything is as it was
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
