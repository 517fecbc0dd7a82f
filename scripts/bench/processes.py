"""CPU and memory of process trees, read from /proc (Linux)."""

import os
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(roots: Iterable[int]) -> set[int]:
    """The processes and all that descend from them."""
    parents = {pid: _stat(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
    children: dict[int, list[int]] = {}
    for pid, stat in parents.items():
        if stat:
            children.setdefault(int(stat[1]), []).append(pid)
    found, todo = set(), list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found and parents.get(pid):
            found.add(pid)
            todo += children.get(pid, [])
    return found


def cpu_by_process(roots: Iterable[int]) -> dict[int, float]:
    """Seconds of user and system time of each process of the trees."""
    stats = {pid: _stat(pid) for pid in tree(roots)}
    return {pid: (int(s[11]) + int(s[12])) / TICKS for pid, s in stats.items() if s}


def memory(roots: Iterable[int]) -> int:
    """Bytes resident, shared pages counted in proportion."""
    return sum(_resident(pid) for pid in tree(roots))


def name(pid: int) -> str:
    """What a process is, in a word or two."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    texts = [word.decode(errors="replace") for word in words if word]
    if "services" in texts:
        return " ".join(texts[texts.index("services") + 1 :][:1]) or "services"
    return Path(texts[0]).name if texts else "gone"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (state, parent, …)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _resident(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
