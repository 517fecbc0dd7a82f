#!/usr/bin/env python3
"""A small Claude command line for ModelMuxer; needs nothing but Python 3.9.

    python scripts/claude-cli.py                     interactive
    python scripts/claude-cli.py -m "Explain decorators"
    cat error.log | python scripts/claude-cli.py -m "What went wrong?" --json

Address and key come from ANTHROPIC_BASE_URL (or ANTHROPIC_API_URL) and ANTHROPIC_AUTH_TOKEN (or
ANTHROPIC_API_KEY). After each answer it says which model served it, why, and what was booked.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

DEFAULT_URL = "http://localhost:8000"
DEVELOPMENT_KEY = "sk-test-claude-dev"
AUTO = "modelmuxer-auto"
TIMEOUT = 660.0
BOOKED_WITHIN = 1.5  # seconds that we wait for the exact cost
HELP = """\
/model [NAME]  show or change the model ("modelmuxer-auto" leaves the choice to ModelMuxer)
/cost          what this session cost and saved, and what is left of your budgets
/clear         start a new conversation
/help          this list
/quit          leave (or Ctrl-D)
A line that ends in \\ goes on in the next one; so does everything between two lines of \"\"\".
Ctrl-C stops the answer, not the program."""


class Refused(Exception):
    """The gateway said no, or nothing answered: a sentence for the user."""


@dataclass
class Answer:
    """What came back. `text` grows while the answer streams."""

    headers: dict[str, str]
    text: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    stop_reason: str = ""
    stopped: bool = False
    cost: str | None = None
    saved: str | None = None

    @property
    def request_id(self) -> str:
        return self.headers.get("x-modelmuxer-request-id", "")


class Gateway:
    """ModelMuxer over HTTP. One run id for the whole session, so that its cost can be asked."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.key, self.run = key, f"cli-{uuid.uuid4().hex[:12]}"

    def stream(self, body: dict[str, Any]) -> tuple[Answer, Iterator[str], HTTPConnection]:
        """The answer, the pieces of its text, and the connection to close."""
        connection, response = self._ask("POST", "/v1/messages", body)
        if response.status != 200:
            with_body = response.read()
            connection.close()
            raise Refused(said(response.status, with_body))
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(headers=headers)
        return answer, pieces(response, answer), connection

    def get(self, path: str) -> dict[str, Any]:
        connection, response = self._ask("GET", path, None)
        try:
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise Refused(said(response.status, content))
        try:
            found = json.loads(content)
        except ValueError:
            raise Refused(f"{self.url} does not answer as ModelMuxer does") from None
        return found if isinstance(found, dict) else {}

    def _ask(self, method: str, path: str, body: Any) -> tuple[HTTPConnection, HTTPResponse]:
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(f"{self.url!r} is no address such as {DEFAULT_URL}")
        connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
        headers = {
            "x-api-key": self.key,
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
            "user-agent": "modelmuxer-claude-cli",
            "x-modelmuxer-run-id": self.run,
        }
        content = json.dumps(body).encode() if body is not None else None
        try:
            connection.request(method, parts.path + path, content, headers)
            return connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise Refused(
                f"no answer from {self.url} ({error}); is `modelmuxer up` running?"
            ) from None


def said(status: int, body: bytes) -> str:
    """The error's own words."""
    try:
        return f"{status}: {json.loads(body)['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{status}: {body[:200].decode(errors='replace')}"


def pieces(response: HTTPResponse, answer: Answer) -> Iterator[str]:
    """Read the event stream; yields text, and fills in the rest of the answer."""
    try:
        for line in response:
            if line.startswith(b"data:") and (text := take(json.loads(line[5:]), answer)):
                yield text
    except (OSError, HTTPException) as error:
        raise Refused(f"the answer broke off ({error})") from None
    except (ValueError, KeyError, TypeError):
        raise Refused("the answer is none of ModelMuxer's; is the address right?") from None
    if not answer.stop_reason:
        raise Refused("the answer broke off")


def take(event: dict[str, Any], answer: Answer) -> str:
    """Enter one event into the answer; returns the text it brought."""
    kind, delta = event.get("type"), event.get("delta") or {}
    if kind == "error":
        raise Refused(str((event.get("error") or {}).get("message")))
    if kind == "message_start":
        answer.usage.update(event["message"].get("usage") or {})
    if kind == "message_delta":
        answer.usage.update(event.get("usage") or {})
        answer.stop_reason = delta.get("stop_reason") or ""
    text = delta.get("text", "") if kind == "content_block_delta" else ""
    answer.text += text
    return str(text)


