"""The model registry: bundles under a name and a version, and aliases that mark the version in use."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gliomap._files import atomic_folder, user_folder
from gliomap._text import command_line, counted
from gliomap.bundles import Bundle, open_bundle
from gliomap.errors import BundleError, RunError, TrackingError, UsageError
from gliomap.evaluation import picture_stem
from gliomap.tracking._mlflow import client_of, in_our_words, reader_of
from gliomap.tracking._mlflow_model import BUNDLE_FOLDER, model_path, write_mlflow_model
from gliomap.tracking._names import BUNDLE
from gliomap.tracking._run import Run
from gliomap.tracking._store import Store
from gliomap.tracking._sync import Sender, experiment_of
from gliomap.tracking._versions import IDENTITY_TAG, ModelReference, RegisteredVersion, names, registered, versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "Promotion",
    "fetch_bundle",
    "list_models",
    "model_name",
    "promote",
    "register_bundle",
    "register_run",
    "show_version",
]

PREVIOUS_TAG = "gliomap.before."
"""Prefix of the model tag that records which version had an alias before."""

_ANEW = "Send its run again: gliomap runs sync RUN --again. A bundle without a run: register it under another name."

_EXPERIMENT = "gliomap-bundles"
"""The experiment of bundles without a run."""


def model_name(run: Run) -> str:
    """The model's name, as the thesis named its models: Conv2DNet_ID0018C09_noCV."""
    record, folds = run.record, run.folds()
    tested = sorted({capture for split in folds.splits.values() for capture in split.test})
    patients = len({folds.patients[capture] for capture in tested})
    word = tested[0] if len(tested) == 1 else f"{patients}-patients" if tested else "all"
    return picture_stem(record.model.title, word, record.protocol)


def register_run(run: Run, store: Store, name: str | None = None) -> RegisteredVersion:
    """Register a run's own bundle; the run is mirrored first.

    A bundle that is already a version of this model keeps its version.

    Parameters
    ----------
    run
        A finished run with a bundle.
    store
        The store to register in.
    name
        Name of the model; `model_name` by default.

    Raises
    ------
    RunError
        The run has no bundle.
    BundleError
        The bundle is damaged.
    TrackingError
        The store does not answer or refuses, or a model of this name holds something other than bundles.
    """
    path = run.path / BUNDLE
    if not path.is_dir():
        raise RunError(
            run.path, "has no bundle to register", f"Create one first: {command_line('bundle', 'create', run.path)}"
        )
    bundle = open_bundle(path)
    sent = Sender(store).send(run.path)
    with in_our_words(store):
        return _register(client_of(store), store, bundle, name or model_name(run), sent.run_id)


def register_bundle(path: Path, store: Store, name: str) -> RegisteredVersion:
    """Register a bundle without a run; parameters and errors as of `register_run`."""
    bundle = open_bundle(path)
    with in_our_words(store):
        client = client_of(store)
        known = _version_of(client, store, name, bundle)
        if known is not None:
            return known
        experiment = experiment_of(client, store, _EXPERIMENT)
        run_id = client.create_run(experiment, tags={IDENTITY_TAG: bundle.identity}, run_name=name).info.run_id
        with tempfile.TemporaryDirectory() as temporary:
            write_mlflow_model(bundle, Path(temporary))
            client.log_artifacts(run_id, temporary, model_path(bundle))
        client.set_terminated(run_id)
        return _register(client, store, bundle, name, run_id)


def list_models(store: Store) -> list[RegisteredVersion]:
    """All versions of all models, by name, newest first.

    Raises
    ------
    TrackingError
        The store is missing, does not answer or refuses.
    """
    with in_our_words(store):
        client = reader_of(store)
        found = [version for name in names(client) for version in versions_of(client, name)]
    return sorted(found, key=lambda one: (one.name, -one.version))


def show_version(store: Store, reference: ModelReference) -> RegisteredVersion:
    """What the registry knows about one version.

    Raises
    ------
    TrackingError
        There is no such store, model, version or alias; the store does not answer or refuses.
    """
    with in_our_words(store):
        client = reader_of(store)
        versions = versions_of(client, reference.name)
        if not versions:
            known = ", ".join(names(client)) or "none"
            raise TrackingError(
                f"model {reference.name!r}",
                f"is not in {store.name}",
                f"Models there: {known}. See: gliomap models list",
            )
    if reference.version is None and reference.alias is None:
        return max(versions, key=lambda one: one.version)
    for one in versions:
        if one.version == reference.version or (reference.alias and reference.alias in one.aliases):
            return one
    there = ", ".join(
        f"{one.version}{''.join(f' (@{alias})' for alias in one.aliases)}"
        for one in sorted(versions, key=lambda each: each.version)
    )
    wanted = f"version {reference.version}" if reference.version else f"alias @{reference.alias}"
    raise TrackingError(f"model {reference.name!r}", f"has no {wanted}", f"It has versions {there}.")


@dataclass(frozen=True, slots=True)
class Promotion:
    """An alias given to a version.

    Attributes
    ----------
    version, alias
        The version and the alias it was given.
    before
        The version that had the alias before; None if none did.
    caution
        Why the figures on the version's card are too high; empty if they are not.
    """

    version: RegisteredVersion
    alias: str
    before: int | None
    caution: str = ""


