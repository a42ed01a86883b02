"""The entry point: runs a verb, and reports what is wrong with a command line that cannot be parsed."""

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
"""Imported so that their verbs are added to the application."""

# Recent versions of typer contain a copy of click, and earlier ones use the installed click; this works with both.
_BadUsage = cast("type[Exception]", typer.BadParameter.__bases__[0])


class _UsageFault(Protocol):
    ctx: Any

    def format_message(self) -> str: ...


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; an unforeseen error is raised."""
    try:
        code = get_command(app).main(args=list(arguments), prog_name="gliomap", standalone_mode=False)
    except _BadUsage as error:
        code = _report_usage(cast("_UsageFault", error), arguments)
    except (typer.Abort, KeyboardInterrupt):
        code = report(KeyboardInterrupt(), as_json="--json" in arguments, verbose=False)
    except SystemExit as ended:
        # typer exits this way when the reader of a help text has gone (`| head`), which is not an error.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        code = 0
    except OSError as error:
        # A help text could not be written; errors in a verb are reported there.
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
        # A stream's encoding (Latin-1) may lack a character, and a name may contain undecodable bytes: neither ends the work.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    sys.excepthook = fault_hook(as_json="--json" in arguments, verbose="--verbose" in arguments)
    sys.exit(run(arguments))


def _open_streams() -> None:
    """Reopen standard streams that were closed at the start (`>&-`), or the first file opened would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _report_usage(error: _UsageFault, arguments: Sequence[str]) -> int:
    command = error.ctx.command_path if error.ctx is not None else "gliomap"
    # typer parses values with pydantic, which puts the type of a check's error into the message.
    fault, asks, guess = error.format_message().replace(": Value error, ", ": ").partition(" Did you mean ")
    remedy = f"{asks.lstrip()}{guess} See: {command} --help".lstrip()
    known = UsageError(command, fault[:1].lower() + fault[1:].rstrip("."), remedy)
    return report(known, as_json="--json" in arguments, verbose=False)
