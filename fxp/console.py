"""How every command of the toolkit ends: one clear line and exit code 2 on wrong input."""

from __future__ import annotations

import sys

import typer

from fxp.errors import InputError

# Typer bundles its own copy of click and exports only the leaves of its exceptions.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


def run(app: typer.Typer) -> None:
    """Run a command line application and exit.

    Wrong input (`InputError`) and wrong usage print `error: <one line>` to stderr and exit with 2;
    an interrupt exits with 130; anything else is a bug and keeps its traceback.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(standalone_mode=False)
    except InputError as error:
        code = _fail(str(error))
    except _USAGE_ERROR as error:
        code = _fail(getattr(error, "format_message", error.__str__)())
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    if message:  # empty where the help page itself was the answer
        sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return 2
