"""The run folder: what a training leaves behind, and the way back in.

`RUN/run.json` says what was done, `split.json` on whom, `history.json` how it went; `model.safetensors`
holds the weights. While training goes on the folder is called `running_NAME` and also holds
`checkpoint.safetensors` and, from the second training on all patients, `checkpoint-refit.safetensors`.

A protocol of several folds has `splits.json` instead of `split.json`, and a run folder of this kind for each fold in
`folds/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gliomap._files import write_json
from gliomap.errors import GlioMapError, OutputExistsError, RunError
from gliomap.learning import History, TissueModel, TrainingConfig, load_model
from gliomap.preprocessing import PreprocessingConfig
from gliomap.studies import Folds, Split, Study, is_study, open_study
from gliomap.taxonomy import ClassSet

__all__ = [
    "CHECKPOINT",
    "FOLDS",
    "HISTORY",
    "MODEL",
    "RECORD",
    "REFIT_CHECKPOINT",
    "ROLES",
    "RUNNING",
    "RUNS",
    "SPLIT",
    "SPLITS",
    "Environment",
    "ModelRecord",
    "Run",
    "RunRecord",
    "SensorRecord",
    "StudyRecord",
    "environment",
    "finish_folder",
    "lock_folder",
    "open_run",
    "read_record",
    "write_history",
    "write_record",
]

RUNNING = "running_"
"""Prefix of a folder in which a training is not finished."""

CHECKPOINT = "checkpoint.safetensors"
REFIT_CHECKPOINT = "checkpoint-refit.safetensors"
RUNS = "runs"
ROLES = ("train", "validation", "test")
RECORD, SPLIT, HISTORY, MODEL, LOCK = "run.json", "split.json", "history.json", "model.safetensors", ".lock"
SPLITS, FOLDS = "splits.json", "folds"

PACKAGES = ("gliomap", "numpy", "torch", "scikit-learn", "scipy", "safetensors")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudyRecord(_Record):
    """The study: its name, where it was, and a SHA-256 over the hashes of the files that were used."""

    name: str
    path: str
    fingerprint: str


class SensorRecord(_Record):
    """The camera, where one is known."""

    name: str
    fingerprint: str


class ModelRecord(_Record):
    """The model; `title` is its name in files and figures of the thesis."""

    name: str
    title: str
    window: int
    n_bands: int
    hidden: int | None = None


class Environment(_Record):
    """Where it was trained: versions of packages, commit of GlioMap's source where that is a checkout."""

    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = None


