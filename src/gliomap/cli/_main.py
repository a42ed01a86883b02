"""The entry point: runs a verb, and says what was wrong with a command that could not be read."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, cast

import typer
from typer.main import get_command

from gliomap.cli import (
    _archive,
    _azure,
    _bench,
    _bundle,
    _classify,
    _demo,
    _deploy,
    _evaluate,
    _models,
    _phantom,
    _preprocess,
    _report,
    _runs,
    _score,
    _sensor,
    _serve,
    _study,
    _train,
)
from gliomap.cli._app import app
from gliomap.cli._faults import fault_hook, report
from gliomap.cli._ui import to_nowhere
from gliomap.errors import UsageError

__all__ = ["main", "run"]

VERBS = (
    _demo,
    _phantom,
    _sensor,
    _study,
    _preprocess,
    _train,
    _evaluate,
    _report,
    _runs,
    _score,
    _bundle,
    _models,
    _classify,
    _serve,
    _archive,
    _azure,
    _bench,
    _deploy,
)
"""Imported so that their verbs join the application."""

# Recent typer carries its own copy of click and earlier ones use the installed one; this is right for both.
_BadUsage = cast("type[Exception]", typer.BadParameter.__bases__[0])


class _UsageFault(Protocol):
    ctx: Any

    def format_message(self) -> str: ...


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; a fault that nobody foresaw is raised."""
    try:
        code = get_command(app).main(args=list(arguments), prog_name="gliomap", standalone_mode=False)
    except _BadUsage as error:
        code = _report_usage(cast("_UsageFault", error), arguments)
    except (typer.Abort, KeyboardInterrupt):
        code = report(KeyboardInterrupt(), as_json="--json" in arguments, verbose=False)
    except SystemExit as ended:
        # How typer ends where the reader of a help has gone (`| head`): that is no fault.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        code = 0
    except OSError as error:
        # A help that could not be written; what goes wrong in a verb is reported there.
        code = report(error, as_json="--json" in arguments, verbose=False)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        to_nowhere(sys.stdout)
    except OSError as error:
        to_nowhere(sys.stdout)
        code = code or report(error, as_json="--json" in arguments, verbose=False)
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run the command line of this process."""
    arguments = sys.argv[1:]
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file or a pipe may lack a letter (Latin-1), and a name may have bytes that are none: no reason to end the work.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    sys.excepthook = fault_hook(as_json="--json" in arguments, verbose="--verbose" in arguments)
    sys.exit(run(arguments))


def _open_streams() -> None:
    """A job may be started with streams closed (`>&-`); the first file it opens must not take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _report_usage(error: _UsageFault, arguments: Sequence[str]) -> int:
    command = error.ctx.command_path if error.ctx is not None else "gliomap"
    # typer lets pydantic read values, which names the type of what a check raised.
    fault, asks, guess = error.format_message().replace(": Value error, ", ": ").partition(" Did you mean ")
    remedy = f"{asks.lstrip()}{guess} See: {command} --help".lstrip()
    known = UsageError(command, fault[:1].lower() + fault[1:].rstrip("."), remedy)
    return report(known, as_json="--json" in arguments, verbose=False)
