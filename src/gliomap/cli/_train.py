"""`gliomap train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._train_options import Training
from gliomap.cli._train_tables import tell_folds_plan, tell_folds_run, tell_models, tell_plan, tell_run
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from gliomap.workflows import FoldsPlan, TrainingPlan


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
    *,
    training: Training,
    fold: Annotated[
        str | None, typer.Option("--fold", metavar="NAME|N", help="Train only this fold, or 'final'.")
    ] = None,
    folds_from: Annotated[
        Path | None, typer.Option("--folds-from", metavar="DIR", help="Use folds that --fold trained elsewhere.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run folder; a new one in STUDY/runs/ by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training with the same options.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show who trains and who tests, but train nothing.")
    ] = False,
) -> None:
    """Train a model with captures or patients held out.

    Without --test-patient and --test-capture, the last patient is held out. A
    patient never both trains and tests, unless --allow-same-patient is given or
    the protocol mixes patients by design (double-cv, pooled).

    A run that is trained with --tracking none stays out of MLflow in all later
    commands too, unless one names a store with --tracking, or `gliomap runs
    sync` names the run itself.
    """
    from gliomap.tracking import Tracking, refuse_run
    from gliomap.workflows import FoldsPlan, open_run, plan_protocol, run_plan

    if training.model == "list":
        tell_models(ui)
        return
    if study is None:
        raise UsageError("train", "needs a study", "Name its folder: gliomap train STUDY.")
    if out is not None:
        refuse_run(out, overwrite=ui.overwrite, resume=resume)
    plan = plan_protocol(study, training.options(ui.threads), track=ui.track)
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
        tracking=Tracking.of(training.tracking, plan.study.root),
    )
    run = open_run(made)
    if isinstance(plan, FoldsPlan):
        tell_folds_run(ui, plan, run, training.sensor)
    else:
        tell_run(ui, plan, run, training.sensor)


def _only(plan: TrainingPlan | FoldsPlan, fold: str) -> TrainingPlan:
    from gliomap.workflows import FoldsPlan

    if not isinstance(plan, FoldsPlan):
        raise UsageError("--fold", "needs a protocol with several folds", "Name one with --protocol or --split.")
    return plan.only(fold)
