"""The plan of a training in several folds, determined before anything is trained or written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gliomap._progress import Track, silent
from gliomap.errors import UsageError
from gliomap.studies import PROTOCOLS, USUAL_FOLDS, Folds, Split, Study, make_folds, refuse_unheeded
from gliomap.workflows._captures_used import require_usable
from gliomap.workflows._options import TrainingOptions
from gliomap.workflows._plan import Ground, TrainingPlan, files_fingerprint, lay_ground, plan_training, tell_hints

__all__ = ["FINAL", "FoldsPlan", "draw_folds", "plan_folds", "plan_protocol"]

logger = logging.getLogger(__name__)

FINAL = "final"
"""Name of the model trained on all patients, after the folds have measured models like it."""

_VALIDATION_APART = ("kfold-patient", "double-cv")
"""Protocols with their own validation part, which is never trained on: in 'kfold-patient' it makes the 60/20/20 split, in
'double-cv' it chooses among the inner models."""

_HOLDING_OUT = ("test_patients", "test_captures", "train_captures", "allow_same_patient")


@dataclass(frozen=True, eq=False)
class FoldsPlan:
    """A training in several folds that is ready to start.

    Attributes
    ----------
    folds
        Who trains, validates and tests in each fold.
    plans
        Fold → its training.
    final
        The training on all patients, for use; None if it was not requested or the protocol keeps one of its folds.
    hints
        Choices that were made by default, and oddities of the study, as text.
    seconds
        Seconds that planning took.
    """

    folds: Folds
    plans: Mapping[str, TrainingPlan]
    final: TrainingPlan | None
    hints: tuple[str, ...]
    seconds: float = 0.0

    @property
    def trainings(self) -> Mapping[str, TrainingPlan]:
        """All trainings by name; the one on all patients is last."""
        return self.plans if self.final is None else {**self.plans, FINAL: self.final}

    @property
    def any(self) -> TrainingPlan:
        """Any one of the plans, for what all have in common."""
        return next(iter(self.plans.values()))

    @property
    def study(self) -> Study:
        """The study that is divided into folds."""
        return self.any.study

    @property
    def warning(self) -> str | None:
        """Why figures of this protocol are too high; None if no patient both trains and tests."""
        return PROTOCOLS[self.folds.protocol].warning

    def only(self, fold: str) -> TrainingPlan:
        """The training of one fold: its name, its number from 1, or 'final' for the model on all patients.

        Raises
        ------
        UsageError
            There is no such fold.
        """
        names = list(self.plans)
        if fold.isdecimal() and 1 <= int(fold) <= len(names):
            fold = names[int(fold) - 1]
        if fold not in self.trainings:
            last = "" if self.final is None else f", or {FINAL}"
            raise UsageError(
                f"fold {fold!r}",
                "is not part of this training",
                f"Choose 1 to {len(names)}, {', '.join(names)[:300]}{last}.",
            )
        return self.trainings[fold]

    def study_fingerprint(self) -> str:
        """SHA-256 over the names and hashes of the files used."""
        return files_fingerprint(self.folds.files)

    def base_name(self) -> str:
        """The run's name without its number."""
        return f"{self.any.kind.name}_{self.folds.protocol}"


def plan_protocol(
    study_path: str | Path, options: TrainingOptions | None = None, track: Track = silent
) -> TrainingPlan | FoldsPlan:
    """Plan a training of any protocol; with a single fold the result is a `TrainingPlan`.

    Parameters
    ----------
    study_path
        The study folder.
    options
        See `TrainingOptions`.
    track
        Receives the progress of the work.

    Raises
    ------
    GlioMapError
        As `plan_training` and `plan_folds`.
    """
    begun = time.perf_counter()
    asked: TrainingOptions = options or {}
    if asked.get("split") is None and asked.get("protocol", "holdout") == "holdout":
        plan: TrainingPlan | FoldsPlan = plan_training(study_path, asked, track)
    else:
        plan = plan_folds(study_path, asked, track)
    return replace(plan, seconds=time.perf_counter() - begun)


