"""Where each client keeps its settings and what we put there. Formats as tried with Claude Code
2.1.197, Cline CLI 3.0.65, opencode 1.18.33 and aider 0.86.2; Continue as documented
(docs.continue.dev/reference)."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from services.cli.edits import (
    Values,
    add_block,
    add_item,
    as_json,
    remove_block,
    set_json,
    unset_json,
)

Scope = Literal["user", "project"]
MODEL = "claude-sonnet-5"


class Wish(Struct, frozen=True, kw_only=True):
    """What the user asked for. `url` has no `/v1`; `status_line` is the command to run."""

    url: str
    key: str
    model: str = ""
    status_line: str = ""
    discover: bool = False


class Change(Struct, frozen=True, kw_only=True):
    """One file to change. Of `values` and `lines` exactly one is given: paths of a JSON file,
    or lines of a YAML file (as an item of the list `item_of`, or at the top level, where none
    of `keys` may stand yet). `defaults` are paths that are set only where nothing stands.
    Undoing takes out what still has our value, and the paths of `owned` whatever they hold."""

    file: Path
    values: Values = {}
    owned: tuple[tuple[str, ...], ...] = ()
    defaults: Values = {}
    lines: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    item_of: str = ""
    head: tuple[str, ...] = ()

    def apply(self, text: str) -> str:
        """Raises CannotEdit."""
        if self.item_of:
            return add_item(text, self.item_of, self.lines, self.head)
        if self.lines:
            return add_block(text, self.lines, self.keys)
        return set_json(set_json(text, self.values), self._missing(text))

    def undo(self, text: str, before: str) -> str:
        if self.lines:
            return remove_block(text)
        return unset_json(text, before, {**self.values, **self.defaults}, self.owned)

    def shown(self) -> str:
        """What to add by hand."""
        return "\n".join(self.lines) if self.lines else as_json(self.values)

    def _missing(self, text: str) -> Values:
        held = msgspec.json.decode(text.removeprefix("\ufeff")) if text.strip() else {}
        return {path: value for path, value in self.defaults.items() if path[0] not in held}


def config_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def claude(wish: Wish, scope: Scope) -> Change:
    """`settings.local.json` of a project is the one that Claude Code keeps out of git.

    ANTHROPIC_AUTH_TOKEN rather than ANTHROPIC_API_KEY: Claude Code asks for approval of a key
    in the latter, and of none in the former."""
    own = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    file = own / "settings.json" if scope == "user" else Path(".claude/settings.local.json")
    values: dict[tuple[str, ...], object] = {
        ("env", "ANTHROPIC_BASE_URL"): wish.url,
        ("env", "ANTHROPIC_AUTH_TOKEN"): wish.key,
    }
    if wish.discover:
        values[("env", "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY")] = "1"
    if wish.model:
        values[("model",)] = wish.model
    if wish.status_line:
        values[("statusLine",)] = {
            "type": "command",
            "command": wish.status_line,
            "padding": 0,
            "refreshInterval": 5,
        }
    return Change(file=file, values=values, owned=tuple(p for p in values if p[0] == "env"))


def cline(wish: Wish, scope: Scope) -> Change:
    """Cline posts to `{base}/messages`, so its base URL has no `/v1` either. It rewrites the
    file at each start and forgets a provider without these very fields."""
    data = os.environ.get("CLINE_DATA_DIR") or Path.home() / ".cline" / "data"
    provider = {
        "settings": {
            "provider": "anthropic",
            "apiKey": wish.key,
            "model": wish.model or MODEL,
            "baseUrl": wish.url,
        },
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "tokenSource": "manual",
    }
    return Change(
        file=Path(data) / "settings" / "providers.json",
        values={("lastUsedProvider",): "anthropic", ("providers", "anthropic"): provider},
        owned=(("providers", "anthropic"),),
        defaults={("version",): 1, ("modes",): {}},
    )


def opencode(wish: Wish, scope: Scope) -> Change:
    """The AI SDK beneath appends `/messages`, so its base URL ends in `/v1`."""
    folder = config_home() / "opencode" if scope == "user" else Path()
    values: dict[tuple[str, ...], object] = {
        ("provider", "anthropic", "options", "baseURL"): f"{wish.url}/v1",
        ("provider", "anthropic", "options", "apiKey"): wish.key,
    }
    if wish.model:
        values[("model",)] = f"anthropic/{wish.model.removeprefix('anthropic/')}"
    owned = tuple(path for path in values if path[0] == "provider")
    # opencode adds its schema to a file without one, and rewrites it by that.
    schema: Values = {("$schema",): "https://opencode.ai/config.json"}
    return Change(file=folder / "opencode.json", values=values, owned=owned, defaults=schema)


def aider(wish: Wish, scope: Scope) -> Change:
    folder = Path.home() if scope == "user" else Path()
    lines = [
        f"anthropic-api-key: {wish.key}",
        "set-env:",
        f"  - ANTHROPIC_BASE_URL={wish.url}",
    ]
    keys = ["anthropic-api-key", "set-env"]
    if wish.model:
        lines.append(f"model: anthropic/{wish.model.removeprefix('anthropic/')}")
        keys.append("model")
    return Change(file=folder / ".aider.conf.yml", lines=tuple(lines), keys=tuple(keys))


def continue_(wish: Wish, scope: Scope) -> Change:
    folder = Path.home() if scope == "user" else Path()
    lines = (
        "- name: ModelMuxer",
        "  provider: anthropic",
        f"  model: {wish.model or MODEL}",
        f"  apiKey: {wish.key}",
        f"  apiBase: {wish.url}/v1/",
        "  roles: [chat, edit, apply]",
    )
    return Change(
        file=folder / ".continue" / "config.yaml",
        lines=lines,
        item_of="models",
        head=("name: ModelMuxer", "version: 1.0.0", "schema: v1"),
    )


CLIENTS: Mapping[str, Callable[[Wish, Scope], Change]] = {
    "claude": claude,
    "cline": cline,
    "opencode": opencode,
    "aider": aider,
    "continue": continue_,
}
# Clients whose settings belong to the user alone.
USER_ONLY = frozenset({"cline"})
