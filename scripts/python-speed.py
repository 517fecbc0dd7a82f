"""Print how fast this Python is (microseconds of CPU for a fixed piece of work; less is better),
or why no environment can be made with it, and fail. The argument is the newest 3.N that will do.
For `make-venv.sh`, which reads standard output only: a Python may warn on the other."""

import sys
import time


def refuse(why: str) -> None:
    print(why)
    sys.exit(1)


if sys.version_info < (3, 11):  # noqa: UP036 (older ones run this too)
    refuse("older than 3.11")
if sys.version_info > (3, int(sys.argv[1]), 99):
    refuse(f"newer than 3.{sys.argv[1]}")
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    refuse("lacks the venv module")


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
