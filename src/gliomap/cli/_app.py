"""The application that verbs join."""

from __future__ import annotations

from typing import Annotated

import typer

from gliomap.cli._verb import help_alone, new_app

__all__ = ["app"]

_TITLE = """Tissue maps of the exposed brain from snapshot hyperspectral cameras.

Research software, not a medical device.

\b
Start with:
  gliomap demo            the whole job on a phantom study, in a few minutes
  gliomap VERB --help     what a verb does, with examples
"""

_EXIT_CODES = """\b
Exit codes: 0 done, 1 our fault, 2 bad usage or bad input,
3 the environment (disk full, no permission), 130 interrupted."""

app = new_app(_TITLE, completion=True)


def _version(wanted: bool) -> None:
    if wanted:
        from gliomap import __version__

        typer.echo(f"gliomap {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, help=_TITLE, epilog=_EXIT_CODES)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
    help_alone(context)
