"""Sends a run folder to MLflow, or what has changed in it since; repeating this changes nothing.

`RUN/tracking.json` records what each store holds, so a run that is in step costs no request to the server.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gliomap._files import write_json
from gliomap.errors import TrackingError
from gliomap.tracking._content import RUN_TAG, RunContent, read_content, settled
from gliomap.tracking._folder import alone_in
from gliomap.tracking._journal import Epoch, milliseconds
from gliomap.tracking._mlflow import client_of, in_our_words
from gliomap.tracking._mlflow_model import model_path, write_mlflow_model
from gliomap.tracking._store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["STATE", "Sender", "Sent", "experiment_of"]

STATE = "tracking.json"

T = TypeVar("T")

_SMALL, _LARGE = 100, 900
"""How many parameters or tags, and how many metrics, MLflow accepts at once."""

_CURVES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_macro_recall",
    "learning_rate",
)


class _Held(BaseModel):
    """What one store holds of a run."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    digest: str = ""
    files: dict[str, str] = {}
    bundle: str | None = None
    epochs: int | None = None


class _State(BaseModel):
    """The content of tracking.json: store → what it holds."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    stores: dict[str, _Held] = {}


_Told = dict[tuple[str, str], str]
"""Parameter, tag or status → value: what this process has sent to a store and need not send again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of sending one run.

    Attributes
    ----------
    run_id
        The run's id in MLflow.
    changed
        Whether anything had to be sent for the run or one of its folds.
    """

    run_id: str
    changed: bool


class Sender:
    """Keeps a store in step with run folders.

    Parameters
    ----------
    store
        The store to send to.
    alive
        Called before each step, as a sign of life for a listener.
    """

    def __init__(self, store: Store, alive: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._alive = alive
        self._known: dict[str, _Held] = {}
        self._told: dict[str, _Told] = {}

    def send(self, folder: Path, *, again: bool = False, stopped: bool = False) -> Sent:
        """Send what has changed in a run folder and in its folds.

        Parameters
        ----------
        folder
            The folder of a whole run, finished or not.
        again
            Query the store even if it is known to be in step, and send all files again.
        stopped
            The run is not finished, but no process is training it any more.

        Raises
        ------
        TrackingError
            The store does not answer, or refuses.
        RunError
            The folder is not a run, or is damaged.
        """
        with in_our_words(self._store):
            return self._send(folder, None, again=again, stopped=stopped)

    def connect(self) -> None:
        """Prepare everything for sending.

        Raises
        ------
        TrackingError
            The store cannot be opened; only sending shows whether a server answers.
        """
        with in_our_words(self._store):
            client_of(self._store)

    def abandon(self) -> None:
        """Mark the unfinished runs as killed: nothing more will be sent for them."""
        with in_our_words(self._store):
            for held in self._known.values():
                client_of(self._store).update_run(held.run_id, status="KILLED")

    def _send(self, folder: Path, parent: str | None, *, again: bool, stopped: bool) -> Sent:
        self._alive()
        # Two processes that send the same run at once would each create it in the store: the second waits, and finds it.
        with alone_in(folder):
            content = read_content(folder)
            held = self._held(folder, content)
            digest = f"{content.digest()} {stopped and not content.done}"
            changed = False
            if again or held is None or held.digest != digest:
                changed = True
                client = client_of(self._store)
                # Only after a success is the run assumed to be still there.
                told = self._told.pop(content.record.identity, None)
                if held is None or told is None or again:
                    # With `again` nothing is assumed: files may have been lost or altered in the store.
                    held, told = self._run_of(client, content, None if again else held, parent), {}
                try:
                    self._send_changes(client, content, held, told, stopped=stopped)
                    held.digest = digest
                    self._told[content.record.identity] = told
                finally:
                    self._remember(folder, content, held)
        folds = [self._send(fold, held.run_id, again=again, stopped=stopped) for fold in content.folds]
        return Sent(held.run_id, changed or any(fold.changed for fold in folds))

    def _send_changes(
        self, client: MlflowClient, content: RunContent, held: _Held, told: _Told, *, stopped: bool
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(*new) for new in _news(told, "param", content.params)]
        tags = [RunTag(*new) for new in _news(told, "tag", content.tags)]
        for some, others in zip_longest(_portions(params, _SMALL), _portions(tags, _SMALL), fillvalue=()):
            self._alive()
            client.log_batch(held.run_id, params=some, tags=others)
        if held.epochs is None:
            held.epochs = max((one.step for one in client.get_metric_history(held.run_id, "train_loss")), default=0)
        new = [epoch for epoch in content.epochs if epoch.record.epoch > held.epochs]
        for epochs in _portions(new, _LARGE // len(_CURVES)):
            self._alive()
            client.log_batch(held.run_id, metrics=[Metric(*point) for epoch in epochs for point in _points(epoch)])
            held.epochs = epochs[-1].record.epoch
        whole = [Metric(name, value, at, 0) for name, (value, at) in content.metrics.items()]
        for metrics in _portions([*whole, *(Metric(*point) for point in _refit(content))], _LARGE):
            self._alive()
            client.log_batch(held.run_id, metrics=metrics)
        self._send_files(client, content, held)
        self._alive()
        if content.record.finished_at is not None:
            client.set_terminated(held.run_id, "FINISHED", milliseconds(content.record.finished_at))
            return
        for _, status in _news(told, "run", {"status": "KILLED" if stopped else "RUNNING"}):
            client.update_run(held.run_id, status=status)

    def _send_files(self, client: MlflowClient, content: RunContent, held: _Held) -> None:
        for name, stamp in content.stamps().items():
            if held.files.get(name) != stamp:
                self._alive()
                client.log_artifact(held.run_id, str(content.files[name]), str(Path(name).parent).lstrip("."))
                held.files[name] = stamp
        bundle = content.bundle
        if bundle is not None and held.bundle != bundle.identity:
            with tempfile.TemporaryDirectory() as temporary:
                write_mlflow_model(bundle, Path(temporary))
                self._alive()
                client.log_artifacts(held.run_id, temporary, model_path(bundle))
            held.bundle = bundle.identity

    def _run_of(self, client: MlflowClient, content: RunContent, held: _Held | None, parent: str | None) -> _Held:
        """The run in MLflow: the known one if it is still there, else the one with our tag, else a new one."""
        record, experiment = content.record, self._experiment(client, content.record.study.name)
        found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{record.identity}'", max_results=1)
        if found:
            run_id = found[0].info.run_id
            return held if held is not None and held.run_id == run_id else _Held(run_id=run_id)
        given = None if parent else _given_run(client)
        if given is not None:
            client.set_tag(given, RUN_TAG, record.identity)
            return _Held(run_id=given)
        tags = {RUN_TAG: record.identity} | ({"mlflow.parentRunId": parent} if parent else {})
        run = client.create_run(experiment, milliseconds(record.started_at), tags, record.name)
        return _Held(run_id=run.info.run_id)

    def _experiment(self, client: MlflowClient, study: str) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study
        return experiment_of(client, self._store, name)

    def _held(self, folder: Path, content: RunContent) -> _Held | None:
        known = self._known.get(content.record.identity)
        if known is None and settled(folder):
            known = _read_state(folder).stores.get(self._store.name)
        return known

    def _remember(self, folder: Path, content: RunContent, held: _Held) -> None:
        self._known[content.record.identity] = held
        if not settled(folder) or not folder.is_dir():
            # The folder may get its final name at any moment; writing under the old one would create a second folder.
            return
        state = _read_state(folder)
        state.stores[self._store.name] = held
        write_json(folder / STATE, state.model_dump(mode="json"))


def experiment_of(client: MlflowClient, store: Store, name: str) -> str:
    """The id of the experiment with this name, which is created if necessary."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=_artifacts(store, name))
        except MlflowException:
            # Another process may have created it in between; if not, the error was real.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"experiment {name!r} in {store.name}",
            "was deleted there",
            f"Restore it (mlflow experiments restore -x {found.experiment_id}), or set MLFLOW_EXPERIMENT_NAME.",
        )
    return str(found.experiment_id)


