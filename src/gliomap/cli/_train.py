"""`gliomap train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._options import SensorName, TrackingUri
from gliomap.cli._train_tables import tell_folds_plan, tell_folds_run, tell_models, tell_plan, tell_run
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb

if TYPE_CHECKING:
    from gliomap.workflows import TrainingOptions


def _models(incomplete: str) -> list[str]:
    from gliomap.learning import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


def _protocols(incomplete: str) -> list[str]:
    from gliomap.studies import PROTOCOLS

    return [name for name in PROTOCOLS if name.startswith(incomplete)]


_LIST = " Repeat it, or give a list with commas."


@verb(
    app,
    "train",
    writes=True,
    examples=(
        "gliomap train --model list",
        "gliomap train study",
        "gliomap train study --model lda --test-patient ID0003 -o run",
        "gliomap train study --model lda --protocol lopo",
        "gliomap train study --preset thesis --test-capture ID0018C09 \\\n      --train-capture ID0012C01,ID0012C02,ID0020C01",
        "gliomap train study --model fourlayer --test-patient ID0003 --dry-run",
    ),
)
def train(
    ui: Ui,
    study: Annotated[
        Path | None, typer.Argument(metavar="STUDY", help="The study folder; not needed for --model list.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", autocompletion=_models, help="A name, or 'list' for all of them.")
    ] = "conv2d",
    preset: Annotated[
        str, typer.Option("--preset", metavar="P", help="Settings to start from: default or thesis.")
    ] = "default",
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="P",
            autocompletion=_protocols,
            help="holdout, lopo, kfold-patient; double-cv and pooled mix patients and overstate.",
        ),
    ] = "holdout",
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Of protocols that have a number.")] = 5,
    split: Annotated[
        Path | None, typer.Option("--split", metavar="FILE", help="Folds from `gliomap study split` or another run.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option("--fold", metavar="NAME|N", help="Only this one of the folds, or 'final'.")
    ] = None,
    folds_from: Annotated[
        Path | None, typer.Option("--folds-from", metavar="DIR", help="Take folds that --fold trained elsewhere.")
    ] = None,
    no_final: Annotated[
        bool, typer.Option("--no-final", help="After the folds, train no model on all patients.")
    ] = False,
    test_patient: Annotated[
        list[str] | None,
        typer.Option("--test-patient", metavar="ID", help="Hold out all captures of a patient." + _LIST),
    ] = None,
    test_capture: Annotated[
        list[str] | None, typer.Option("--test-capture", metavar="ID", help="Hold out a capture." + _LIST)
    ] = None,
    train_capture: Annotated[
        list[str] | None,
        typer.Option("--train-capture", metavar="LIST", help="Train on these only, not on all others." + _LIST),
    ] = None,
    validation_patient: Annotated[
        list[str] | None,
        typer.Option("--validation-patient", metavar="ID", help="Training patients that decide when to stop." + _LIST),
    ] = None,
    allow_same_patient: Annotated[
        bool, typer.Option("--allow-same-patient", help="Let a patient both train and test; it is recorded.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run folder, if not a new one in STUDY/runs/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training of these options.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same model.")] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="Instead of the preset's.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Instead of the preset's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", metavar="X", help="Instead of the preset's.")
    ] = None,
    hidden: Annotated[
        int | None, typer.Option("--hidden", metavar="H", min=1, help="First width of fourlayer.")
    ] = None,
    sensor: SensorName = None,
    tracking: TrackingUri = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, show who trains and tests, train nothing.")
    ] = False,
) -> None:
    """Train a model with captures or patients held out.

    Without --test-patient and --test-capture the last patient is held out.
    A patient never stands on both sides, unless --allow-same-patient says so,
    or the protocol mixes patients by design (double-cv, pooled).
    """
    from gliomap._files import refuse_existing
    from gliomap.errors import UsageError
    from gliomap.tracking import find_store
    from gliomap.workflows import FoldsPlan, open_run, plan_protocol, run_plan

    if model == "list":
        tell_models(ui)
        return
    if study is None:
        raise UsageError("train", "needs a study", "Name its folder: gliomap train STUDY.")
    if out is not None:
        refuse_existing(out, overwrite=ui.overwrite)
    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "threads": ui.threads}
    options: TrainingOptions = {
        "model": model,
        "preset": preset,
        "protocol": protocol,
        "folds": folds,
        "split": split,
        "final": not no_final,
        "test_patients": split_list(test_patient),
        "test_captures": split_list(test_capture),
        "train_captures": split_list(train_capture),
        "allow_same_patient": allow_same_patient,
        "seed": seed,
        "sensor": sensor,
        "hidden": hidden,
        "overrides": {name: value for name, value in settings.items() if value is not None},
        "validation_patients": split_list(validation_patient) or None,
    }
    plan = plan_protocol(study, options, track=ui.track)
    if fold is not None:
        if not isinstance(plan, FoldsPlan):
            raise UsageError("--fold", "belongs to a protocol of several folds", "Name it with --protocol or --split.")
        plan = plan.only(fold)
    if dry_run:
        tell_folds_plan(ui, plan) if isinstance(plan, FoldsPlan) else tell_plan(ui, plan)
        return
    store = find_store(tracking, plan.study.root)
    made = run_plan(
        plan, out=out, resume=resume, overwrite=ui.overwrite, trained=folds_from, track=ui.track, store=store
    )
    run = open_run(made)
    tell_folds_run(ui, plan, run) if isinstance(plan, FoldsPlan) else tell_run(ui, plan, run)


def split_list(values: list[str] | None) -> list[str]:
    """`--x a,b --x c` → a, b, c."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]