def plan_folds(study_path: str | Path, options: TrainingOptions, track: Track = silent) -> TrainingPlan | FoldsPlan:
    """Plan the folds of a protocol, or take them from a file.

    Parameters
    ----------
    study_path
        The study folder.
    options
        See `TrainingOptions`.
    track
        Receives the progress of the work.

    Raises
    ------
    UsageError
        The protocol is unknown or does not have these options, or there are too few patients.
    StudyError
        The file of folds was made for another study.
    ModelError, SensorError, TaxonomyError
        As `plan_training`.
    """
    protocol, given = options.get("protocol", "holdout"), options.get("split")
    if given is None and protocol not in PROTOCOLS:
        raise UsageError(f"protocol {protocol!r}", "is not known", f"Choose one of: {', '.join(PROTOCOLS)}.")
    held = [name for name in _HOLDING_OUT if options.get(name)]
    validating = options.get("validation_patients")
    # Every fold of lopo can draw a number of them; a named patient would be tested by one of the folds.
    if validating and not (isinstance(validating, int) and (given is not None or protocol == "lopo")):
        held.append("validation_patients")
    if held:
        what = "a file of folds" if given is not None else f"protocol {protocol}"
        raise UsageError(
            what,
            f"determines who trains and tests; {', '.join(name.replace('_', ' ') for name in held)} cannot be given",
            "Omit these, or use --protocol holdout.",
        )
    refuse_unheeded(protocol, options.get("folds"), from_file=given is not None)
    ground = lay_ground(study_path, options, track)
    if given is None:
        folds = _drawn(ground, protocol, track)
    else:
        loaded = Folds.load(Path(given))
        if protocol not in ("holdout", loaded.protocol):
            raise UsageError(
                f"protocol {protocol}", f"is not that of {given}, {loaded.protocol}", "Omit one of the two."
            )
        ground = replace(ground, study=loaded.verify(ground.study, track))
        folds = Folds(loaded.protocol, {name: _completed(ground, split) for name, split in loaded.splits.items()})
    require_usable(ground.study, {one for split in folds.splits.values() for one in split.patients}, ground.sensor)
    if len(folds.splits) == 1 and folds.first.pixels is None:
        plan = ground.plan(folds.first)
        tell_hints(plan.hints, ground.warnings(plan.split))
        return plan
    apart = ground
    if folds.protocol in _VALIDATION_APART:
        apart = replace(ground, config=ground.config.with_overrides({"refit": False}))
    plans = {name: apart.plan(split) for name, split in folds.splits.items()}
    # Validation patients differ from fold to fold: that one of them has a single class says little about the training.
    minor = {hint for split in folds.splits.values() for hint in apart.single_class(split, ("validation",))}
    hints = tuple(dict.fromkeys(hint for plan in plans.values() for hint in plan.hints if hint not in minor))
    tell_hints(hints, ground.warnings(folds.first))
    if PROTOCOLS[folds.protocol].warning is not None:
        logger.warning(PROTOCOLS[folds.protocol].warning)
    return FoldsPlan(folds, plans, _final(ground, folds), hints)


def _drawn(ground: Ground, protocol: str, track: Track) -> Folds:
    folds = make_folds(
        ground.study,
        protocol,
        ground.labelled,
        folds=ground.asked.get("folds") or USUAL_FOLDS,
        seed=ground.seed,
        sensor=ground.sensor,
        track=track,
    )
    return Folds(protocol, {name: _completed(ground, split) for name, split in folds.splits.items()})


def _completed(ground: Ground, split: Split) -> Split:
    """The split with patients who validate, if the model needs them and the split names none."""
    if split.validation or split.pixels is not None:
        return split
    return ground.with_validation(split)[0]


def draw_folds(study_path: str | Path, options: TrainingOptions, track: Track = silent) -> Folds:
    """Divide a study by `protocol`, `folds` and `seed`, for a file that several models share.

    Only patients named by the protocol validate: each model draws the others that it needs from its training patients.

    Parameters
    ----------
    study_path
        The study folder.
    options
        See `TrainingOptions`.
    track
        Receives the progress of the work.

    Raises
    ------
    UsageError, StudyError, SensorError
        As `plan_folds`.
    """
    protocol = options.get("protocol", "lopo")
    refuse_unheeded(protocol, options.get("folds"))
    # This model needs no validation patients.
    return _drawn(lay_ground(study_path, {**options, "model": "lda"}, track), protocol, track)


def _final(ground: Ground, folds: Folds) -> TrainingPlan | None:
    """The training on all patients; protocols that mix patients instead keep one of their models, as the thesis did."""
    if not ground.asked.get("final", True) or PROTOCOLS[folds.protocol].warning is not None:
        return None
    first = folds.first
    everybody = tuple(sorted(first.patients))
    split = replace(first, protocol=FINAL, train=everybody, validation=(), test=())
    return ground.plan(ground.with_validation(split)[0])
