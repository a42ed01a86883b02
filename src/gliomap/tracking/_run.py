"""The run folder: what a training leaves behind, and how to open it.

`RUN/run.json` records what was done, `split.json` on which patients, `history.json` how it went; `model.safetensors`
holds the weights. During training the folder is called `running_NAME` and also holds `checkpoint.safetensors` and, from
the second training on all patients, `checkpoint-refit.safetensors`.

A protocol with several folds has `splits.json` instead of `split.json`, and such a run folder for each fold in `folds/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gliomap.errors import RunError
from gliomap.learning import History, TissueModel, load_model
from gliomap.studies import Folds, Split, Study, is_study, open_study
from gliomap.tracking._folder import UNFINISHED
from gliomap.tracking._journal import read_history
from gliomap.tracking._names import FOLDS, MODEL, RECORD, RUNNING, RUNS, SPLIT, SPLITS
from gliomap.tracking._record import RunRecord, read_record

__all__ = ["Run", "is_tracked", "open_run", "study_folder", "whole_run"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path
        Its folder.
    record
        The content of run.json.
    """

    path: Path
    record: RunRecord

    def fold(self, name: str) -> Run:
        """One fold of a run that has several, or the model on all patients ('final').

        Raises
        ------
        RunError
            The fold is missing or not finished.
        """
        return open_run(self.path / FOLDS / name)

    def tested(self) -> dict[str, Run]:
        """Fold → the run whose model tests its captures; a run without folds is the only entry, under ''."""
        return {name: self.fold(name) for name in self.record.chosen} if self.record.folds else {"": self}

    @property
    def model_run(self) -> Run:
        """The run folder that holds the model: this one, or the fold that is kept.

        Raises
        ------
        RunError
            The run was trained without a final model.
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
        """Who trained, validated and tested in every fold.

        Raises
        ------
        RunError
            They are not the folds that run.json names.
        StudyError
            The file is missing or damaged.
        """
        folds = Folds.load(self.path / (SPLITS if self.record.folds else SPLIT))
        if self.record.folds and folds.fingerprint != self.record.split_fingerprint:
            raise RunError(self.path / SPLITS, "does not hold the folds that run.json names", "Train again.")
        return folds

    def split(self) -> Split:
        """Who trained, validated and tested.

        Raises
        ------
        RunError
            It is not the split that run.json names.
        StudyError
            The file is missing or damaged.
        """
        split = Split.load(self.path / SPLIT)
        if split.fingerprint != self.record.split_fingerprint:
            raise RunError(self.path / SPLIT, "is not the split that run.json names", "Train again.")
        return split

    def history(self) -> History:
        """Learning curves; raises as `read_history`."""
        return read_history(self.path)

    def learned(self) -> tuple[str, ...]:
        """Patients that the weights were learned from, including those who validated if the model was retrained on all."""
        split, roles = self.split(), ("train", "validation") if self.history().refit else ("train",)
        return tuple(sorted({patient for role in roles for patient in split.patients_of(role)}))

    def kept_aside(self) -> tuple[str, ...]:
        """Patients who decided when to stop or who calibrated, but whose pixels the weights were not learned from."""
        return tuple(sorted(set(self.split().patients_of("validation")) - set(self.learned())))

    def model(self) -> TissueModel:
        """The trained model."""
        return load_model(self.path / MODEL, self.record.model.name)

    def study(self, path: str | Path | None = None) -> Study:
        """The study of the run: `path`, else the folder around `runs/`, else the study's path at training time.

        Raises
        ------
        RunError
            The study cannot be found.
        """
        if path is not None:
            return open_study(path)
        found = study_folder(self.path, self.record)
        if found is None:
            raise RunError(self.path, f"its study is no longer at {self.record.study.path}", "Name it with --study.")
        return open_study(found)


def whole_run(folder: Path) -> Path:
    """The run that a folder belongs to: itself, or the run that it is a fold of."""
    around = folder.parent.parent
    return around if folder.parent.name == FOLDS and (around / RECORD).is_file() else folder


def is_tracked(folder: Path) -> bool:
    """Whether commands mirror a run folder without naming a store; for a fold, what holds for its run.

    Raises
    ------
    RunError
        The folder is not a run, or is damaged.
    """
    return read_record(whole_run(folder.resolve())).tracked


def study_folder(folder: Path, record: RunRecord) -> Path | None:
    """The study of a run folder: the one around `runs/`, else its path at training time; None if neither exists."""
    run = whole_run(folder.resolve())
    around = [run.parent.parent] if run.parent.name == RUNS else []
    return next((place for place in (*around, Path(record.study.path)) if is_study(place)), None)


def open_run(path: str | Path) -> Run:
    """Open a finished run folder.

    Raises
    ------
    RunError
        The folder or its run.json is missing or damaged, or the run is not finished.
    """
    folder = Path(path)
    record = read_record(folder)
    if record.status != "done" or folder.name.startswith(RUNNING):
        raise RunError(folder, "is not finished", UNFINISHED)
    return Run(folder, record)
