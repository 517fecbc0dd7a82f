"""The four names that clients read, as lines for a shell."""

import shlex
from collections.abc import Callable, Mapping

URL_NAMES = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL")
KEY_NAMES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")


def variables(url: str, key: str) -> dict[str, str]:
    return dict.fromkeys(URL_NAMES, url) | dict.fromkeys(KEY_NAMES, key)


def _posix(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{escaped}'"


def _powershell(name: str, value: str) -> str:
    escaped = value.replace("'", "''")
    return f"$env:{name} = '{escaped}'"


# shell: (sets a name, unsets it)
SHELLS: Mapping[str, tuple[Callable[[str, str], str], str]] = {
    "bash": (_posix, "unset {}"),
    "zsh": (_posix, "unset {}"),
    "fish": (_fish, "set -e {}"),
    "powershell": (_powershell, "Remove-Item Env:{} -ErrorAction SilentlyContinue"),
}


def set_lines(shell: str, url: str, key: str) -> str:
    """Lines to evaluate in the shell, so that clients started from it come to us."""
    form, _ = SHELLS[shell]
    return "\n".join(form(name, value) for name, value in variables(url, key).items()) + "\n"


def unset_lines(shell: str) -> str:
    """The lines that undo `set_lines`."""
    _, form = SHELLS[shell]
    return "\n".join(form.format(name) for name in (*URL_NAMES, *KEY_NAMES)) + "\n"
