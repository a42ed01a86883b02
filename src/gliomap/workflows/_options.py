"""What can be asked of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from gliomap.errors import UsageError
from gliomap.studies import SensorLike
from gliomap.taxonomy import ClassSet

__all__ = ["TrainingOptions", "require_known"]


class TrainingOptions(TypedDict, total=False):
    """What can be asked of a training; everything has a default.

    Attributes
    ----------
    model
        Name in the registry, `gliomap.learning.MODELS`; 'conv2d' by default.
    preset
        'default' or 'thesis'; see `gliomap.learning.PRESETS`.
    protocol
        A name of `gliomap.studies.PROTOCOLS`; 'holdout' by default, the thesis's 'no CV'.
    folds
        Of the protocols that have a number of them; 5 by default.
    split
        A file of `Folds` or `Split` that says who trains and tests, instead of a protocol.
    final
        Whether `lopo` and 'kfold-patient' also train a model on all patients, for use; True by default.
    test_patients, test_captures
        What is held out. Where neither is named, the last patient of the study, and a hint says so.
    train_captures
        What trains; by default all that is not held out.
    validation_patients
        Training patients that decide when to stop, of `holdout`, or their number, of `holdout` and `lopo`; by default a
        fifth, at least one, where there are two or more training patients and the settings stop early.
    allow_same_patient
        Let a patient stand on both sides; recorded.
    seed
        Of the choice of validation patients, of the first weights and of the order of batches.
    sensor
        Instead of the one that study.toml names.
    hidden
        First hidden width of 'fourlayer'.
    overrides
        Settings of `TrainingConfig` by name, over the preset.
    classes
        Which codes make which class; the thesis's five by default.
    """

    model: str
    preset: str
    protocol: str
    folds: int
    split: Path | None
    final: bool
    test_patients: Sequence[str]
    test_captures: Sequence[str]
    train_captures: Sequence[str]
    validation_patients: Sequence[str] | int | None
    allow_same_patient: bool
    seed: int
    sensor: SensorLike | None
    hidden: int | None
    overrides: Mapping[str, Any]
    classes: ClassSet


def require_known(asked: TrainingOptions) -> None:
    """Refuse an option that there is not: a slip in its name must not train and test on others than were meant.

    Raises
    ------
    UsageError
        With the known ones.
    """
    known = TrainingOptions.__annotations__
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise UsageError("training", f"has no option {', '.join(unknown)}", f"Choose from: {', '.join(known)}.")