def _artifacts(store: Store, name: str) -> str | None:
    return None if store.artifacts is None else f"{store.artifacts}/{''.join(c if c.isalnum() else '_' for c in name)}"


def _given_run(client: MlflowClient) -> str | None:
    """The run that was opened for this process by its starter, as Azure Machine Learning does for a job."""
    given = os.environ.get("MLFLOW_RUN_ID")
    if not given:
        return None
    return given if RUN_TAG not in client.get_run(given).data.tags else None


def _points(epoch: Epoch) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, time and step of each metric of an epoch."""
    record = asdict(epoch.record)
    for name in _CURVES:
        if record[name] is not None:
            yield name, float(record[name]), epoch.time_ms, epoch.record.epoch


def _refit(content: RunContent) -> Iterator[tuple[str, float, int, int]]:
    """The same for the second training, whose epochs have no times of their own."""
    finished = content.record.finished_at
    if finished is not None:
        for record in content.refit:
            yield "refit_loss", record.train_loss, milliseconds(finished), record.epoch
            yield "refit_accuracy", record.train_accuracy, milliseconds(finished), record.epoch


def _news(told: _Told, kind: str, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """The values not sent yet. They count as sent from now on; if sending fails, the caller drops `told`."""
    news = [(name, value) for name, value in values.items() if told.get((kind, name)) != value]
    told.update({(kind, name): value for name, value in news})
    return news


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _read_state(folder: Path) -> _State:
    """The recorded state; empty if the file is missing or of another version, and then the store is queried."""
    try:
        return _State.model_validate_json((folder / STATE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return _State()