class Conversation:
    """The turns so far, and the options they are asked with."""

    def __init__(self, gateway: Gateway, model: str, system: str, max_tokens: int) -> None:
        self.gateway, self.model, self.system = gateway, model, system
        self.max_tokens = max_tokens
        self.turns: list[dict[str, str]] = []

    def ask(self, text: str, show: bool) -> Answer:
        """Send a turn and print the answer as it comes. Ctrl-C ends the answer only: what came
        until then stays in the conversation. A refused turn leaves no trace."""
        turns = [*self.turns, {"role": "user", "content": text}]
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "messages": turns,
            "stream": True,
        }
        if self.system:
            body["system"] = self.system
        answer, stream, connection = self.gateway.stream(body)
        try:
            for piece in stream:
                if show:
                    sys.stdout.write(piece)
                    sys.stdout.flush()
        except KeyboardInterrupt:
            answer.stopped = True
        finally:
            connection.close()
            if show and answer.text:
                sys.stdout.write("\n")
                sys.stdout.flush()
        if answer.text:
            self.turns = [*turns, {"role": "assistant", "content": answer.text}]
        return answer


def book(gateway: Gateway, answer: Answer) -> None:
    """Wait a moment for the exact cost; without it the estimate is shown."""
    path = f"/v1/analytics/requests?days=1&limit=10&request_id={quote(answer.request_id)}"
    until = time.monotonic() + BOOKED_WITHIN
    while answer.request_id and time.monotonic() < until:
        try:
            rows = gateway.get(path).get("rows", [])
        except Refused:
            return
        if rows:
            answer.cost = total(row["cost"] for row in rows)
            answer.saved = total(row["saved"] for row in rows)
            return
        time.sleep(0.1)


def total(amounts: Iterator[str]) -> str:
    return f"{sum(float(amount) for amount in amounts):.6f}"


def money(usd: str) -> str:
    text = f"{float(usd):.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest.ljust(2, '0')}"


def footer(answer: Answer) -> str:
    """`→ claude-haiku-5-5 · simple query · $0.0001 · saved $0.002`"""
    headers = answer.headers
    parts = [headers.get("x-modelmuxer-model", "?"), headers.get("x-modelmuxer-reason", "")]
    if answer.cost is not None:
        parts.append(money(answer.cost))
        if float(answer.saved or 0) > 0:
            parts.append(f"saved {money(answer.saved or '0')}")
    elif estimate := headers.get("x-modelmuxer-cost-estimate-usd"):
        parts.append(f"about {money(estimate)}")
    if headers.get("x-modelmuxer-simulated"):
        parts.append("simulated")
    if answer.stopped:
        parts.append("stopped")
    if answer.stop_reason == "max_tokens":
        parts.append("cut at --max-tokens")
    return "→ " + " · ".join(part for part in parts if part)


def as_json(answer: Answer) -> str:
    headers = answer.headers
    return json.dumps(
        {
            "text": answer.text,
            "model": headers.get("x-modelmuxer-model"),
            "provider": headers.get("x-modelmuxer-provider"),
            "reason": headers.get("x-modelmuxer-reason"),
            "cost_usd": answer.cost,
            "saved_usd": answer.saved,
            "cost_estimate_usd": headers.get("x-modelmuxer-cost-estimate-usd"),
            "simulated": headers.get("x-modelmuxer-simulated") == "true",
            "usage": answer.usage,
            "stop_reason": answer.stop_reason,
            "request_id": answer.request_id,
        },
        ensure_ascii=False,
        indent=2,
    )


