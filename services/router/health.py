"""How each deployment is doing, from the attempts that gateways tell of.

Every replica hears every attempt, so all of them open and close the same circuits. A circuit
opens after failures in a row or a bad share of a window, lets one probe through after a pause
(half-open), and closes at the first answer. A 429 closes the door until its retry-after.
"""

from collections import OrderedDict, deque

from libs.common.contracts.usage import Usage

WINDOW_SECONDS = 60.0
WINDOW_SIZE = 200
IN_A_ROW = 3
BAD_SHARE, ENOUGH = 0.5, 6
PAUSE, LONGEST_PAUSE = 5.0, 60.0
PROBE_SECONDS = 10.0
RATE_PAUSE, LONGEST_RATE_PAUSE = 5.0, 300.0
REMEMBERED = 2_000

# 200 is a stream that broke off.
TRANSIENT = {0, 200, 408, 429, 500, 502, 503, 504, 520, 522, 524, 529}
REJECTED_KEY = {401, 403}


class Circuit:
    """One deployment's model. Not thread-safe; times are passed in."""

    def __init__(self) -> None:
        self._attempts: deque[tuple[float, bool]] = deque(maxlen=WINDOW_SIZE)
        self._first_tokens: deque[float] = deque(maxlen=WINDOW_SIZE)
        self._in_a_row = 0
        self._opened = 0
        self._shut_until = 0.0
        self._probing_until = 0.0
        self._why = ""

    def why_shut(self, now: float) -> str:
        """Why nothing should be sent now; empty while the circuit is closed or may be probed."""
        if now < self._shut_until:
            return f"{self._why}, {self._shut_until - now:.0f} s to go"
        if self._opened and now < self._probing_until:
            return f"{self._why}, a probe is under way"
        return ""

    def chosen(self, now: float) -> None:
        """It was put first in a plan: if half-open, that is the probe."""
        if self._opened and now >= self._shut_until:
            self._probing_until = now + PROBE_SECONDS

    def answered(self, now: float, first_token: float) -> None:
        self._attempts.append((now, True))
        if first_token > 0:
            self._first_tokens.append(first_token)
        self._in_a_row = self._opened = 0
        self._shut_until = self._probing_until = 0.0

    def failed(self, now: float, status: int, retry_after: float) -> None:
        self._attempts.append((now, False))
        self._in_a_row += 1
        if status == 429:
            pause = min(retry_after or RATE_PAUSE, LONGEST_RATE_PAUSE)
            self._shut(now, pause, "rate limited")
        elif status in REJECTED_KEY:
            self._shut(now, LONGEST_PAUSE, "the provider rejected the key")
        elif self._opened or self._in_a_row >= IN_A_ROW or self._share(now) >= BAD_SHARE:
            self._opened += 1
            pause = max(retry_after, min(PAUSE * 2 ** (self._opened - 1), LONGEST_PAUSE))
            self._shut(now, pause, f"circuit open after status {status}")

    def error_rate(self, now: float) -> float:
        recent = [good for at, good in self._attempts if now - at <= WINDOW_SECONDS]
        return 1 - sum(recent) / len(recent) if recent else 0.0

    def first_token_p95(self) -> float:
        """Seconds; 0.0 while unknown."""
        ordered = sorted(self._first_tokens)
        return ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0

    def _shut(self, now: float, pause: float, why: str) -> None:
        self._opened = max(1, self._opened)
        self._shut_until = max(self._shut_until, now + pause)
        self._probing_until, self._why = 0.0, why

    def _share(self, now: float) -> float:
        recent = [good for at, good in self._attempts if now - at <= WINDOW_SECONDS]
        return 1 - sum(recent) / len(recent) if len(recent) >= ENOUGH else 0.0


class Health:
    """The circuits of all deployments, by model; with no model, of the deployment's key."""

    def __init__(self) -> None:
        self._circuits: OrderedDict[tuple[str, str], Circuit] = OrderedDict()

    def circuit(self, deployment: str, model: str) -> Circuit:
        key = (deployment, model)
        if key not in self._circuits:
            self._circuits[key] = Circuit()
            if len(self._circuits) > REMEMBERED:
                self._circuits.popitem(last=False)
        return self._circuits[key]

    def why_shut(self, deployment: str, model: str, now: float) -> str:
        """Of the model there, or of the whole deployment (its key)."""
        for key in ((deployment, model), (deployment, "")):
            circuit = self._circuits.get(key)
            if circuit and (why := circuit.why_shut(now)):
                return why
        return ""

    def shut(self, now: float) -> int:
        """How many circuits are open."""
        return sum(bool(circuit.why_shut(now)) for circuit in self._circuits.values())

    def hear(self, usage: Usage, now: float) -> None:
        """Take one attempt in. What says nothing of the provider's health is left out."""
        if usage.door == "count_tokens" or not usage.deployment:
            return
        if usage.outcome == "ok":
            self.circuit(usage.deployment, usage.model).answered(now, usage.first_token)
            self._circuits.pop((usage.deployment, ""), None)
        elif usage.outcome == "error" and usage.status in REJECTED_KEY:
            self.circuit(usage.deployment, "").failed(now, usage.status, usage.retry_after)
        elif usage.outcome == "error" and usage.status in TRANSIENT:
            circuit = self.circuit(usage.deployment, usage.model)
            circuit.failed(now, usage.status, usage.retry_after)
