"""Which tracking store to use: the one that was named, else the study's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from gliomap._secrets import without_secrets
from gliomap.errors import MissingExtraError, TrackingError, UsageError
from gliomap.tracking._database import database_path, database_uri

__all__ = [
    "SAID_NONE",
    "SAID_NOTHING",
    "Store",
    "Tracking",
    "find_store",
    "nearest_store",
    "store_of_run",
    "store_of_study",
]

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""In the study folder: its own store, and the folder for that store's files."""

_SCHEMES = ("sqlite", "http", "https", "azureml")


@dataclass(frozen=True, slots=True)
class Store:
    """A tracking store and model registry.

    Attributes
    ----------
    uri
        The URI for MLflow; it may contain a password.
    artifacts
        URI of the folder for the files of new experiments; None leaves that to the server.
    """

    uri: str = field(repr=False)
    artifacts: str | None = None

    @property
    def name(self) -> str:
        """The URI without secrets, for messages and files."""
        return without_secrets(self.uri)


@dataclass(frozen=True, slots=True)
class Tracking:
    """The tracking settings of a training.

    Attributes
    ----------
    store
        Where the training is mirrored; None for nowhere.
    named
        Whether the store was named for this training. Only then does the run remember it: later commands also leave out a
        run that was trained with 'none'.
    """

    store: Store | None = None
    named: bool = False

    @classmethod
    def of(cls, asked: str | None, study: Path) -> Tracking:
        """The settings given by `--tracking`, else by what `find_store` finds; parameters and errors as of `find_store`."""
        return cls(find_store(asked, study), bool(asked))

    def remembered(self, before: bool) -> bool:
        """The new value of `tracked` in the run's record."""
        return self.store is not None if self.named else before


SAID_NOTHING, SAID_NONE = Tracking(), Tracking(named=True)
"""The settings without `--tracking` if there is no store, and with `--tracking none`."""


def find_store(asked: str | None, study: Path | None = None, environ: Mapping[str, str] = os.environ) -> Store | None:
    """The store to use; None if nothing is mirrored.

    Parameters
    ----------
    asked
        A URI, or 'none'; by default the value of MLFLOW_TRACKING_URI, else the SQLite store of `study`, if MLflow is
        installed.
    study
        The study folder.

    Raises
    ------
    UsageError
        MLflow would take the URI for a folder, or it names no database file.
    MissingExtraError
        A store is requested, but MLflow is not installed.
    """
    uri = asked or environ.get("MLFLOW_TRACKING_URI") or None
    if uri == "none":
        return None
    installed = find_spec("mlflow") is not None
    if uri is None:
        return store_of_study(study) if installed and study is not None else None
    if not installed:
        raise MissingExtraError("Tracking with MLflow", "track")
    scheme = urlsplit(uri).scheme
    if scheme not in _SCHEMES:
        raise UsageError(
            f"tracking store {without_secrets(uri)}",
            "is not of a kind that GlioMap supports",
            "Give sqlite:///FILE.db, the http(s) address of an MLflow server, an azureml:// address, or 'none'.",
        )
    if scheme != "sqlite":
        return Store(uri)
    path = database_path(uri)
    if path is None:
        raise UsageError(f"tracking store {uri}", "names no file", "Give sqlite:///FILE.db.")
    return _store_in(path)


def store_of_run(folder: Path, asked: str | None, study: Path | None = None) -> Store | None:
    """The store that a run is mirrored in: as `find_store` with `study` or, by default, the run's own study.

    A run that was trained with 'none' has no store, unless `asked` names one.

    Parameters
    ----------
    folder
        The run folder.
    asked, study
        As of `find_store`.

    Raises
    ------
    RunError
        The folder is not a run.
    GlioMapError
        As `find_store`.
    """
    from gliomap.tracking._record import read_record
    from gliomap.tracking._run import is_tracked, study_folder

    record = read_record(folder)
    if not asked and not is_tracked(folder):
        return None
    return find_store(asked, study or study_folder(folder, record))


def store_of_study(study: Path) -> Store:
    """The SQLite store of a study."""
    return _store_in(study / DATABASE)


def _store_in(path: Path) -> Store:
    return Store(database_uri(path), (path.absolute().parent / ARTIFACTS).as_uri())


def nearest_store(asked: str | None, study: Path | None = None, environ: Mapping[str, str] = os.environ) -> Store:
    """A store to read models from: as `find_store`, else that of a study around or in the working folder.

    Parameters
    ----------
    asked, study, environ
        As of `find_store`.

    Raises
    ------
    TrackingError
        No store is found, or several are.
    MissingExtraError
        MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise MissingExtraError("The model registry", "track")
    named = find_store(asked, study, environ)
    if named is not None:
        return named
    here = Path.cwd()
    around = [folder for folder in (here, *here.parents) if (folder / DATABASE).is_file()][:1]
    found = around or [path.parent for path in sorted(here.glob(f"*/{DATABASE}"))]
    if len(found) == 1:
        return store_of_study(found[0])
    told = (
        "there are several: " + ", ".join(str(path) for path in found)
        if found
        else "none is named, and there is none here"
    )
    raise TrackingError("model registry", told, "Name one with --tracking URI or MLFLOW_TRACKING_URI.")
