"""The run folder: what a training leaves behind, and the way back in.

`RUN/run.json` says what was done, `split.json` on whom, `history.json` how it went; `model.safetensors`
holds the weights. While training goes on the folder is called `running_NAME` and also holds
`checkpoint.safetensors` and, from the second training on all patients, `checkpoint-refit.safetensors`.

A protocol of several folds has `splits.json` instead of `split.json`, and a run folder of this kind for each fold in
`folds/`.
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
        """Who trained, validated and tested in every fold.

        Raises
        ------
        RunError
            They are not those that run.json names.
        StudyError
            The file is missing or damaged.
        """
        folds = Folds.load(self.path / (SPLITS if self.record.folds else SPLIT))
        if self.record.folds and folds.fingerprint != self.record.split_fingerprint:
            raise RunError(self.path / SPLITS, "holds not the folds that run.json names", "Train again.")
        return folds

    def split(self) -> Split:
        """Who trained, validated and tested.

        Raises
        ------
        RunError
            It is not the one that run.json names.
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
        """Patients that the weights were learned from: those who validated too, where it was trained afresh on all."""
        split, roles = self.split(), ("train", "validation") if self.history().refit else ("train",)
        return tuple(sorted({patient for role in roles for patient in split.patients_of(role)}))

    def kept_aside(self) -> tuple[str, ...]:
        """Patients who decided when to stop, or calibrated, and whose pixels the weights were not learned from."""
        return tuple(sorted(set(self.split().patients_of("validation")) - set(self.learned())))

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
        found = study_folder(self.path, self.record)
        if found is None:
            raise RunError(self.path, f"its study is not at {self.record.study.path} any more", "Name it with --study.")
        return open_study(found)


def whole_run(folder: Path) -> Path:
    """The run that a folder belongs to: itself, or the one that it is a fold of."""
    around = folder.parent.parent
    return around if folder.parent.name == FOLDS and (around / RECORD).is_file() else folder


def is_tracked(folder: Path) -> bool:
    """Whether commands mirror a run folder that say nothing of it; of a fold, what holds for its run.

    Raises
    ------
    RunError
        The folder is no run, or damaged.
    """
    return read_record(whole_run(folder.resolve())).tracked


def study_folder(folder: Path, record: RunRecord) -> Path | None:
    """The study of a run folder: the one around `runs/`, else where it was then; None where neither is there."""
    run = whole_run(folder.resolve())
    around = [run.parent.parent] if run.parent.name == RUNS else []
    return next((place for place in (*around, Path(record.study.path)) if is_study(place)), None)


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
        raise RunError(folder, "is not finished", UNFINISHED)
    return Run(folder, record)
