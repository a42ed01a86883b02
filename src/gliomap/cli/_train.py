"""`gliomap train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap.cli._app import app
from gliomap.cli._options import SensorName
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb

if TYPE_CHECKING:
    from gliomap.workflows import Run, TrainingOptions, TrainingPlan


def _models(incomplete: str) -> list[str]:
    from gliomap.learning import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


_LIST = " Repeat it, or give a list with commas."


@verb(
    app,
    "train",
    writes=True,
    examples=(
        "gliomap train study",
        "gliomap train study --model lda --test-patient ID0003 -o run",
        "gliomap train study --preset thesis --test-capture ID0018C09 \\\n      --train-capture ID0012C01,ID0012C02,ID0020C01",
        "gliomap train study --model fourlayer --test-patient ID0003 --dry-run",
    ),
)
def train(
    ui: Ui,
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study folder.")],
    model: Annotated[str, typer.Option("--model", autocompletion=_models, help="conv2d, fourlayer or lda.")] = "conv2d",
    preset: Annotated[
        str, typer.Option("--preset", metavar="P", help="Settings to start from: default or thesis.")
    ] = "default",
    protocol: Annotated[
        str, typer.Option("--protocol", help="How captures are assigned: holdout, the thesis's 'no CV'.")
    ] = "holdout",
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, show who trains and tests, train nothing.")
    ] = False,
) -> None:
    """Train a model with captures or patients held out.

    Without --test-patient and --test-capture the last patient is held out.
    A patient never stands on both sides, unless --allow-same-patient says so.
    """
    from gliomap._files import refuse_existing
    from gliomap.workflows import open_run, plan_training, run_training

    if out is not None:
        refuse_existing(out, overwrite=ui.overwrite)
    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "threads": ui.threads}
    options: TrainingOptions = {
        "model": model,
        "preset": preset,
        "protocol": protocol,
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
    plan = plan_training(study, options, track=ui.track)
    if dry_run:
        _tell_plan(ui, plan)
        return
    folder = run_training(plan, out=out, resume=resume, overwrite=ui.overwrite, track=ui.track)
    _tell_run(ui, plan, open_run(folder))


def split_list(values: list[str] | None) -> list[str]:
    """`--x a,b --x c` → a, b, c."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


def _roles(plan: TrainingPlan) -> dict[str, dict[str, Any]]:
    return {
        role: {
            "patients": list(plan.split.patients_of(role)),
            "captures": list(plan.split.captures_of(role)),
            "labelled": plan.counts(role),
        }
        for role in ("train", "validation", "test")
    }


def _tell_plan(ui: Ui, plan: TrainingPlan) -> None:
    if ui.as_json:
        ui.result(
            {
                "dry_run": True,
                "study": plan.study.name,
                "model": plan.kind.name,
                "settings": plan.config.as_dict(),
                "sensor": None if plan.sensor is None else plan.sensor.name,
                "split": _roles(plan),
                "split_fingerprint": plan.split.fingerprint,
                "hints": list(plan.hints),
            }
        )
        return
    _table_of_roles(ui, plan)
    config = plan.config
    ui.text(
        f"Would train {plan.kind.name} with preset {config.preset}: at most {config.epochs} epochs, batches of"
        f" {config.batch_size}, learning rate {config.learning_rate:g}, seed {config.seed}."
        if plan.kind.iterative
        else f"Would train {plan.kind.name}."
    )


def _table_of_roles(ui: Ui, plan: TrainingPlan) -> None:
    rows = [
        [role, ", ".join(part["patients"]), len(part["captures"]), *(f"{n:,}" for n in part["labelled"].values())]
        for role, part in _roles(plan).items()
        if part["captures"]
    ]
    columns = ["", "patients", "captures", *plan.classes.names]
    ui.table(columns, rows, title=f"{plan.study.name}: labelled pixels", numbers="  " + "r" * (len(columns) - 2))


def _tell_run(ui: Ui, plan: TrainingPlan, run: Run) -> None:
    record = run.record
    if ui.as_json:
        ui.result(
            {
                "run": str(run.path),
                "model": record.model.name,
                "epochs": record.epochs,
                "best_epoch": record.best_epoch,
                "stopped": record.stopped,
                "seconds": record.seconds,
                "split": _roles(plan),
                "notes": list(record.notes),
                "hints": list(record.hints),
            }
        )
        return
    _table_of_roles(ui, plan)
    how = (
        f" {record.epochs} epochs, epoch {record.best_epoch} the best ({record.stopped}),"
        if plan.kind.iterative
        else ""
    )
    ui.text(
        f"Trained {record.model.name}:{how} {record.seconds:.0f} s",
        f"Run: {run.path}",
        f"Next: gliomap evaluate {run.path}",
    )
