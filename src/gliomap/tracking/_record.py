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
    """The study: its name, where it was, a SHA-256 over the hashes of the files that were used, and if it is a phantom's."""

    name: str
    path: str
    fingerprint: str
    synthetic: bool = False


class SensorRecord(Fields):
    """The camera, where one is known; `given` is what the command called it, without a file's folder, where it did."""

    name: str
    fingerprint: str
    given: str | None = None


class ModelRecord(Fields):
    """The model; `title` is its name in files and figures of the thesis."""

    name: str
    title: str
    window: int
    n_bands: int
    hidden: int | None = None


class TrainingTimes(Fields):
    """Seconds that the stages of a training took, as the thesis measured them; over all folds together.

    `loading_arguments` is working out what to train on whom: options, study, labels, split. `preparing_train_data`
    reads cubes, `training` fits and saves the model. What is worked out for all folds at once is None in each of them.
    """

    loading_arguments: float | None
    preparing_train_data: float
    training: float


class Environment(Fields):
    """Where it was trained: versions of packages, commit of GlioMap's source where that is a checkout."""

    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = None


class RunRecord(Fields):
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
        Role → class name → labelled pixels that were used (in 'test', that the maps have, or that were dealt to the test).
    masked
        Role → labelled pixels left out because their spectrum is invalid.
    ignored_codes
        Role → code outside the classes → pixels.
    notes
        What a reader of the result should know.
    epochs, best_epoch, stopped
        Epochs done with validation, the best of them, and why training ended.
    seconds
        Wall time, reading included; of a training that was resumed at least that of all its epochs and folds.
    times
        Its stages; null in runs of before they were measured.
    folds
        Of a protocol of several folds: their names, each a run folder of its own in `folds/`; else empty.
    chosen
        Of those, the folds whose models are tested: all, or in double-cv the best inner one of each outer fold.
    kept
        The fold whose model the run stands for.
    tracked
        False where training was told 'none': no later command mirrors the run, unless that names a store.
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
        """Whether validation chose the best epoch; else the last is kept, good or not."""
        return self.training.patience is not None and "validation" in self.labelled

    @property
    def identity(self) -> str:
        """What tells this run from all others, whatever its folder is called; 32 hexadecimal digits."""
        parts = (self.name, self.started_at.isoformat(), self.study.fingerprint, self.split_fingerprint)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


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
        raise no_run(folder) from error
    except ValidationError as error:
        raise RunError(path, f"is damaged or of a newer format: {field_faults(error)}", "Train again.") from error
    except GlioMapError as error:
        raise RunError(path, f"is damaged: {error.thing} {error.fault}", "Train again.") from error


def write_record(folder: Path, record: RunRecord) -> None:
    """Write run.json, atomically."""
    write_json(folder / RECORD, record.model_dump(mode="json"))


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
    """What git knows; on a cluster the machine that sent the code has told it."""
    told_before = os.environ.get(COMMIT_VARIABLE)
    if told_before:
        return told_before
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
