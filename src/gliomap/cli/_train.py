"""`gliomap train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomap.cli._app import app
from gliomap.cli._options import SensorName, TrackingUri
from gliomap.cli._train_options import (
    AllowSamePatient,
    BatchSize,
    DryRun,
    Epochs,
    FoldCount,
    FoldName,
    FoldsFrom,
    Hidden,
    LearningRate,
    ModelName,
    NoFinal,
    PresetName,
    ProtocolName,
    Resume,
    RunFolder,
    Seed,
    SplitFile,
    StudyFolder,
    TestCaptures,
    TestPatients,
    TrainCaptures,
    ValidationPatients,
)
from gliomap.cli._train_tables import tell_folds_plan, tell_folds_run, tell_models, tell_plan, tell_run
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.workflows import FoldsPlan, TrainingOptions, TrainingPlan


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
    study: StudyFolder = None,
    model: ModelName = "conv2d",
    preset: PresetName = "default",
    protocol: ProtocolName = "holdout",
    folds: FoldCount = 5,
    split: SplitFile = None,
    fold: FoldName = None,
    folds_from: FoldsFrom = None,
    no_final: NoFinal = False,
    test_patient: TestPatients = None,
    test_capture: TestCaptures = None,
    train_capture: TrainCaptures = None,
    validation_patient: ValidationPatients = None,
    allow_same_patient: AllowSamePatient = False,
    out: RunFolder = None,
    resume: Resume = False,
    seed: Seed = 0,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    hidden: Hidden = None,
    sensor: SensorName = None,
    tracking: TrackingUri = None,
    dry_run: DryRun = False,
) -> None:
    """Train a model with captures or patients held out.

    Without --test-patient and --test-capture the last patient is held out.
    A patient never stands on both sides, unless --allow-same-patient says so,
    or the protocol mixes patients by design (double-cv, pooled).

    What is trained with --tracking none no later command mirrors in MLflow
    either, unless it names a store with --tracking.
    """
    from gliomap._files import refuse_existing
    from gliomap.tracking import RECORD, Tracking
    from gliomap.workflows import FoldsPlan, open_run, plan_protocol, run_plan

    if model == "list":
        tell_models(ui)
        return
    if study is None:
        raise UsageError("train", "needs a study", "Name its folder: gliomap train STUDY.")
    if out is not None:
        refuse_existing(out, overwrite=ui.overwrite, mark=RECORD)
    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "threads": ui.threads}
    options: TrainingOptions = {
        "model": model,
        "preset": preset,
        "protocol": protocol,
        "folds": folds,
        "split": split,
        "final": not no_final,
        "test_patients": test_patient or [],
        "test_captures": test_capture or [],
        "train_captures": train_capture or [],
        "allow_same_patient": allow_same_patient,
        "seed": seed,
        "sensor": sensor,
        "hidden": hidden,
        "overrides": {name: value for name, value in settings.items() if value is not None},
        "validation_patients": validation_patient or None,
    }
    plan = plan_protocol(study, options, track=ui.track)
    if fold is not None:
        plan = _only(plan, fold)
    if dry_run:
        tell_folds_plan(ui, plan) if isinstance(plan, FoldsPlan) else tell_plan(ui, plan)
        return
    made = run_plan(
        plan,
        out=out,
        resume=resume,
        overwrite=ui.overwrite,
        trained=folds_from,
        track=ui.track,
        tracking=Tracking.of(tracking, plan.study.root),
    )
    run = open_run(made)
    tell_folds_run(ui, plan, run) if isinstance(plan, FoldsPlan) else tell_run(ui, plan, run)


def _only(plan: TrainingPlan | FoldsPlan, fold: str) -> TrainingPlan:
    from gliomap.workflows import FoldsPlan

    if not isinstance(plan, FoldsPlan):
        raise UsageError("--fold", "belongs to a protocol of several folds", "Name it with --protocol or --split.")
    return plan.only(fold)
