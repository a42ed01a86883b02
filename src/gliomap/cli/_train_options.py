"""The options of `gliomap train`; `gliomap azure train` has most of them too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AllowSamePatient",
    "BatchSize",
    "DryRun",
    "Epochs",
    "FoldCount",
    "FoldName",
    "FoldsFrom",
    "Hidden",
    "LearningRate",
    "ModelName",
    "NoFinal",
    "PresetName",
    "ProtocolName",
    "Resume",
    "RunFolder",
    "Seed",
    "SplitFile",
    "StudyFolder",
    "TestCaptures",
    "TestPatients",
    "TrainCaptures",
    "ValidationPatients",
    "model_names",
    "protocol_names",
    "split_list",
]

_LIST = " Repeat it, or give a list with commas."


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


StudyFolder = Annotated[
    Path | None, typer.Argument(metavar="STUDY", help="The study folder; not needed for --model list.")
]
ModelName = Annotated[
    str, typer.Option("--model", autocompletion=model_names, help="A name, or 'list' for all of them.")
]
PresetName = Annotated[str, typer.Option("--preset", metavar="P", help="Settings to start from: default or thesis.")]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="P",
        autocompletion=protocol_names,
        help="holdout, lopo, kfold-patient; double-cv and pooled mix patients and overstate.",
    ),
]
FoldCount = Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Of protocols that have a number.")]
SplitFile = Annotated[
    Path | None, typer.Option("--split", metavar="FILE", help="Folds from `gliomap study split` or another run.")
]
FoldName = Annotated[
    str | None, typer.Option("--fold", metavar="NAME|N", help="Only this one of the folds, or 'final'.")
]
FoldsFrom = Annotated[
    Path | None, typer.Option("--folds-from", metavar="DIR", help="Take folds that --fold trained elsewhere.")
]
NoFinal = Annotated[bool, typer.Option("--no-final", help="After the folds, train no model on all patients.")]
TestPatients = Annotated[
    list[str] | None,
    typer.Option(
        "--test-patient", metavar="ID", callback=split_list, help="Hold out all captures of a patient." + _LIST
    ),
]
TestCaptures = Annotated[
    list[str] | None,
    typer.Option("--test-capture", metavar="ID", callback=split_list, help="Hold out a capture." + _LIST),
]
TrainCaptures = Annotated[
    list[str] | None,
    typer.Option(
        "--train-capture", metavar="LIST", callback=split_list, help="Train on these only, not on all others." + _LIST
    ),
]
ValidationPatients = Annotated[
    list[str] | None,
    typer.Option(
        "--validation-patient",
        metavar="ID",
        callback=split_list,
        help="Training patients that decide when to stop." + _LIST,
    ),
]
AllowSamePatient = Annotated[
    bool, typer.Option("--allow-same-patient", help="Let a patient both train and test; it is recorded.")
]
RunFolder = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run folder, if not a new one in STUDY/runs/.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training of these options.")]
Seed = Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same model.")]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="Instead of the preset's.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", metavar="N", min=1, help="Instead of the preset's.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", metavar="X", help="Instead of the preset's.")]
Hidden = Annotated[int | None, typer.Option("--hidden", metavar="H", min=1, max=4096, help="First width of fourlayer.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, show who trains and tests, train nothing.")]
