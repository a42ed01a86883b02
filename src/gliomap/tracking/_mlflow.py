"""MLflow, imported when first needed: quiet, without telemetry, and with its errors translated into ours."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from gliomap._secrets import without_secrets
from gliomap.errors import MachineError, MissingExtraError, TrackingError
from gliomap.tracking._database import database_path, is_database, make_database
from gliomap.tracking._moved import follow_move
from gliomap.tracking._store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["LATER", "client_of", "in_our_words", "leave_out_extras", "load_mlflow", "reader_of"]

LATER = "nothing is lost: `gliomap runs sync` sends it later"

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # These detect a server that is down within seconds; MLflow's own defaults take minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}

_ELSEWHERE = "Choose another folder, correct its permissions, or name another store with --tracking URI"

_OF_DATABASES = (
    ("readonly database", "is not writable", _ELSEWHERE),
    ("file is not a database", "is not a database", "Move that file away; a new one is created"),
    (
        "out-of-date database schema",
        "was made by another version of MLflow",
        "Install that version, or update an older one's database: mlflow db upgrade URI",
    ),
)
"""Message of a database → fault and remedy."""

_EXTRAS = ("pandas", "polars", "azureml")
"""Packages that MLflow loads if they are installed: for data tables, and its Azure plugin."""


class _Absent(MetaPathFinder):
    """Makes packages appear not to be installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Return None to let other finders look, as Python's protocol requires."""
        del path, target
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)


def leave_out_extras(store: Store) -> None:
    """Make MLflow load faster in our process that only sends runs to this store, by hiding packages it never uses there."""
    names = [name for name in _EXTRAS if not store.uri.startswith(name)]
    sys.meta_path.insert(0, _Absent(names))


@lru_cache(maxsize=1)
def load_mlflow() -> Any:
    """Import the module.

    Raises
    ------
    MissingExtraError
        MLflow is not installed.
    MachineError
        This user has no home folder.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        # Errors reach the user once, translated; MLflow would first log them with a traceback.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of MLflow and its dependencies about each other
            import mlflow
    except ImportError as error:
        raise MissingExtraError("Tracking with MLflow", "track") from error
    except RuntimeError as error:  # raised by Python if there is none
        raise MachineError("MLflow", "needs a home folder, but this user has none", "Set HOME to a folder.") from error
    return mlflow


@lru_cache(maxsize=8)
def _client(uri: str) -> MlflowClient:
    path = database_path(uri)
    if path is not None:
        make_database(path, _open)
        follow_move(path)
    return _open(uri)


def _open(uri: str) -> MlflowClient:
    client: MlflowClient = load_mlflow().MlflowClient(uri, uri)
    return client


def client_of(store: Store) -> MlflowClient:
    """A client for the store's tracking and its registry; to be used within `in_our_words`."""
    try:
        return _client(store.uri)
    except OSError as error:
        raise TrackingError(
            f"tracking store {store.name}", f"cannot be created ({error.strerror})", f"{_ELSEWHERE}; {LATER}."
        ) from error


def reader_of(store: Store) -> MlflowClient:
    """As `client_of`, but only for reading: a missing database is not created.

    Raises
    ------
    TrackingError
        The database is missing.
    """
    path = database_path(store.uri)
    if path is not None and not is_database(path):
        raise TrackingError(
            f"tracking store {store.name}",
            "is empty" if path.exists() else "does not exist",
            "Name another with --tracking URI; `gliomap models register` and `gliomap runs sync` create one.",
        )
    return client_of(store)


@contextmanager
def in_our_words(store: Store) -> Iterator[None]:
    """Turn errors of MLflow, its database and its connections into `TrackingError`."""
    load_mlflow()
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as above
            yield
    except MlflowException as error:
        raise _translated(store, error.get_http_status_code(), str(error)) from error
    except (RequestException, SQLAlchemyError) as error:
        raise _translated(store, 0, str(error)) from error


def _translated(store: Store, status: int, told: str) -> TrackingError:
    told = without_secrets(" ".join(told.split()))
    thing = f"tracking store {store.name}"
    answered = re.search(r"error code (\d{3})|too many (\d{3}) error responses", told)
    if answered:
        status = int(answered[1] or answered[2])
    if status in (401, 403):
        return TrackingError(
            thing,
            "refuses these credentials" if status == 403 else "needs valid credentials, or the token has expired",
            "Sign in again, or set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
    if answered and (status == 429 or status >= 500):
        return TrackingError(thing, f"cannot answer now (HTTP {status})", f"See its log; {LATER}.")
    if re.search("failed with exception|Max retries|Connection", told):
        return TrackingError(thing, "does not answer", f"Check the address and the network; {LATER}.")
    for sign, fault, remedy in _OF_DATABASES:
        if sign in told:
            return TrackingError(thing, fault, f"{remedy}; {LATER}.")
    short = told if len(told) <= 300 else told[:300] + " …"
    return TrackingError(
        thing, f"refused the request ({short.rstrip('.')})", "Check the store; repeating the command is safe."
    )
