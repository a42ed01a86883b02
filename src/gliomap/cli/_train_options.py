"""The options of `gliomap train` that mean the same in `gliomap azure train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap.cli._options import SensorName, TrackingUri

if TYPE_CHECKING:
    from gliomap.workflows import TrainingOptions

__all__ = ["FoldCount", "Training", "model_names", "protocol_names", "split_list"]

_LIST = " Repeatable, or comma-separated."


def model_names(incomplete: str) -> list[str]:
    """Complete the name of a model in the shell."""
    from gliomap.learning import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


def protocol_names(incomplete: str) -> list[str]:
    """Complete the name of a protocol in the shell."""
    from gliomap.studies import PROTOCOLS

    return [name for name in PROTOCOLS if name.startswith(incomplete)]


def split_list(values: list[str] | None) -> list[str]:
    """`--x a,b --x c` → a, b, c."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


FoldCount = Annotated[
    int | None,
    typer.Option("--folds", metavar="K", min=2, help="Number of folds, for protocols with a choice; 5 by default."),
]


@dataclass(frozen=True)
class Training:
    """What is trained, on which patients, and how."""

    model: Annotated[
        str, typer.Option("--model", autocompletion=model_names, help="Name of a model, or 'list' to list them.")
    ] = "conv2d"
    preset: Annotated[str, typer.Option("--preset", metavar="P", help="Settings to start from: default or thesis.")] = (
        "default"
    )
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="P",
            autocompletion=protocol_names,
            help="holdout, lopo, kfold-patient; double-cv and pooled mix patients, so figures are too high.",
        ),
    ] = "holdout"
    folds: FoldCount = None
    split: Annotated[
        Path | None,
        typer.Option("--split", metavar="FILE", help="File of folds, from `gliomap study split` or another run."),
    ] = None
    no_final: Annotated[
        bool, typer.Option("--no-final", help="Train no final model on all patients after the folds.")
    ] = False
    test_patient: Annotated[
        list[str] | None,
        typer.Option(
            "--test-patient", metavar="ID", callback=split_list, help="Hold out all captures of a patient." + _LIST
        ),
    ] = None
    test_capture: Annotated[
        list[str] | None,
        typer.Option("--test-capture", metavar="ID", callback=split_list, help="Hold out a capture." + _LIST),
    ] = None
    train_capture: Annotated[
        list[str] | None,
        typer.Option(
            "--train-capture",
            metavar="LIST",
            callback=split_list,
            help="Train only on these captures, not on all others." + _LIST,
        ),
    ] = None
    validation_patient: Annotated[
        list[str] | None,
        typer.Option(
            "--validation-patient",
            metavar="ID",
            callback=split_list,
            help="Training patients who decide when training stops." + _LIST,
        ),
    ] = None
    allow_same_patient: Annotated[
        bool, typer.Option("--allow-same-patient", help="Allow a patient to both train and test; the run records it.")
    ] = False
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same model.")] = 0
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="Overrides the preset.")] = None
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Overrides the preset.")
    ] = None
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", metavar="X", help="Overrides the preset.")
    ] = None
    hidden: Annotated[
        int | None, typer.Option("--hidden", metavar="H", min=1, max=4096, help="Width of fourlayer's first layer.")
    ] = None
    sensor: SensorName = None
    tracking: TrackingUri = None

    def options(self, threads: int | None) -> TrainingOptions:
        """The options in the form that the workflows take."""
        settings = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "threads": threads,
        }
        return {
            "model": self.model,
            "preset": self.preset,
            "protocol": self.protocol,
            "folds": self.folds,
            "split": self.split,
            "final": not self.no_final,
            "test_patients": self.test_patient or [],
            "test_captures": self.test_capture or [],
            "train_captures": self.train_capture or [],
            "validation_patients": self.validation_patient or None,
            "allow_same_patient": self.allow_same_patient,
            "seed": self.seed,
            "sensor": self.sensor,
            "hidden": self.hidden,
            "overrides": {name: value for name, value in settings.items() if value is not None},
        }
