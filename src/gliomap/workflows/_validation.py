"""Chooses the training patients who are set aside for early stopping or for calibrating probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gliomap._text import counted
from gliomap.errors import UsageError
from gliomap.learning import ModelKind, TrainingConfig
from gliomap.studies import Split

__all__ = ["choose_validation", "usual_number", "with_validation"]

VALIDATION_SHARE = 0.2
"""The share of training patients who validate; at least one patient, if there are two or more."""


def choose_validation(
    counts: Mapping[str, npt.NDArray[np.int64]], number: int, generator: np.random.Generator
) -> tuple[str, ...]:
    """Draw validation patients so that training keeps all classes and validation has many.

    Parameters
    ----------
    counts
        Patient → (C,) labelled pixels per class.
    number
        How many to draw; fewer than there are patients.
    generator
        Breaks ties.

    Returns
    -------
    tuple of str
        The chosen patients, sorted.
    """
    patients = sorted(counts)
    rank = dict(zip(patients, generator.permutation(len(patients)).tolist(), strict=True))
    chosen: list[str] = []
    for _ in range(number):
        left = [patient for patient in patients if patient not in chosen]

        def cost(candidate: str, left: Sequence[str] = left) -> tuple[int, int, int]:
            kept = sum(counts[patient] for patient in left if patient != candidate)
            lost = int(np.count_nonzero((counts[candidate] > 0) & (kept == 0)))
            return lost, -int(np.count_nonzero(counts[candidate])), rank[candidate]

        chosen.append(min(left, key=cost))
    return tuple(sorted(chosen))


def usual_number(patients: int, config: TrainingConfig, kind: ModelKind) -> int:
    """How many of `patients` training patients validate by default."""
    needed = kind.calibrates or (kind.iterative and config.patience is not None)
    return max(1, round(VALIDATION_SHARE * patients)) if needed and patients > 1 else 0


def with_validation(
    split: Split,
    wanted: int | None,
    config: TrainingConfig,
    labelled: Mapping[str, npt.NDArray[np.int64]],
    kind: ModelKind,
) -> tuple[Split, list[str]]:
    """The split with validation patients moved out of training, and a hint about who validates or why nobody does.

    Parameters
    ----------
    split
        A split without validation patients.
    wanted
        Their number; None for a fifth, at least one, if the model stops early or calibrates its probabilities with them.
    labelled
        Capture → (C,) labelled pixels per class.

    Raises
    ------
    UsageError
        There are fewer training patients than that, or none would be left to train on.
    """
    training = split.patients_of("train")
    stops = kind.iterative and config.patience is not None
    if wanted is None:
        wanted = usual_number(len(training), config, kind)
    if not 0 <= wanted < len(training):
        raise UsageError(
            "validation",
            f"{wanted} of {len(training)} training patients cannot be set aside for it",
            "Leave at least one to train on.",
        )
    if not wanted:
        reason = f"{training[0]} is the only training patient" if len(training) == 1 else "no patient validates"
        if stops:
            return split, [f"{reason}: no early stopping, training ends after {counted(config.epochs, 'epoch')}"]
        return split, [f"{reason}: probabilities are learned from training pixels"] if kind.calibrates else []
    counts = {patient: np.zeros_like(labelled[split.train[0]]) for patient in training}
    for capture in split.train:
        counts[split.patients[capture]] += labelled[capture]
    chosen = choose_validation(counts, wanted, np.random.default_rng(split.seed))
    kept = tuple(capture for capture in split.train if split.patients[capture] not in chosen)
    validation = tuple(capture for capture in split.train if split.patients[capture] in chosen)
    return replace(split, train=kept, validation=validation), [f"patients who validate: {', '.join(chosen)}"]
