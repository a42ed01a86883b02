"""What the verbs of `gliomap azure` share: the choice of a workspace, and the dry run."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from gliomap.cli._app import app
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import MissingExtraError

if TYPE_CHECKING:
    from gliomap.deploy.azure import AzureSettings, Connection, Document

__all__ = [
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


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="config.json from the studio; by default one here or in a folder above."
    ),
]
Subscription = Annotated[
    str | None, typer.Option("--subscription", metavar="ID", help="Or AZURE_SUBSCRIPTION_ID; overrides config.json.")
]
ResourceGroup = Annotated[
    str | None, typer.Option("--resource-group", metavar="NAME", help="Or AZURE_RESOURCE_GROUP; overrides config.json.")
]
Workspace = Annotated[
    str | None, typer.Option("--workspace", metavar="NAME", help="Or AZURE_ML_WORKSPACE; overrides config.json.")
]
CloudName = Annotated[
    Literal["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"] | None,
    typer.Option("--cloud", help="Or AZURE_CLOUD; by default AzureCloud, the public cloud."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the YAML for `az ml`; send nothing.")]


@dataclass(frozen=True)
class Where:
    """Which workspace a command line refers to; the fields are options of every verb."""

    config: ConfigFile = None
    subscription: Subscription = None
    resource_group: ResourceGroup = None
    workspace: Workspace = None
    cloud: CloudName = None

    def settings(self) -> AzureSettings:
        """The settings of that workspace.

        Raises
        ------
        UsageError
            The settings are given nowhere.
        """
        from gliomap.deploy.azure import find_settings

        return find_settings(
            os.environ,
            config=self.config,
            subscription_id=self.subscription,
            resource_group=self.resource_group,
            workspace_name=self.workspace,
            cloud=self.cloud,
        )

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection to that workspace.

        Raises
        ------
        GlioMapError
            The settings are given nowhere, or Azure fails in the block.
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
    """Make a function a verb of `gliomap azure`, as `verb` does; it runs only if the extra is installed."""

    def decorate(function: F) -> F:
        @wraps(function)
        def with_extra(*given: Any, **options: Any) -> None:
            need_azure()
            function(*given, **options)

        verb(app, name, examples=examples, writes=writes, within=within)(with_extra)
        return function

    return decorate


def need_azure() -> None:
    """Check that the extra is installed.

    Raises
    ------
    MissingExtraError
        The extra is not installed.
    """
    try:
        for name in ("azure.ai.ml", "azure.identity", "azure.storage.blob"):
            importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError("gliomap azure", "azure") from error


def show_documents(ui: Ui, *documents: Document) -> None:
    """Print the documents of a dry run once each has passed azure-ai-ml's own check."""
    from gliomap.deploy.azure import as_yaml

    for document in documents:
        document.load()
    if ui.as_json:
        ui.result([{"kind": one.kind, "verb": one.verb, **one.content} for one in documents])
        return
    ui.text(as_yaml(*documents).rstrip("\n"))
    ui.say("Nothing was sent.")


def tell_command(ui: Ui, command: str) -> None:
    """Print the command of a dry run, for a verb for which `az ml` takes no file."""
    if ui.as_json:
        ui.result([{"command": command}])
        return
    ui.text(f"# {command}")
    ui.say("Nothing was sent.")
