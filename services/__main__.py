"""The `modelmuxer` command; the only file that knows all services.

`modelmuxer <service>` is a fast path without the command line library; every other command
loads its own module when it is asked for. A user never sees a traceback unless debugging.
"""

import importlib
import os
import sys
from collections.abc import Sequence

SERVICES = ("gateway", "router", "pii", "ledger", "analytics")
USAGE = "usage: modelmuxer {0} [--config FILE]{1}"
# Options of `modelmuxer <service>` that are settings by another name.
SHORTHANDS = {
    "--workers": "MODELMUXER_GATEWAY__WORKERS",
    "--host": "MODELMUXER_GATEWAY__HOST",
    "--port": "MODELMUXER_GATEWAY__PORT",
    "--data-dir": "MODELMUXER_DATA_DIR",
}


class UsageError(Exception):
    """The command line is wrong: one line for the user."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["statusline"]:
        # Claude Code waits for it, so nothing else is loaded.
        return int(importlib.import_module("services.cli.statusline").main(arguments[1:]))
    try:
        return _command(arguments)
    except UsageError as error:
        return _fail(str(error), 2)
    except ModuleNotFoundError as error:
        return _missing(error)
    except BrokenPipeError:
        # `modelmuxer costs | head`: the reader has left, which is no fault.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  a user sees one line, whatever broke
        return _explained(error)


def _explained(error: Exception) -> int:
    """The one line for an error of ours; any other is a fault."""
    from libs.common.errors import MuxError
    from libs.common.service import CANNOT_START
    from libs.common.settings.load import ConfigError

    if isinstance(error, ConfigError):
        return _fail(str(error), CANNOT_START)
    if isinstance(error, MuxError):
        return _fail(error.detail or error.code, 1)
    return _broken(error)


def _command(arguments: list[str]) -> int:
    if runs_service(arguments):
        return _service(arguments[0], arguments[1:])
    from services.launcher.command_line import run

    return run(arguments)


def runs_service(arguments: Sequence[str]) -> bool:
    """`modelmuxer router` and `modelmuxer router --config x` run it; `router explain` does not."""
    if not arguments or arguments[0] not in SERVICES or {"--help", "-h"} & set(arguments):
        return False
    return len(arguments) == 1 or arguments[1].startswith("-")


def _service(name: str, options: list[str]) -> int:
    from libs.common.service import run_forever
    from libs.common.settings.load import load

    loaded = load(_read_options(name, options))
    module = importlib.import_module(f"services.{name}.main")
    return run_forever(name, module.open_service, loaded)


def _read_options(name: str, options: list[str]) -> str | None:
    """Apply the options to the environment; returns the settings file, if one is named."""
    file = None
    words = iter(options)
    for word in words:
        option, equals, value = word.partition("=")
        if option != "--config" and option not in SHORTHANDS:
            raise UsageError(_unknown_option(name, option))
        value = value if equals else next(words, "")
        if not value:
            raise UsageError(f"{option} needs a value")
        if option == "--config":
            file = value
        else:
            os.environ[SHORTHANDS[option]] = value
    return file


def _unknown_option(name: str, option: str) -> str:
    import difflib

    near = difflib.get_close_matches(option, ["--config", "--help", *SHORTHANDS], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    more = " [--workers N]" if name == "gateway" else ""
    return f"no such option: {option}{hint}\n{USAGE.format(name, more)}"


def _missing(error: ModuleNotFoundError) -> int:
    from libs.common.service import CANNOT_START

    if os.environ.get("MODELMUXER_DEBUG") or str(error.name).startswith(("services", "libs")):
        return _broken(error)
    return _fail(
        f"this installation lacks `{error.name}`; install the extra of this command, "
        "or everything: pip install 'modelmuxer[all]'",
        CANNOT_START,
    )


def _broken(error: Exception) -> int:
    if os.environ.get("MODELMUXER_DEBUG", "").lower() in ("1", "true", "yes", "on"):
        raise error
    words = f"{type(error).__name__}: {error}".splitlines()[0]
    return _fail(f"{words} (MODELMUXER_DEBUG=true shows where)", 70)


def _fail(line: str, code: int) -> int:
    sys.stderr.write(f"modelmuxer: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
