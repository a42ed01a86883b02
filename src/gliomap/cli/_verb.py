"""How a function becomes a verb: the options that all verbs share, and the one handler of faults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from gliomap.cli._faults import report
from gliomap.cli._interruption import Interruption
from gliomap.cli._ui import Ui
from gliomap.errors import GlioMapError

__all__ = ["EXAMPLES", "group", "new_app", "verb"]

F = TypeVar("F", bound=Callable[..., None])

EXAMPLES: dict[str, tuple[str, ...]] = {}
"""Every example that some `--help` shows, by verb; the tests parse each."""

_HELP = {"help_option_names": ["-h", "--help"]}

_SHARED: dict[str, tuple[Any, Any]] = {
    "as_json": (
        Annotated[bool, typer.Option("--json", help="Results as JSON on stdout, faults as JSON on stderr.")],
        False,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")], False),
    "threads": (
        Annotated[
            int | None, typer.Option("--threads", min=1, max=4096, metavar="N", help="Use at most N processor threads.")
        ],
        None,
    ),
    "verbose": (Annotated[bool, typer.Option("--verbose", help="More notes, and the traceback of a fault.")], False),
}
_OVERWRITE: tuple[Any, Any] = (
    Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are already there.")],
    False,
)


def new_app(help_text: str, *, completion: bool = False, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Make a typer application in the house's manner: plain help, our own faults; `cls` may order its verbs."""
    return typer.Typer(
        cls=cls,
        help=help_text,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=completion,
        context_settings=dict(_HELP),
        subcommand_metavar="VERB",
    )


def group(app: typer.Typer, name: str, help_text: str) -> typer.Typer:
    """Add a noun with verbs of its own (`gliomap sensor …`); alone it prints its help."""
    inner = new_app(help_text)

    def nothing(context: typer.Context) -> None:
        help_alone(context)

    inner.callback(invoke_without_command=True, help=help_text)(nothing)
    app.add_typer(inner, name=name)
    return inner


def help_alone(context: typer.Context) -> None:
    """Print the help when no verb was given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def verb(
    app: typer.Typer, name: str, *, examples: Sequence[str], writes: bool = False, within: str = ""
) -> Callable[[F], F]:
    """Make a function a verb.

    Parameters
    ----------
    app
        The application or group it belongs to.
    name
        The word that is typed.
    examples
        Command lines shown at the end of its help.
    writes
        Whether it writes something, and so has `--overwrite`.
    within
        Name of the group, if any.

    Returns
    -------
    decorator
        Its function takes a `Ui` first and gets the shared options through it.
    """
    full_name = f"{within} {name}".strip()
    EXAMPLES[full_name] = tuple(examples)

    def decorate(function: F) -> F:
        shared = {**_SHARED, **({"overwrite": _OVERWRITE} if writes else {})}

        def typed(**given: Any) -> None:
            ui = Ui(**{option: given.pop(option) for option in shared})
            _guarded(function, ui, given)

        parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        parameters += [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for option, (annotation, default) in shared.items()
        ]
        for parameter in parameters:
            for option in getattr(parameter.annotation, "__metadata__", ()):
                # A file without permission is the machine's fault (3); the parser would call it bad usage (2).
                option.readable = False
        typed.__name__ = function.__name__
        typed.__doc__ = function.__doc__
        typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        vars(typed)["__signature__"] = inspect.Signature(
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
        app.command(name, epilog=epilog, context_settings=dict(_HELP))(typed)
        return function

    return decorate


def _guarded(function: Callable[..., None], ui: Ui, arguments: dict[str, Any]) -> None:
    """Run a verb; what went wrong is said once, here, and becomes the exit code."""
    try:
        with Interruption(), ui.session():
            function(ui, **arguments)
    except (GlioMapError, OSError, MemoryError, KeyboardInterrupt) as error:
        raise typer.Exit(report(error, as_json=ui.as_json, verbose=ui.verbose)) from error
