"""The Typer application that every verb is added to."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gliomap.cli._verb import help_alone, new_app

__all__ = ["app"]

_TITLE = """Tissue maps of the exposed brain from snapshot hyperspectral cameras.

Research software, not a medical device.

\b
Start with:
  gliomap demo            all steps on a phantom study, in a minute or two
  gliomap VERB --help     what a verb does, with examples
"""

_EXIT_CODES = """\b
Exit codes: 0 done, 1 internal error, 2 bad usage or bad input,
3 the environment (disk full, no permission), 130 interrupted."""

_ORDER = (
    *("demo", "phantom", "sensor", "study", "preprocess", "train", "evaluate", "report", "bundle", "runs", "models"),
    *("classify", "serve", "score", "archive", "bench", "azure", "deploy"),
)


class _InOrderOfWork(TyperGroup):
    """Lists the verbs in the order in which a study uses them, not in the order in which their modules load."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return sorted(self.commands, key=_ORDER.index)


app = new_app(_TITLE, completion=True, cls=_InOrderOfWork)


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
