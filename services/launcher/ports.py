"""Ports: is one free, and if not, who holds it."""

import contextlib
import errno
import os
import shutil
import socket
import subprocess
from itertools import chain
from pathlib import Path


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether we could listen there now."""
    return _try(port, host) is None


def fault(port: int, host: str) -> str:
    """Why nobody can listen there now, and what to do; empty if one can."""
    error = _try(port, host)
    if error is None:
        return ""
    another = f"take another: modelmuxer up --port {first_free(port + 1)}"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is held by {holder(port)}; stop it, or {another}"
    if error.errno == errno.EACCES:
        return f"port {port} is for the system's own services; {another}"
    return f"gateway.host = {host!r} is no address of this machine; take 127.0.0.1"


def _try(port: int, host: str) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def first_free(port: int) -> int:
    """This port or the next one above that nobody holds; from the top on at 1024."""
    return next(p for p in chain(range(port, 65536), range(1024, port)) if is_free(p))


def own_range(number: int) -> int:
    """A free port in a range that no other launcher of this machine looks into; below those
    that the system hands out for outgoing connections."""
    return first_free(20_000 + os.getpid() % 1000 * 10 + number)


def holder(port: int) -> str:
    """ "process 123 (python -m http.server)", or "another process" if we may not know."""
    pid = _holder_in_proc(port) if Path("/proc/net/tcp").exists() else _holder_by_lsof(port)
    if not pid:
        return "another process"
    return f"process {pid} ({_command(pid)})"


def _holder_in_proc(port: int) -> str:
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in sockets:
                return link.parts[2]
    return ""


def _listening(port: int) -> list[str]:
    """Inodes of the sockets that listen on the port (state 0A), from proc(5)."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    found.append(words[9])
    return found


def _holder_by_lsof(port: int) -> str:
    if not shutil.which("lsof"):
        return ""
    argv = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False).stdout
    return out.split()[0] if out.split() else ""


def _command(pid: str) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return _line(b" ".join(words).decode(errors="replace"))
    argv = ["ps", "-o", "command=", "-p", pid]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False).stdout
    return _line(out)


def _line(command: str) -> str:
    return " ".join(command.split())[:120]
