"""What a settings file was before we touched it, so that it can be put back byte for byte."""

import base64
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from msgspec import Struct


class Record(Struct, frozen=True, kw_only=True):
    """`before` is None for a file that did not exist; `folders` are those we made for it,
    innermost first; `written` is the digest of what we wrote, `wish` what was asked for."""

    client: str
    file: Path
    before: bytes | None
    mode: int
    folders: tuple[str, ...]
    written: str
    wish: dict[str, Any]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def folder() -> Path:
    """Where records are kept: readable by their owner only, since files hold keys."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "modelmuxer" / "connections"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "modelmuxer" / "connections"


def find(file: Path) -> Record | None:
    try:
        kept = json.loads(_place(file).read_text())
    except (OSError, ValueError):
        return None
    before = kept["before"]
    return Record(
        client=kept["client"],
        file=Path(kept["file"]),
        before=None if before is None else base64.b64decode(before),
        mode=kept["mode"],
        folders=tuple(kept["folders"]),
        written=kept["written"],
        wish=kept["wish"],
    )


def keep(record: Record) -> None:
    place = _place(record.file)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = None if record.before is None else base64.b64encode(record.before).decode()
    kept = {
        "client": record.client,
        "file": str(record.file),
        "before": before,
        "mode": record.mode,
        "folders": list(record.folders),
        "written": record.written,
        "wish": record.wish,
    }
    write(place, json.dumps(kept).encode(), 0o600)


def forget(record: Record) -> None:
    _place(record.file).unlink(missing_ok=True)
    for place in (folder(), folder().parent):
        _remove_if_empty(place)


def write(file: Path, content: bytes, mode: int) -> None:
    """All or nothing: a crash leaves the old file. A symbolic link stays one."""
    target = file.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def make_folders(file: Path) -> tuple[str, ...]:
    """Make what is missing above a file; returns it, innermost first."""
    missing = []
    above = file.parent
    while not above.exists():
        missing.append(str(above))
        above = above.parent
    file.parent.mkdir(parents=True, exist_ok=True)
    return tuple(missing)


def put_back(record: Record) -> None:
    """The file, its mode and its folders as they were."""
    if record.before is None:
        record.file.unlink(missing_ok=True)
        for place in record.folders:
            _remove_if_empty(Path(place))
    else:
        write(record.file, record.before, record.mode)


def _remove_if_empty(place: Path) -> None:
    try:
        place.rmdir()
    except OSError:
        return


def _place(file: Path) -> Path:
    name = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]
    return folder() / f"{name}.json"