class RunRecord(_Record):
    """The content of run.json.

    Attributes
    ----------
    format
        Version of this format.
    status
        'running', or 'done' once the folder has its final name.
    name, version
        Of the run; `version` counts the runs of one study that share model, protocol and test.
    protocol
        How captures were assigned; who is where stands in split.json.
    started_at, finished_at
        With time zone.
    study, sensor, preprocessing, wavelengths_nm
        What the spectra are; wavelengths (nm) and sensor are None where unknown.
    model, classes, training
        What was trained, to tell what apart, and how.
    hints
        Choices that GlioMap made by itself, for people: who was held out or validates.
    split_fingerprint
        As in split.json.
    labelled
        Role → class name → labelled pixels that were used (in 'test', that the map has).
    masked
        Role → labelled pixels left out because their spectrum is invalid.
    ignored_codes
        Role → code outside the classes → pixels.
    notes
        What a reader of the result should know.
    epochs, best_epoch, stopped
        Epochs done with validation, the best of them, and why training ended.
    seconds
        Wall time of the process that finished it, reading included.
    folds
        Of a protocol of several folds: their names, each a run folder of its own in `folds/`; else empty.
    chosen
        Of those, the folds whose models are tested: all, or in double-cv the best inner one of each outer fold.
    kept
        The fold whose model the run stands for.
    environment
        See `Environment`.
    """

    format: Literal[1] = 1
    status: Literal["running", "done"] = "running"
    name: str
    version: int
    protocol: str
    started_at: datetime
    finished_at: datetime | None = None
    study: StudyRecord
    sensor: SensorRecord | None
    preprocessing: PreprocessingConfig
    wavelengths_nm: tuple[float, ...] | None = None
    model: ModelRecord
    classes: ClassSet
    training: TrainingConfig
    split_fingerprint: str
    hints: tuple[str, ...] = ()
    labelled: dict[str, dict[str, int]] = {}
    masked: dict[str, int] = {}
    ignored_codes: dict[str, dict[int, int]] = {}
    notes: tuple[str, ...] = ()
    epochs: int = 0
    best_epoch: int = 0
    stopped: str = ""
    seconds: float = 0.0
    folds: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    kept: str | None = None
    environment: Environment


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path
        Its folder.
    record
        The content of its run.json.
    """

    path: Path
    record: RunRecord

    def fold(self, name: str) -> Run:
        """One fold of a run that has several, or the model on all patients ('final').

        Raises
        ------
        RunError
            It is not there or not finished.
        """
        return open_run(self.path / FOLDS / name)

    def tested(self) -> dict[str, Run]:
        """Fold → the run whose model its test captures are tested with; one without a name where there are no folds."""
        return {name: self.fold(name) for name in self.record.chosen} if self.record.folds else {"": self}

    @property
    def model_run(self) -> Run:
        """The run folder that holds the model: this one, or the fold that is kept.

        Raises
        ------
        RunError
            Trained without a final model.
        """
        if not self.record.folds:
            return self
        if self.record.kept is None:
            raise RunError(
                self.path,
                "has a model for each fold but none on all patients",
                "Train without --no-final, or name a fold: RUN/folds/NAME.",
            )
        return self.fold(self.record.kept)

    def folds(self) -> Folds:
        """Who trained, validated and tested in every fold."""
        folds = Folds.load(self.path / (SPLITS if self.record.folds else SPLIT))
        if self.record.folds and folds.fingerprint != self.record.split_fingerprint:
            raise RunError(self.path / SPLITS, "holds not the folds that run.json names", "Train again.")
        return folds

    def split(self) -> Split:
        """Who trained, validated and tested."""
        split = Split.load(self.path / SPLIT)
        if split.fingerprint != self.record.split_fingerprint:
            raise RunError(self.path / SPLIT, "is not the split that run.json names", "Train again.")
        return split

    def history(self) -> History:
        """Learning curves.

        Raises
        ------
        RunError
            history.json is missing or damaged.
        """
        path = self.path / HISTORY
        try:
            return TypeAdapter(History).validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(path, "is not there", "Train again.") from error
        except ValidationError as error:
            raise RunError(path, f"is damaged: {_first_fault(error)}", "Train again.") from error

    def model(self) -> TissueModel:
        """The trained model."""
        return load_model(self.path / MODEL, self.record.model.name)

    def study(self, path: str | Path | None = None) -> Study:
        """The study it was trained on: `path`, else the folder around `runs/`, else where it was then.

        Raises
        ------
        RunError
            Nowhere to be found.
        """
        if path is not None:
            return open_study(path)
        folder = self.path.resolve()
        # A fold lies in its run's folder `folds`.
        run = folder.parent.parent if folder.parent.name == FOLDS else folder
        around = [run.parent.parent] if run.parent.name == RUNS else []
        for place in (*around, Path(self.record.study.path)):
            if is_study(place):
                return open_study(place)
        raise RunError(self.path, f"its study is not at {self.record.study.path} any more", "Name it with --study.")


def open_run(path: str | Path) -> Run:
    """Open a finished run folder.

    Raises
    ------
    RunError
        No such folder, no run.json in it, a damaged one, or a run that is not finished.
    """
    folder = Path(path)
    record = read_record(folder)
    if record.status != "done" or folder.name.startswith(RUNNING):
        raise RunError(
            folder, "is not finished", "Give the command that began it again, with --resume, or wait until it ends."
        )
    return Run(folder, record)


def read_record(folder: Path) -> RunRecord:
    """The run.json of a run folder, finished or not.

    Raises
    ------
    RunError
        Missing or damaged.
    """
    path = folder / RECORD
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        fault = "holds no run.json" if folder.is_dir() else "is not there"
        raise RunError(folder, fault, "Give a run folder as `gliomap train` makes it.") from error
    except ValidationError as error:
        raise RunError(path, f"is damaged or of a newer format: {_first_fault(error)}", "Train again.") from error
    except GlioMapError as error:
        raise RunError(path, f"is damaged: {error.thing} {error.fault}", "Train again.") from error


def write_record(folder: Path, record: RunRecord) -> None:
    """Write run.json, atomically."""
    write_json(folder / RECORD, record.model_dump(mode="json"))


def write_history(folder: Path, history: History) -> None:
    """Write history.json, atomically."""
    write_json(folder / HISTORY, TypeAdapter(History).dump_python(history, mode="json"))


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a running folder for this process; the system lets go of it when the process ends, however it ends.

    Raises
    ------
    RunError
        Another process is training there.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(folder, "is being trained by another process", "Wait until that one ends.") from error
        yield
    finally:
        os.close(descriptor)


def finish_folder(running: Path, final: Path, *, overwrite: bool) -> None:
    """Give a running folder its final name; what only training needed goes."""
    for name in (CHECKPOINT, REFIT_CHECKPOINT, LOCK):
        (running / name).unlink(missing_ok=True)
    if final.exists() and not overwrite:
        raise OutputExistsError(final, f"appeared during training; the result is in {running}", "Rename it by hand.")
    replaced = final.with_name(f".{final.name}-replaced")
    if final.exists():
        final.replace(replaced)
    running.rename(final)
    shutil.rmtree(replaced, ignore_errors=True)


def environment() -> Environment:
    """Versions of this process, and the commit of GlioMap's source where git knows it."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Environment(
        python=sys.version.split()[0], platform=sys.platform, packages=packages, commit=_commit(Path(__file__).parent)
    )


def _commit(source: Path) -> str | None:
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"{'.'.join(str(step) for step in fault['loc']) or 'file'}: {fault['msg']}"
