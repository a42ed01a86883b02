"""run.json: what was trained, on what, how and where."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from gliomap._fields import Fields, field_faults
from gliomap._files import write_json
from gliomap.errors import GlioMapError, RunError
from gliomap.learning import TrainingConfig
from gliomap.preprocessing import PreprocessingConfig
from gliomap.taxonomy import ClassSet
from gliomap.tracking._folder import no_run
from gliomap.tracking._names import RECORD

__all__ = [
    "COMMIT_VARIABLE",
    "Environment",
    "ModelRecord",
    "RunRecord",
    "SensorRecord",
    "StudyRecord",
    "TrainingTimes",
    "environment",
    "read_record",
    "write_record",
]

COMMIT_VARIABLE = "GLIOMAP_COMMIT"
PACKAGES = ("gliomap", "numpy", "torch", "scikit-learn", "scipy", "safetensors")


class StudyRecord(Fields):
    """The study: its name, its path, a SHA-256 over the hashes of the files used, and whether it is a phantom."""

    name: str
    path: str
    fingerprint: str
    synthetic: bool = False


class SensorRecord(Fields):
    """The camera, if known; `given` is its name in the command, if one was given, without a file's folder."""

    name: str
    fingerprint: str
    given: str | None = None


class ModelRecord(Fields):
    """The model; `title` is its name in the thesis's files and figures."""

    name: str
    title: str
    window: int
    n_bands: int
    hidden: int | None = None


class TrainingTimes(Fields):
    """Seconds of each stage of a training, as the thesis measured them; over all folds together.

    `loading_arguments` determines what to train on which patients: options, study, labels, split. `preparing_train_data`
    reads cubes. `training` fits and saves the model. A stage done once for all folds is None in each of them.
    """

    loading_arguments: float | None
    preparing_train_data: float
    training: float


class Environment(Fields):
    """Where it was trained: package versions, and the commit of GlioMap's source if that is a checkout."""

    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = None


class RunRecord(Fields):
    """The content of run.json.

    Attributes
    ----------
    format
        Version of the format.
    status
        'running', or 'done' once the folder has its final name.
    name, version
        Name of the run; `version` counts the runs of one study with the same model, protocol and test.
    protocol
        How captures were assigned to roles; split.json records the assignment.
    started_at, finished_at
        Times with time zone.
    study, sensor, preprocessing, wavelengths_nm
        Origin of the spectra; wavelengths (nm) and sensor are None if unknown.
    model, classes, training
        What was trained, for which classes, and how.
    hints
        Choices that GlioMap made itself, as text: who was held out or validates.
    split_fingerprint
        As in split.json.
    labelled
        Role → class name → labelled pixels used (for 'test', those of the maps, or those assigned to the test).
    masked
        Role → labelled pixels left out because their spectrum is invalid.
    ignored_codes
        Role → code outside the classes → pixels.
    notes
        What a reader of the result should know.
    epochs, best_epoch, stopped
        Epochs done with validation, the best of them, and why training ended.
    seconds
        Wall time, including reading; for a resumed training at least that of all its epochs and folds.
    times
        Its stages; null in runs made before they were measured.
    folds
        Names of the folds, each a run folder in `folds/`; empty for a protocol with a single fold.
    chosen
        The folds whose models are tested: all, or in double-cv the best inner one of each outer fold.
    kept
        The fold whose model represents the run.
    tracked
        False if the run was trained with 'none': later commands mirror it only if they name a store.
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
    labelled: dict[str, dict[str, int]] = Field(default={})
    masked: dict[str, int] = Field(default={})
    ignored_codes: dict[str, dict[int, int]] = Field(default={})
    notes: tuple[str, ...] = ()
    epochs: int = 0
    best_epoch: int = 0
    stopped: str = ""
    seconds: float = 0.0
    times: TrainingTimes | None = None
    folds: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    kept: str | None = None
    tracked: bool = True
    environment: Environment

    @property
    def chose_epoch(self) -> bool:
        """Whether validation chose the best epoch; otherwise the last one is kept, good or not."""
        return self.training.patience is not None and "validation" in self.labelled

    @property
    def identity(self) -> str:
        """A unique id of this run, whatever its folder is called: 32 hexadecimal digits."""
        parts = (self.name, self.started_at.isoformat(), self.study.fingerprint, self.split_fingerprint)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def read_record(folder: Path) -> RunRecord:
    """The run.json of a run folder, finished or not.

    Raises
    ------
    RunError
        The file is missing or damaged.
    """
    path = folder / RECORD
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_run(folder) from error
    except ValidationError as error:
        raise RunError(path, f"is damaged or of a newer format: {field_faults(error)}", "Train again.") from error
    except GlioMapError as error:
        raise RunError(path, f"is damaged: {error.thing} {error.fault}", "Train again.") from error


def write_record(folder: Path, record: RunRecord) -> None:
    """Write run.json, atomically."""
    write_json(folder / RECORD, record.model_dump(mode="json"))


def environment() -> Environment:
    """Package versions of this process, and the commit of GlioMap's source if git knows it."""
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
    """The commit from git; on a cluster, the one passed by the machine that sent the code."""
    told_before = os.environ.get(COMMIT_VARIABLE)
    if told_before:
        return told_before
    try:
        commit = _git(source, "describe", "--always", "--abbrev=40", "--exclude=*")
        # Not `describe --dirty`, which writes the checkout's index: a training killed at that moment left its lock behind.
        changed = commit and _git(source, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit or None


def _git(source: Path, *arguments: str) -> str:
    """What git prints about the checkout of `source`, which it leaves as it is."""
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
