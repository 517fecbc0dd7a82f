"""The line under Claude Code: served model, why, what the session cost and saved, budget left.

Claude Code runs this every few seconds and waits for it, so it answers within 50 ms whatever
happens: a child asks the gateway and keeps the answer in a file; we wait for it a moment and
else show what is known from the time before. It is also a script of its own, since Python
starts twice as fast without site-packages, and imports only what each half needs.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from socket import socket
    from typing import Any

WAIT_SECONDS = 0.012
ASK_SECONDS = 2.0
KEEP_SECONDS = 6 * 3600
USAGE = """usage: modelmuxer statusline < JSON

For Claude Code's `statusLine` setting; `modelmuxer connect claude --status-line` sets it up.
Reads the JSON that Claude Code writes, asks the gateway (ANTHROPIC_BASE_URL with
ANTHROPIC_AUTH_TOKEN or ANTHROPIC_API_KEY) and prints one line.

Example: echo '{"session_id": "s1", "model": {"display_name": "Opus"}}' | modelmuxer statusline
"""
GREY, GREEN, RED, END = "\x1b[90m", "\x1b[32m", "\x1b[31m", "\x1b[0m"

Told = dict[str, str]


def main(arguments: Sequence[str]) -> int:
    if arguments:
        wrong = set(arguments) - {"--help", "-h"}
        (sys.stderr if wrong else sys.stdout).write(USAGE)
        return 2 if wrong else 0
    session = read_session("" if sys.stdin.isatty() else sys.stdin.read())
    known = fresh_or_kept(session["id"]) if session["id"] else {}
    sys.stdout.write(line(session, known, "NO_COLOR" not in os.environ) + "\n")
    return 0


def read_session(text: str) -> Told:
    """What Claude Code says, of which any part may be missing."""
    try:
        said = json.loads(text or "{}")
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    model = said.get("model")
    model = model if isinstance(model, dict) else {"id": model}
    name = model.get("display_name") or model.get("id") or "?"
    return {"id": _safe(str(said.get("session_id") or "")), "model": str(name)[:60]}


def line(session: Told, known: Told, coloured: bool) -> str:
    """`Opus → claude-haiku-5-5 · simple query · $0.02 · saved $0.41 · $4.20 left of daily`"""
    grey, green, red, end = (GREY, GREEN, RED, END) if coloured else ("", "", "", "")
    if not known.get("model"):
        return f"{session['model']} {grey}· ModelMuxer {known.get('error', '')}{end}".rstrip()
    parts = [f"{session['model']} → {green}{known['model']}{end}"]
    if known.get("reason"):
        parts.append(f"{grey}{known['reason']}{end}")
    if known.get("cost"):
        parts.append(money(known["cost"]))
    if money(known.get("saved", "0")) != "$0":
        parts.append(f"{green}saved {money(known['saved'])}{end}")
    if known.get("left"):
        tight = float(known.get("percent", "0")) >= 80
        shown = f"{money(known['left'])} left of {known['window']}"
        parts.append(f"{red}{shown}{end}" if tight else shown)
    if known.get("error"):
        parts.append(f"{red}{known['error']}{end}")
    return " · ".join(parts)


def money(usd: str) -> str:
    """`$0.0021`, `$1.20`, `-$0.30`: two digits that matter."""
    amount = float(usd)
    if not amount:
        return "$0"
    size = abs(amount)
    text = f"{size:.2f}" if size >= 0.995 else f"{size:.2g}"
    if "e" in text:
        text = f"{size:.6f}".rstrip("0").rstrip(".")
    return f"{'-' if amount < 0 else ''}${text}"


def fresh_or_kept(session: str) -> Told:
    file = os.path.join(cache_folder(), f"{session}.json")
    if hasattr(os, "fork"):
        fresh = _ask_in_child(session, file)
    else:
        fresh = ask(session, WAIT_SECONDS * 10)
        _keep(file, fresh)
    return fresh if "model" in fresh else _kept(file) | fresh


def _ask_in_child(session: str, file: str) -> Told:
    """The child outlives us if the gateway is slow, so the next line shows what it learns."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        _child(session, file, writing)
    os.close(writing)
    import select

    ready, _, _ = select.select([reading], [], [], WAIT_SECONDS)
    text = os.read(reading, 65536) if ready else b""
    os.close(reading)
    return json.loads(text) if text else {}


