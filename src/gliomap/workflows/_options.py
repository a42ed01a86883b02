"""The options of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from gliomap.errors import UsageError
from gliomap.studies import SensorLike
from gliomap.taxonomy import ClassSet

__all__ = ["TrainingOptions", "require_known"]


class TrainingOptions(TypedDict, total=False):
    """The options of a training; all have defaults.

    Attributes
    ----------
    model
        Name in the registry, `gliomap.learning.MODELS`; 'conv2d' by default.
    preset
        'default' or 'thesis'; see `gliomap.learning.PRESETS`.
    protocol
        A name from `gliomap.studies.PROTOCOLS`; 'holdout' by default, the thesis's 'no CV'.
    folds
        Number of folds, for protocols with a choice; 5 by default. Refused elsewhere.
    split
        A file of `Folds` or `Split` that determines who trains and tests, instead of a protocol.
    final
        Whether 'lopo' and 'kfold-patient' also train a model on all patients, for use; True by default.
    test_patients, test_captures
        What is held out. If neither is given, the last patient of the study, with a hint about it.
    train_captures
        What trains; by default everything that is not held out.
    validation_patients
        For 'holdout' the training patients who decide when to stop; for 'holdout' and 'lopo' also their number. By
        default a fifth, at least one, if there are two or more training patients and the settings stop early.
    allow_same_patient
        Allow a patient to both train and test; the run records it.
    seed
        Seed of the choice of validation patients, the initial weights and the order of batches.
    sensor
        The sensor, instead of the one that study.toml names.
    hidden
        Width of the first hidden layer of 'fourlayer'.
    overrides
        Settings of `TrainingConfig` by name, which override the preset.
    classes
        The codes of each class; the thesis's five classes by default.
    """

    model: str
    preset: str
    protocol: str
    folds: int | None
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
    """Refuse an unknown option: a typo in its name must not lead to training and testing on the wrong patients.

    Raises
    ------
    UsageError
        There is an unknown option; the message lists the known ones.
    """
    known = TrainingOptions.__annotations__
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise UsageError("training", f"has no option {', '.join(unknown)}", f"Choose from: {', '.join(known)}.")
