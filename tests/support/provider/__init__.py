"""A stand-in for the model providers: an HTTP server with a bill of its own.

It shares no code with the services. A test scripts what it shall do, and reads what it saw and
what it charged:

    async with running() as provider:
        provider.script(fail(529, times=2), say("Hello"))
        ...
        assert provider.bill.total == booked

`python -m tests.support.provider --port 9100` runs it alone; `GET /__stand_in/bill` and
`/__stand_in/calls` tell what happened.
"""

from tests.support.provider.bill import Bill, Line, Used
from tests.support.provider.calls import Call
from tests.support.provider.scene import (
    Redacted,
    Scene,
    Search,
    Text,
    Think,
    Use,
    broken,
    fail,
    hang,
    redacted,
    say,
    search,
    think,
    use,
    uses,
)
from tests.support.provider.server import running
from tests.support.provider.state import KEY, Provider

__all__ = [
    "KEY",
    "Bill",
    "Call",
    "Line",
    "Provider",
    "Redacted",
    "Scene",
    "Search",
    "Text",
    "Think",
    "Use",
    "Used",
    "broken",
    "fail",
    "hang",
    "redacted",
    "running",
    "say",
    "search",
    "think",
    "use",
    "uses",
]
