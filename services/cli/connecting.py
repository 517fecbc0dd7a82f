"""Connect a client and disconnect it: read, change, remember, write; or only say what would be.

What a file was is kept until it is put back, so connecting twice still restores the original.
If somebody else changed the file meanwhile, only our own values are taken out again.
"""

import difflib
import json
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from services.cli import record
from services.cli.clients import CLIENTS, USER_ONLY, Change, Scope, Wish
from services.cli.edits import CannotEdit

PRIVATE = 0o600  # while connected the file holds a key
NOTHING = Wish(url="", key="")


class Plan(Struct, frozen=True, kw_only=True):
    """What will be done to one file. `original` is what disconnecting will put back."""

    client: str
    file: Path
    wish: Wish = NOTHING
    now: bytes | None
    original: bytes | None
    after: bytes | None

    def diff(self) -> str:
        old, new = (_lines(content) for content in (self.now, self.after))
        names = (str(self.file) if self.now is not None else "/dev/null", str(self.file))
        return "".join(difflib.unified_diff(old, new, *names)).replace("\r\n", "\n")


def plan_connect(client: str, wish: Wish, scope: Scope) -> Plan:
    """Raises CannotEdit."""
    change = _change(client, wish, scope)
    now = _read(change.file)
    original = _original(record.find(change.file), scope, now)
    try:
        after = change.apply(_text(original)).encode()
    except CannotEdit as error:
        raise CannotEdit(f"{change.file}: {error}") from None
    return Plan(client=client, file=change.file, wish=wish, now=now, original=original, after=after)


def connect(plan: Plan) -> None:
    known = record.find(plan.file)
    made = record.make_folders(plan.file)
    folders = known.folders if known else made
    mode = plan.file.stat().st_mode & 0o7777 if plan.now is not None else PRIVATE
    assert plan.after is not None
    record.keep(
        record.Record(
            client=plan.client,
            file=plan.file.absolute(),
            before=plan.original,
            mode=known.mode if known else mode,
            folders=folders,
            written=record.digest(plan.after),
            wish=msgspec.to_builtins(plan.wish),
        )
    )
    record.write(plan.file, plan.after, PRIVATE)


def plan_disconnect(client: str, scope: Scope) -> Plan | None:
    """None if we have nothing there. Raises CannotEdit."""
    file = _change(client, NOTHING, scope).file
    known = record.find(file)
    if known is None:
        return None
    now = _read(file)
    after = _original(known, scope, now)
    return Plan(client=client, file=file, now=now, original=after, after=after)


def disconnect(plan: Plan) -> bool:
    """Whether everything is exactly as it was; else somebody's changes since then stay."""
    known = record.find(plan.file)
    assert known
    if plan.after == known.before:
        record.put_back(known)
    elif plan.after is not None:
        record.write(plan.file, plan.after, known.mode)
    record.forget(known)
    return plan.after == known.before


def _original(known: record.Record | None, scope: Scope, now: bytes | None) -> bytes | None:
    """The file without us: as it was, unless somebody else changed it since."""
    if known is None:
        return now
    if now is None or record.digest(now) == known.written:
        return known.before
    change = _change(known.client, msgspec.convert(known.wish, Wish), scope)
    try:
        without = change.undo(_text(now), _text(known.before))
    except CannotEdit as error:
        raise CannotEdit(f"{change.file} was changed since: {error}") from None
    return known.before if _same(without, _text(known.before)) else without.encode()


def _same(one: str, other: str) -> bool:
    """The same settings, however they are written."""
    try:
        return bool(json.loads(one or "{}") == json.loads(other or "{}"))
    except ValueError:
        return one == other


def _change(client: str, wish: Wish, scope: Scope) -> Change:
    if scope == "project" and client in USER_ONLY:
        raise CannotEdit(f"{client} keeps its settings per user only; leave --scope out")
    return CLIENTS[client](wish, scope)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotEdit(f"{file}: {error.strerror}") from None


def _text(content: bytes | None) -> str:
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        raise CannotEdit("it is no UTF-8 text; convert it, or move it away") from None


def _lines(content: bytes | None) -> list[str]:
    text = (content or b"").decode(errors="replace")
    return [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(True)]


def bare_url(url: str) -> str:
    """The address without a trailing slash or `/v1`: clients append the path themselves."""
    return re.sub(r"(/v1)?/*$", "", url.strip().rstrip("/"))