def grey(text: str) -> str:
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[90m{text}\x1b[0m" if coloured else text


def tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def once(conversation: Conversation, text: str, json_wanted: bool, quiet: bool) -> int:
    """One question, one answer; returns the exit code."""
    answer = conversation.ask(text, show=not json_wanted)
    if json_wanted or not quiet:
        book(conversation.gateway, answer)
    if json_wanted:
        print(as_json(answer))
    elif not quiet:
        tell(grey(footer(answer)))
    return 130 if answer.stopped else 0


def interactive(conversation: Conversation) -> int:
    """Read, ask, print, until Ctrl-D or /quit."""
    keep_history()
    tell(f"{conversation.gateway.url} · {conversation.model} · /help lists the commands")
    while True:
        try:
            text = read_turn().strip()
        except EOFError:
            tell("")
            return 0
        except KeyboardInterrupt:
            tell("\n(/quit or Ctrl-D leaves)")
            continue
        if text in ("/quit", "/exit"):
            return 0
        try:
            turn(conversation, text)
        except Refused as refused:
            tell(f"! {refused}")
        except KeyboardInterrupt:
            tell("\n(stopped)")


def turn(conversation: Conversation, text: str) -> None:
    if not text:
        return
    if text.startswith("/"):
        return tell(command(conversation, *text[1:].partition(" ")[::2]))
    answer = conversation.ask(text, show=True)
    book(conversation.gateway, answer)
    tell(grey(footer(answer)))


def command(conversation: Conversation, name: str, rest: str) -> str:
    """What a /command answers."""
    if name == "model":
        conversation.model = rest.strip() or conversation.model
        return f"model: {conversation.model}"
    if name == "clear":
        conversation.turns = []
        return "a new conversation"
    if name == "cost":
        return costs(conversation.gateway)
    if name == "help":
        return HELP
    return f"no such command: /{name}\n{HELP}"


def costs(gateway: Gateway) -> str:
    groups = gateway.get("/v1/analytics/costs?group_by=run&days=2").get("groups", [])
    mine = next((group for group in groups if group.get("run") == gateway.run), None)
    lines = ["nothing is booked for this session yet"]
    if mine:
        lines = [
            f"this session: {money(mine['cost'])} for {mine['requests']} requests, "
            f"saved {money(mine['saved'])}"
        ]
    for budget in gateway.get("/v1/analytics/budgets").get("budgets", []):
        lines.append(
            f"{budget['scope']} budget, {budget['budget_type']}: {money(budget['spent'])} of "
            f"{money(budget['limit'])} spent, {money(budget['remaining'])} left"
        )
    return "\n".join(lines)


def read_turn() -> str:
    """One turn: a line, a line continued by a backslash, or lines between two of \"\"\"."""
    line = input("> ")
    if line.strip() == '"""':
        lines = []
        while (line := input("… ")).strip() != '"""':
            lines.append(line)
        return "\n".join(lines)
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input("… "))
    return "\n".join(lines)


def keep_history() -> None:
    """Arrow keys and a history over sessions, where Python has readline (not on Windows)."""
    try:
        import atexit
        import readline
    except ImportError:
        return
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    file = Path(state) / "modelmuxer" / "claude-cli-history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        readline.read_history_file(file)
    except OSError:
        return
    readline.set_history_length(1000)
    atexit.register(readline.write_history_file, file)


def first(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("-m", "--message", help="ask this and leave (- or a pipe: standard input)")
    words.add_argument("--model", default=first("ANTHROPIC_MODEL") or AUTO, help="model to ask for")
    words.add_argument("--system", default="", help="system prompt")
    words.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="longest answer")
    words.add_argument(
        "--json", action="store_true", help="print one JSON object (with -m or a pipe)"
    )
    words.add_argument("-q", "--quiet", action="store_true", help="only the answer")
    words.add_argument("--url", default=first("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"))
    words.add_argument("--key", default=first("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"))
    return words


def question(given: argparse.Namespace) -> str:
    """The message of -m and of a pipe; empty for an interactive session."""
    piped = sys.stdin.read() if is_piped() else ""
    message = "" if given.message in (None, "-") else given.message
    return "\n\n".join(part for part in (message, piped.strip()) if part)


def is_piped() -> bool:
    """A pipe or a file; not a terminal, and not what services get for standard input."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def main() -> int:
    words = parser()
    given = words.parse_args()
    gateway = Gateway(given.url or DEFAULT_URL, given.key or DEVELOPMENT_KEY)
    conversation = Conversation(gateway, given.model, given.system, given.max_tokens)
    text = question(given)
    try:
        if text:
            return once(conversation, text, given.json, given.quiet)
        if given.message is not None or not sys.stdin.isatty():
            words.error("nothing to ask: the message is empty")
        if given.json:
            words.error("--json needs -m or a pipe")
        return interactive(conversation)
    except Refused as refused:
        tell(f"claude-cli: {refused}")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
