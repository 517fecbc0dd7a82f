"""Recorded outcomes to learn from: sets of prompts, with what each model made of each.

JSON lines, one file per set, `{"prompt", …, "models": {name: {"q", "cost"}}}`, and a `meta.json`
that may name a set's cheap and premium model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.settings.load import ConfigError
from services.router.scorer import Prompt


class Row(Struct, frozen=True):
    """One prompt with what each model made of it: quality 0..1 and cost in USD."""

    prompt: Prompt
    quality: dict[str, float]
    cost: dict[str, float]


class Set(Struct, frozen=True, kw_only=True):
    name: str
    rows: list[Row]
    cheap: str = ""
    premium: str = ""


def read_sets(folder: Path) -> list[Set]:
    """Every `*.jsonl` of the folder. Raises ConfigError."""
    meta = _meta(folder / "meta.json")
    sets = [_read(path, meta.get(path.stem, {})) for path in sorted(folder.glob("*.jsonl"))]
    if not sets:
        raise ConfigError(f"{folder}: no *.jsonl files; see docs/routing.md#training")
    return sets


def _meta(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return found


def _read(path: Path, meta: Mapping[str, Any]) -> Set:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            raw = msgspec.json.decode(line)
            models = raw["models"]
            rows.append(
                Row(
                    prompt=msgspec.convert(raw, Prompt),
                    quality={name: float(each["q"]) for name, each in models.items()},
                    cost={name: float(each.get("cost") or 0) for name, each in models.items()},
                )
            )
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: {type(error).__name__} {error}") from None
    if not rows:
        raise ConfigError(f"{path}: is empty")
    return Set(
        name=path.stem,
        rows=rows,
        cheap=str(meta.get("cheap", "")),
        premium=str(meta.get("premium", "")),
    )