def _child(session: str, file: str, writing: int) -> None:
    """Never returns. Lets go of our streams at once, since Claude Code waits for their end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.setsid()
    try:
        told = ask(session, ASK_SECONDS)
        _keep(file, told)
        os.write(writing, json.dumps(told).encode())
    finally:
        os._exit(0)


def ask(session: str, seconds: float) -> Told:
    """What the gateway knows of the session. Whatever goes wrong becomes an `error` to show."""
    url, key = target(os.environ)
    until = time.monotonic() + seconds
    paths = (
        f"/v1/analytics/requests?run={session}&days=2&limit=1",
        "/v1/analytics/costs?group_by=run&days=2",
        "/v1/analytics/budgets",
    )
    try:
        open_ones = [send(url, key, path, until) for path in paths]
        last, runs, budgets = (read(connection, until) for connection in open_ones)
    except OSError:
        return {"error": f"has no answer from {url}"}
    except ValueError as error:
        return {"error": str(error)[:80]}
    try:
        return told(last, runs, budgets, session)
    except (KeyError, TypeError, ValueError):
        return {"error": "is of another version"}


def told(last: dict[str, Any], runs: dict[str, Any], budgets: dict[str, Any], session: str) -> Told:
    """The three answers as the few words of the line."""
    found: Told = {}
    for row in last.get("rows", [])[:1]:
        reason = str(row.get("reason", "")).partition(" (")[0].partition(",")[0]
        found |= {"model": str(row.get("model") or "refused"), "reason": reason[:60]}
    for group in runs.get("groups", []):
        if group.get("run") == session:
            found |= {"cost": str(group["cost"]), "saved": str(group["saved"])}
    for budget in sorted(budgets.get("budgets", []), key=lambda b: float(b["remaining"]))[:1]:
        found["left"] = str(budget["remaining"])
        found["percent"] = str(budget["percent"])
        found["window"] = f"{budget['scope']} {budget['budget_type']}"
    return found


def send(url: str, key: str, path: str, until: float) -> socket:
    """Ask for a path on a connection of its own, so that the answers come side by side."""
    from socket import create_connection

    scheme, _, rest = url.partition("://")
    host, _, base = rest.partition("/")
    name, port = _split(host, 443 if scheme == "https" else 80)
    plain = create_connection((name, port), timeout=max(0.001, until - time.monotonic()))
    connection = _encrypted(plain, name) if scheme == "https" else plain
    base = f"/{base.rstrip('/')}" if base else ""
    connection.sendall(
        f"GET {base}{path} HTTP/1.0\r\nhost: {host}\r\nx-api-key: {key}\r\n\r\n".encode()
    )
    return connection


def read(connection: socket, until: float) -> dict[str, Any]:
    """The answer's JSON object. Raises OSError, or ValueError with words for the user."""
    parts = []
    with connection:
        connection.settimeout(max(0.001, until - time.monotonic()))
        while part := connection.recv(65536):
            parts.append(part)
            connection.settimeout(max(0.001, until - time.monotonic()))
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    status = (head.split(b" ", 2)[1:2] or [b"nothing"])[0].decode("latin-1")
    if status == "401":
        raise ValueError("does not know this key")
    if status != "200":
        raise ValueError(f"answers {status[:20]}")
    answer = json.loads(body)
    return answer if isinstance(answer, dict) else {}


def target(environ: Mapping[str, str]) -> tuple[str, str]:
    """Address and key: of the environment, which Claude Code fills from its settings."""
    url = environ.get("ANTHROPIC_BASE_URL") or environ.get("MODELMUXER_URL")
    names = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "MODELMUXER_KEY")
    key = next((environ[name] for name in names if environ.get(name)), "sk-test-claude-dev")
    url = (url or "http://127.0.0.1:8000").rstrip("/").removesuffix("/v1")
    # Looking "localhost" up can take longer than the whole line.
    return url.replace("://localhost", "://127.0.0.1"), key


def cache_folder() -> str:
    own = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(own, "modelmuxer", "statusline")


def _kept(file: str) -> Told:
    try:
        if time.time() - os.stat(file).st_mtime > KEEP_SECONDS:
            return {}
        with open(file) as stream:
            kept = json.load(stream)
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(file: str, told: Told) -> None:
    """Keep the last good answer; an error does not replace it."""
    if "model" not in told:
        return
    try:
        os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
        part = f"{file}.{os.getpid()}"
        with open(part, "w") as stream:
            json.dump(told, stream)
        os.replace(part, file)
    except OSError:
        return


def _split(host: str, port: int) -> tuple[str, int]:
    name, colon, number = host.rpartition(":")
    if colon and number.isdigit():
        return name.strip("[]"), int(number)
    return host.strip("[]"), port


def _encrypted(plain: socket, name: str) -> socket:
    import ssl

    return ssl.create_default_context().wrap_socket(plain, server_hostname=name)


def _safe(id: str) -> str:
    """A session id becomes part of a path and of a file name."""
    return "".join(c for c in id if c.isalnum() or c in "-_")[:80]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
