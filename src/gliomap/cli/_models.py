"""`gliomap models register|list|show|promote`, and how other verbs find a bundle given by name."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap.cli._app import app
from gliomap.cli._options import TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.tracking import ModelReference, RegisteredVersion

__all__ = ["bundle_path", "located"]

models_app = group(app, "models", "The model registry: bundles by name, version and alias.")

Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="models:/NAME/VERSION or models:/NAME@ALIAS; models:/ may be omitted.")
]


@verb(
    models_app,
    "register",
    within="models",
    examples=(
        "gliomap models register run",
        "gliomap models register run --name glioma-map",
        "gliomap models register bundle --name glioma-map \\\n      --tracking sqlite:///study/mlflow.db",
    ),
)
def register(
    ui: Ui,
    source: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A run with its bundle, or a bundle.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; a run has its own by default, as in the thesis.")
    ] = None,
    tracking: TrackingUri = None,
) -> None:
    """Register a bundle under a name, as its next version.

    Registering the same bundle again keeps its version. For a run, everything
    else is sent to MLflow as well; a run that was trained with --tracking none
    needs --tracking.
    """
    from gliomap.bundles import open_bundle
    from gliomap.tracking import (
        BUNDLE,
        RECORD,
        find_store,
        is_tracked,
        nearest_store,
        open_run,
        register_bundle,
        register_run,
        study_folder,
    )

    if (source / RECORD).is_file():
        run = open_run(source)
        if not tracking and not is_tracked(source):
            raise UsageError(
                source,
                "was trained with --tracking none, and would be sent to MLflow with its pictures",
                f"Name a store with --tracking URI, or register its bundle alone: {source / BUNDLE} --name NAME.",
            )
        store = find_store(tracking, study_folder(run.path, run.record))
        if store is None:
            raise UsageError(
                "models register", "tracking is 'none', so there is no registry", "Name one with --tracking URI."
            )
        done = register_run(run, store, name)
    else:
        if name is None:
            open_bundle(source)  # reports what is wrong with a source that is neither a run nor a bundle
            raise UsageError(source, "is a bundle without a run, so it has no name", "Give it one with --name NAME.")
        done = register_bundle(source, nearest_store(tracking), name)
    if ui.as_json:
        ui.result({**_described(done), "new": done.new})
        return
    known_as = "".join(f", @{alias}" for alias in done.aliases)
    ui.text(
        f"Registered: {done.uri}" if done.new else f"Already registered, nothing new: {done.uri}{known_as}",
        f"Bundle: {done.identity}",
    )
    if "champion" not in done.aliases:
        ui.text(f"Next: gliomap models promote {quote(f'{done.name}/{done.version}')}")


@verb(
    models_app,
    "list",
    within="models",
    examples=("gliomap models list --tracking sqlite:///study/mlflow.db", "gliomap models list --json"),
)
def list_versions(ui: Ui, tracking: TrackingUri = None) -> None:
    """List all versions of all models, with their aliases."""
    from gliomap.tracking import list_models, nearest_store

    store = nearest_store(tracking)
    found = list_models(store)
    if ui.as_json:
        ui.result({"store": store.name, "models": [_described(one) for one in found]})
        return
    rows = [
        (one.name, one.version, ", ".join(one.aliases), (one.identity or "")[:12], f"{one.created_at:%Y-%m-%d %H:%M}")
        for one in found
    ]
    ui.table(["model", "version", "aliases", "bundle", "registered"], rows, title=store.name, numbers=" r   ")


@verb(
    models_app,
    "show",
    within="models",
    examples=(
        "gliomap models show Conv2DNet_ID0018C09_noCV/1",
        "gliomap models show models:/glioma-map@champion --json",
    ),
)
def show(ui: Ui, model: Reference, tracking: TrackingUri = None) -> None:
    """Show a version and the card of its bundle.

    NAME alone means the newest version. The bundle is fetched from the registry
    and verified.
    """
    from gliomap.bundles import open_bundle
    from gliomap.tracking import ModelReference, fetch_bundle, nearest_store, show_version

    store = nearest_store(tracking)
    version = show_version(store, _reference(model, newest=True))
    bundle = open_bundle(fetch_bundle(store, ModelReference(version.name, version.version)))
    if ui.as_json:
        ui.result({**_described(version), "store": store.name, "manifest": bundle.manifest.model_dump(mode="json")})
        return
    ui.facts(
        [
            ("Model", version.uri),
            ("Aliases", ", ".join(version.aliases)),
            ("Registered", f"{version.created_at:%Y-%m-%d %H:%M} UTC in {store.name}"),
            ("Run in MLflow", version.run_id),
            ("Bundle", bundle.identity),
            ("On this machine", bundle.path),
        ]
    )
    ui.text("", bundle.card.rstrip("\n"))


@verb(
    models_app,
    "promote",
    within="models",
    examples=(
        "gliomap models promote Conv2DNet_ID0018C09_noCV/1",
        "gliomap models promote glioma-map/3 --to challenger",
        "gliomap models promote glioma-map/3 --dry-run",
    ),
)
def promote(
    ui: Ui,
    model: Reference,
    to: Annotated[str, typer.Option("--to", metavar="ALIAS", help="The alias to set.")] = "champion",
    unevaluated: Annotated[
        bool, typer.Option("--unevaluated", help="Allow a bundle that was never evaluated.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show what would change, but change nothing.")
    ] = False,
    tracking: TrackingUri = None,
) -> None:
    """Make a version the champion, or give it another alias.

    From then on models:/NAME@champion means this version. Its bundle is fetched and verified first. The command that undoes the change is printed.
    """
    from gliomap.tracking import nearest_store
    from gliomap.tracking import promote as promote_version

    done = promote_version(nearest_store(tracking), _reference(model), to, unevaluated=unevaluated, dry_run=dry_run)
    version, before = done.version, done.before
    if ui.as_json:
        ui.result({**_described(version), "alias": to, "before": before, "caution": done.caution, "dry_run": dry_run})
        return
    was = "nothing" if before is None else f"version {before}"
    if before == version.version:
        ui.text(
            f"{version.uri} is already the {to} of {version.name}; nothing {'would change' if dry_run else 'changed'}."
        )
    else:
        ui.text(
            f"{'Would make' if dry_run else 'Made'} {version.uri} the {to} of {version.name}; before, it was {was}."
        )
    if done.caution:
        ui.text(f"Caution: {done.caution}.")
    if before not in (None, version.version) and not dry_run:
        ui.text(f"Undo: gliomap models promote {quote(f'{version.name}/{before}')} --to {to}")


def bundle_path(given: Path, tracking: str | None = None, study: Path | None = None) -> Path:
    """The local path of a bundle; parameters and errors as of `located`."""
    return located(given, tracking, study)[0]


def located(given: Path, tracking: str | None = None, study: Path | None = None) -> tuple[Path, str]:
    """The local path of a bundle and its version: a path is returned unchanged, `models:/…` fetched from the registry.

    Returns
    -------
    tuple
        Path, and `models:/NAME/VERSION`, empty for a path.

    Raises
    ------
    UsageError, TrackingError, BundleError, MissingExtraError
        As `gliomap.tracking.fetch_bundle`.
    """
    if not str(given).startswith("models:"):
        return given, ""
    from gliomap.tracking import ModelReference, fetch_bundle, nearest_store, show_version

    store = nearest_store(tracking, study)
    version = show_version(store, _reference(str(given)))
    return fetch_bundle(store, ModelReference(version.name, version.version)), version.uri


def _reference(text: str, *, newest: bool = False) -> ModelReference:
    """The reference in a text; with `newest`, a name alone means the newest version."""
    from gliomap.tracking import ModelReference

    name = text.removeprefix("models:").lstrip("/")
    if newest and name and not {"/", "@"} & set(name):
        return ModelReference(name)
    full = text if text.startswith("models:") else f"models:/{text}"
    found = ModelReference.parse(full)
    if found is None:
        raise UsageError(text, "is not a model reference", "Write models:/NAME/3 or models:/NAME@champion.")
    return found


def _described(version: RegisteredVersion) -> dict[str, Any]:
    return {
        "model": version.name,
        "version": version.version,
        "uri": version.uri,
        "aliases": list(version.aliases),
        "bundle": version.identity,
        "run_id": version.run_id,
        "registered_at": version.created_at.isoformat(),
    }
