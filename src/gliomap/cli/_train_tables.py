"""What `gliomap train` tells: who trains and tests, and how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gliomap.cli._ui import Ui

if TYPE_CHECKING:
    from gliomap.workflows import FoldsPlan, Run, TrainingPlan

__all__ = ["tell_folds_plan", "tell_folds_run", "tell_plan", "tell_run"]


def _roles(plan: TrainingPlan) -> dict[str, dict[str, Any]]:
    return {
        role: {
            "patients": list(plan.split.patients_of(role)),
            "captures": list(plan.split.captures_of(role)),
            "labelled": plan.counts(role),
        }
        for role in ("train", "validation", "test")
    }


def tell_plan(ui: Ui, plan: TrainingPlan) -> None:
    """Of a dry run of one fold."""
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


def tell_run(ui: Ui, plan: TrainingPlan, run: Run) -> None:
    """Of a finished run of one fold."""
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


def tell_folds_plan(ui: Ui, plan: FoldsPlan) -> None:
    """Of a dry run of several folds."""
    if ui.as_json:
        ui.result(
            {
                "dry_run": True,
                "study": plan.study.name,
                "model": plan.any.kind.name,
                "protocol": plan.folds.protocol,
                "warning": plan.warning,
                "settings": plan.any.config.as_dict(),
                "folds": _folds(plan),
                "split_fingerprint": plan.folds.fingerprint,
                "hints": list(plan.hints),
            }
        )
        return
    _table_of_folds(ui, plan)
    more = "" if plan.final is None else ", then one model on all patients"
    ui.text(f"Would train {plan.any.kind.name} {len(plan.plans)} times ({plan.folds.protocol}){more}.")


def tell_folds_run(ui: Ui, plan: FoldsPlan, run: Run) -> None:
    """Of a finished run of several folds."""
    record = run.record
    if ui.as_json:
        ui.result(
            {
                "run": str(run.path),
                "model": record.model.name,
                "protocol": record.protocol,
                "warning": plan.warning,
                "folds": _folds(plan),
                "chosen": list(record.chosen),
                "kept": record.kept,
                "seconds": record.seconds,
                "notes": list(record.notes),
                "hints": list(record.hints),
            }
        )
        return
    _table_of_folds(ui, plan)
    kept = "no model is kept for use" if record.kept is None else f"for use: {record.kept}"
    ui.text(
        f"Trained {record.model.name}: {len(plan.plans)} folds, {record.seconds:.0f} s; {kept}",
        *record.notes,
        f"Run: {run.path}",
        f"Next: gliomap evaluate {run.path}",
    )


def _folds(plan: FoldsPlan) -> dict[str, dict[str, list[str]]]:
    return {
        name: {role: list(split.patients_of(role)) for role in ("train", "validation", "test")}
        for name, split in plan.folds.splits.items()
    }


def _table_of_folds(ui: Ui, plan: FoldsPlan) -> None:
    mixed = plan.warning is not None
    rows = []
    for name, split in plan.folds.splits.items():
        parts = split.pixels
        cells = []
        for role in ("train", "validation", "test"):
            patients = split.patients_of(role)
            if not patients:
                cells.append("")
                continue
            share = "" if parts is None else f", {len(parts.of_role(role))} of {parts.count} parts"
            shown = f"{len(patients)} patients" if len(patients) > 3 else ", ".join(patients)
            cells.append(f"{shown}{share}")
        rows.append([name, *cells])
    title = f"{plan.study.name}: {plan.folds.protocol}" + (" (mixes patients)" if mixed else "")
    ui.table(["fold", "train", "validation", "test"], rows, title=title, numbers="    ")
