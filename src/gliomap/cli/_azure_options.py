"""What the verbs of `gliomap azure` share: which workspace is meant, and the dry run."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gliomap.cli._app import app
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import MissingExtraError

if TYPE_CHECKING:
    from gliomap.deploy.azure import AzureSettings, Connection, Document

__all__ = [
    "Cloud",
    "DryRun",
    "Where",
    "azure_app",
    "azure_verb",
    "need_azure",
    "show_documents",
    "tell_command",
]

F = TypeVar("F", bound=Callable[..., None])

azure_app = group(app, "azure", "Azure Machine Learning: data, clusters, endpoints.")


class Cloud(StrEnum):
    """Azure's clouds."""

    public = "AzureCloud"
    usa = "AzureUSGovernment"
    china = "AzureChinaCloud"


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="config.json from the studio; else one here or in a folder above."),
]
Subscription = Annotated[
    str | None, typer.Option("--subscription", metavar="ID", help="Or AZURE_SUBSCRIPTION_ID; wins over config.json.")
]
ResourceGroup = Annotated[
    str | None, typer.Option("--resource-group", metavar="NAME", help="Or AZURE_RESOURCE_GROUP; likewise.")
]
Workspace = Annotated[str | None, typer.Option("--workspace", metavar="NAME", help="Or AZURE_ML_WORKSPACE; likewise.")]
CloudName = Annotated[Cloud | None, typer.Option("--cloud", help="Or AZURE_CLOUD; else AzureCloud, the public one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the YAML that `az ml` takes; send nothing.")]


@dataclass(frozen=True)
class Where:
    """Which workspace a command line means; its fields are options of every verb."""

    config: ConfigFile = None
    subscription: Subscription = None
    resource_group: ResourceGroup = None
    workspace: Workspace = None
    cloud: CloudName = None

    def settings(self, environ: Mapping[str, str] = os.environ) -> AzureSettings:
        """The settings that are meant.

        Raises
        ------
        UsageError
            They are nowhere told.
        """
        from gliomap.deploy.azure import find_settings

        return find_settings(
            environ,
            config=self.config,
            subscription_id=self.subscription,
            resource_group=self.resource_group,
            workspace_name=self.workspace,
            cloud=None if self.cloud is None else self.cloud.value,
        )

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection to it.

        Raises
        ------
        GlioMapError
            The settings are nowhere told, or whatever goes wrong with Azure in the block.
        """
        from gliomap.deploy.azure import connect

        with connect(self.settings()) as connection:
            yield connection


def azure_verb(
    name: str,
    *,
    examples: Sequence[str],
    app: typer.Typer = azure_app,
    within: str = "azure",
    writes: bool = False,
) -> Callable[[F], F]:
    """Make a function a verb of `gliomap azure`, as `verb` does.

    Returns
    -------
    decorator
        Its function takes `where`, and the verb has the options that tell it in that place; it is called where the extra
        is installed.
    """

    def decorate(function: F) -> F:
        options = inspect.signature(Where, eval_str=True).parameters

        def typed(ui: Ui, **given: Any) -> None:
            need_azure()
            where = Where(**{option: given.pop(option) for option in options})
            function(ui, where=where, **given)

        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for own in inspect.signature(function, eval_str=True).parameters.values()
            for parameter in (options.values() if own.name == "where" else (own,))
        ]
        typed.__name__, typed.__doc__ = function.__name__, function.__doc__
        vars(typed)["__signature__"] = inspect.Signature(parameters)
        verb(app, name, examples=examples, writes=writes, within=within)(typed)
        return function

    return decorate


def need_azure() -> None:
    """Refuse to go on without the extra.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        for name in ("azure.ai.ml", "azure.identity", "azure.storage.blob"):
            importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError("gliomap azure", "azure") from error


def show_documents(ui: Ui, *documents: Document) -> None:
    """What a dry run prints, once each document has passed azure-ai-ml's own check."""
    from gliomap.deploy.azure import as_yaml

    for document in documents:
        document.load()
    if ui.as_json:
        ui.result([{"kind": one.kind, "verb": one.verb, **one.content} for one in documents])
        return
    ui.text(as_yaml(*documents).rstrip("\n"))
    ui.say("Nothing was sent.")


def tell_command(ui: Ui, command: str) -> None:
    """What a dry run prints of a verb for which `az ml` takes no file."""
    if ui.as_json:
        ui.result([{"command": command}])
        return
    ui.text(f"# {command}")
    ui.say("Nothing was sent.")