def promote(
    store: Store,
    reference: ModelReference,
    alias: str = "champion",
    *,
    unevaluated: bool = False,
    dry_run: bool = False,
) -> Promotion:
    """Give an alias to a version after verifying its bundle; the version that had the alias before is recorded.

    Parameters
    ----------
    store, reference
        The store and the version in it.
    alias
        A word; from now on `models:/NAME@ALIAS` means this version.
    unevaluated
        Allow a bundle whose training was never evaluated.
    dry_run
        Check, but change nothing.

    Raises
    ------
    UsageError
        MLflow takes the word for something else.
    BundleError
        The bundle is damaged, is not the one that was registered, or was never evaluated.
    TrackingError
        There is no such version; the store does not answer or refuses.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or re.fullmatch(r"v\d+|latest", alias, re.I):
        raise UsageError(
            f"alias {alias!r}", "is not a valid alias", "Use a word such as champion, but not latest or v1."
        )
    version = show_version(store, reference)
    with _fetched(store, version) as bundle:
        evaluated, caution = bool(bundle.manifest.metrics), _caution(bundle)
    if not evaluated and not unevaluated:
        raise BundleError(
            version.uri,
            "was never evaluated, so its accuracy is unknown",
            "Evaluate its run, then bundle and register it again; or add --unevaluated.",
        )
    with in_our_words(store):
        client = client_of(store)
        before = next((one.version for one in versions_of(client, version.name) if alias in one.aliases), None)
        if not dry_run and before != version.version:
            client.set_registered_model_tag(version.name, f"{PREVIOUS_TAG}{alias}", str(before or ""))
            client.set_registered_model_alias(version.name, alias, str(version.version))
    return Promotion(version, alias, before, caution)


def _caution(bundle: Bundle) -> str:
    training = bundle.manifest.training
    if training is None or not training.same_patient or not bundle.manifest.metrics:
        return ""
    return (
        f"the figures on its card are too high: {counted(len(training.same_patient), 'test patient')} also trained"
        f" (protocol {training.protocol})"
    )


def fetch_bundle(store: Store, reference: ModelReference) -> Path:
    """The local folder of a registered bundle, verified against what was registered.

    It is kept in the user's cache (XDG_CACHE_HOME, else ~/.cache) under its identity, and fetched once.

    Parameters
    ----------
    store
        The store with the registry.
    reference
        Name with version or alias.

    Raises
    ------
    TrackingError
        There is no such version; the store does not answer or refuses.
    BundleError
        The bundle is damaged, or is not the one that was registered.
    """
    version = show_version(store, reference)
    if version.identity is None:
        raise BundleError(version.uri, "is not a GlioMap bundle", "Name a model that `gliomap models register` made.")
    cache = user_folder("XDG_CACHE_HOME", ".cache") / "models" / version.identity
    if cache.is_dir() and _is(cache, version.identity):
        return cache
    with _fetched(store, version) as bundle, atomic_folder(cache, overwrite=True) as folder:
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
    return cache


def _register(client: MlflowClient, store: Store, bundle: Bundle, name: str, run_id: str) -> RegisteredVersion:
    known = _version_of(client, store, name, bundle)
    if known is not None:
        return known
    from mlflow.exceptions import MlflowException

    source = f"{client.get_run(run_id).info.artifact_uri}/{model_path(bundle)}"
    if not versions_of(client, name):
        try:
            client.create_registered_model(name)
        except MlflowException:
            # Another process may have created it in between, or it exists without versions.
            client.get_registered_model(name)
    made = client.create_model_version(name, source, run_id, tags={IDENTITY_TAG: bundle.identity})
    return replace(registered(made, ()), new=True)


def _version_of(client: MlflowClient, store: Store, name: str, bundle: Bundle) -> RegisteredVersion | None:
    """The version of this model that holds exactly this bundle.

    Raises
    ------
    UsageError
        MLflow does not accept the name.
    TrackingError
        The model holds something other than bundles.
    """
    if not re.fullmatch(r"[\w. -]+", name):
        raise UsageError(
            f"model name {name!r}",
            "contains a character that is not allowed, or is empty",
            "Use letters, digits, '_', '-' and '.'.",
        )
    versions = versions_of(client, name)
    if any(one.identity is None for one in versions):
        raise TrackingError(
            f"model {name!r} in {store.name}",
            "was not registered by GlioMap",
            "Choose another name with --name.",
        )
    return next((one for one in versions if one.identity == bundle.identity), None)


@contextmanager
def _fetched(store: Store, version: RegisteredVersion) -> Iterator[Bundle]:
    """The bundle of a version in a temporary folder, verified.

    Raises
    ------
    BundleError
        The bundle is damaged, or is not the one that was registered.
    """
    with tempfile.TemporaryDirectory() as temporary:
        with in_our_words(store):
            place = _download(store, version, Path(temporary))
        try:
            bundle = open_bundle(place / BUNDLE_FOLDER)
        except BundleError as error:
            raise BundleError(
                version.uri,
                f"is damaged in the registry: {error.fault}",
                _ANEW,
            ) from error
        if bundle.identity != version.identity:
            raise BundleError(
                version.uri,
                f"holds bundle {bundle.identity[:12]}, but {str(version.identity)[:12]} was registered: it was altered",
                "Do not use it. Register the right bundle again, and find out who changed the files.",
            )
        yield bundle


def _download(store: Store, version: RegisteredVersion, folder: Path) -> Path:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(artifact_uri=version.source, dst_path=str(folder), tracking_uri=store.uri))
    except (OSError, MlflowException) as error:
        if isinstance(error, MlflowException) and not re.search("No such artifact|404|does not exist", str(error)):
            raise
        raise BundleError(version.uri, f"its files are no longer at {version.source}", _ANEW) from error


def _is(path: Path, identity: str) -> bool:
    """Whether a folder holds this bundle, intact."""
    try:
        return open_bundle(path).identity == identity
    except BundleError:
        return False
