"""Training settings and the named presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from gliomap.errors import UsageError

__all__ = ["PRESETS", "TrainingConfig", "preset"]

Schedule = Literal["cosine", "constant"]
ClassWeights = Literal["balanced", "none"]
Monitor = Literal["macro_recall", "loss"]


def _require(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise UsageError(f"training setting {name!r}", f"is {value!r}", f"It must be {wanted}.")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of one training run.

    Models that are fitted in one step have no epochs and use only `class_weights`, `seed` and `threads`. In
    linear discriminant analysis, `class_weights` sets the prior probabilities (equal, or the shares of the
    labelled pixels).

    Attributes
    ----------
    preset
        Name of the preset these settings started from.
    epochs
        Number of passes over the labelled pixels; the maximum if training stops early.
    batch_size
        Pixels per step. Batches are stratified: each keeps the class shares of the pixels that are left.
    learning_rate
        Initial learning rate of Adam.
    schedule
        'cosine' lowers the rate from step to step to 1 % at the last epoch (half a cosine wave);
        'constant' keeps it.
    weight_decay
        L2 penalty of Adam.
    class_weights
        'balanced' weights the loss of class c by N / (classes · N_c), at most 10; 'none' weights it by 1.
    patience
        Stop after this many epochs without a gain on the validation patients, and keep the best epoch.
        None trains all epochs and keeps the last weights.
    min_epochs
        Only this epoch and later ones can be the best. One patient's recall jumps about from epoch to
        epoch, most of all while the learning rate is high; otherwise a lucky early epoch would decide.
    monitor
        What is watched on the validation patients: 'macro_recall', the mean recall of the classes
        they have (ties go to the lower loss), or 'loss'.
    refit
        Once validation has chosen the number of epochs, train afresh for that many on all patients,
        including the validation patients: with few patients, each one counts. False keeps the validated
        weights.
    checkpoint_every
        Epochs between checkpoints.
    seed
        Seed of the initial weights and of the order of batches.
    threads
        CPU threads of torch. The same seed yields the same bits on the same machine and versions
        with the same number of threads. One thread is as fast as two for networks this small and
        makes the result independent of the number of cores.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    preset: str = "default"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.002
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    class_weights: ClassWeights = "balanced"
    patience: int | None = 6
    min_epochs: int = 10
    monitor: Monitor = "macro_recall"
    refit: bool = True
    checkpoint_every: int = 5
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "min_epochs", "checkpoint_every", "threads"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        _require("patience", self.patience, self.patience is None or self.patience >= 1, "1 or more, or none")
        _require("seed", self.seed, 0 <= self.seed < 2**32, f"0…{2**32 - 1}")
        sound = math.isfinite(self.learning_rate) and self.learning_rate > 0
        _require("learning_rate", self.learning_rate, sound, "a number over 0")
        sound = math.isfinite(self.weight_decay) and self.weight_decay >= 0
        _require("weight_decay", self.weight_decay, sound, "0 or more")
        for name, kind in (("schedule", Schedule), ("class_weights", ClassWeights), ("monitor", Monitor)):
            _require(name, getattr(self, name), getattr(self, name) in get_args(kind), " or ".join(get_args(kind)))

    def with_overrides(self, overrides: Mapping[str, Any]) -> TrainingConfig:
        """The same settings with some of them changed.

        Raises
        ------
        UsageError
            A name is not a setting, or a value is out of range.
        """
        known = [field.name for field in fields(self) if field.name != "preset"]
        unknown = sorted(set(overrides) - set(known))
        if unknown:
            raise UsageError(f"training setting {unknown[0]!r}", "is not known", f"Settings are: {', '.join(known)}.")
        return replace(self, **overrides)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written to run records."""
        return asdict(self)


PRESETS: Mapping[str, TrainingConfig] = MappingProxyType(
    {
        "default": TrainingConfig(),
        "thesis": TrainingConfig(
            preset="thesis",
            epochs=100,
            batch_size=16,
            learning_rate=0.001,
            schedule="constant",
            class_weights="none",
            patience=None,
            refit=False,
        ),
    }
)
"""'default' is designed to be quick and fair to rare classes. 'thesis' is the procedure of the 2021 thesis,
except that codes are mapped to classes first and incomplete batches are not dropped."""


def preset(name: str) -> TrainingConfig:
    """The preset of this name.

    Raises
    ------
    UsageError
        No preset has this name.
    """
    if name not in PRESETS:
        raise UsageError(f"preset {name!r}", "is not known", f"Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name]
