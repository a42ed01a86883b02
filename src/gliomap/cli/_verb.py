"""How a function becomes a verb: options from its parameters, and the one error handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from gliomap.cli._faults import report
from gliomap.cli._interruption import Interruption
from gliomap.cli._ui import Ui
from gliomap.errors import GlioMapError

__all__ = ["EXAMPLES", "group", "new_app", "verb"]

F = TypeVar("F", bound=Callable[..., None])

EXAMPLES: dict[str, tuple[str, ...]] = {}
"""Every example that a `--help` shows, by verb; the tests parse each of them."""

_HELP = {"help_option_names": ["-h", "--help"]}


def new_app(help_text: str, *, completion: bool = False, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Make a typer application with GlioMap's conventions: plain help, our own error handling; `cls` may order its verbs."""
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
    """Add a noun with its own verbs (`gliomap sensor …`); without a verb it prints its help."""
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
        The application or group to add it to.
    name
        The word that the user types.
    examples
        Command lines shown at the end of its help.
    writes
        Whether the verb writes something, and therefore has `--overwrite`.
    within
        Name of the group, if any.

    Returns
    -------
    decorator
        The decorated function takes a `Ui` first. A parameter whose type is a dataclass, such as `Ui`, represents one option
        for each field.
    """
    full_name = f"{within} {name}".strip()
    EXAMPLES[full_name] = tuple(examples)

    def decorate(function: F) -> F:
        first, *others = inspect.signature(function, eval_str=True).parameters.values()
        own = {one.name: one for one in (*others, first.replace(annotation=Ui))}
        groups = {
            name: dict(inspect.signature(one.annotation, eval_str=True).parameters)
            for name, one in own.items()
            if isinstance(one.annotation, type) and is_dataclass(one.annotation)
        }
        if not writes:
            del groups[first.name]["overwrite"]

        def typed(**given: Any) -> None:
            for name, options in groups.items():
                given[name] = own[name].annotation(**{option: given.pop(option) for option in options})
            _guarded(function, given.pop(first.name), given)

        parameters = [option for name, one in own.items() for option in groups.get(name, {"": one}).values()]
        for parameter in parameters:
            for option in getattr(parameter.annotation, "__metadata__", ()):
                # An unreadable file is an environment error (3); the parser would call it bad usage (2).
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
    """Run a verb; an error is reported once, here, and becomes the exit code."""
    try:
        with Interruption(), ui.session():
            function(ui, **arguments)
    except (GlioMapError, OSError, MemoryError, KeyboardInterrupt) as error:
        raise typer.Exit(report(error, as_json=ui.as_json, verbose=ui.verbose)) from error
