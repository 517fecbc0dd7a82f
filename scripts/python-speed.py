"""Print how fast this Python is (microseconds of CPU for a fixed piece of work; less is better),
or, on standard error, why no environment can be made with it. The argument is the newest 3.N that
will do. For `make-venv.sh`."""

import sys
import time

if sys.version_info < (3, 11):  # noqa: UP036 (older ones run this too)
    sys.exit("older than 3.11")
if sys.version_info > (3, int(sys.argv[1]), 99):
    sys.exit(f"newer than 3.{sys.argv[1]}")
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit("lacks the venv module")


class Order:
    def __init__(self, number: int) -> None:
        self.number, self.text = number, f"{number}:{number}"


def work() -> int:
    """What services do all day: small objects, dicts, strings, calls."""
    total = 0
    for number in range(12_000):
        order = Order(number)
        total += len({"number": order.number, "parts": order.text.split(":")})
    return total


def microseconds() -> int:
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) // 1000


print(min(microseconds() for _ in range(7)))
