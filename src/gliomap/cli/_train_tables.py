"""What `gliomap train` prints: who trains and tests, and how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gliomap._text import command_line, counted
from gliomap.cli._ui import Ui

if TYPE_CHECKING:
    from gliomap.studies import Folds, Split
    from gliomap.workflows import FoldsPlan, Run, TrainingPlan

__all__ = [
    "describe_folds",
    "table_of_folds",
    "tell_folds_plan",
    "tell_folds_run",
    "tell_models",
    "tell_plan",
    "tell_run",
]


def _roles(plan: TrainingPlan, run: Run | None = None) -> dict[str, dict[str, Any]]:
    """Role → patients, captures, and labelled pixels: of whole captures or, if a run has divided their pixels, its own."""
    dealt = {} if run is None or plan.split.pixels is None else run.record.labelled
    return {
        role: {
            "patients": list(plan.split.patients_of(role)),
            "captures": list(plan.split.captures_of(role)),
            "labelled": dealt.get(role, plan.counts(role)),
        }
        for role in ("train", "validation", "test")
    }


def tell_plan(ui: Ui, plan: TrainingPlan) -> None:
    """Print a dry run of one fold."""
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
    _table_of_roles(ui, plan, "labelled pixels" if plan.split.pixels is None else "labelled pixels, to be divided")
    config = plan.config
    most = "at most " if plan.split.patients_of("validation") else ""
    ui.text(
        f"Would train {plan.kind.name} with preset {config.preset}: {most}{counted(config.epochs, 'epoch')}, batches of"
        f" {config.batch_size}, learning rate {config.learning_rate:g}, seed {config.seed}."
        if plan.kind.iterative
        else f"Would train {plan.kind.name}."
    )


def _table_of_roles(ui: Ui, plan: TrainingPlan, title: str = "labelled pixels", run: Run | None = None) -> None:
    rows = [
        [
            role,
            ", ".join(part["patients"]) if plan.split.pixels is None else _patients(plan.split, role),
            len(part["captures"]),
            *(f"{part['labelled'][name]:,}" for name in plan.classes.names),
        ]
        for role, part in _roles(plan, run).items()
        if part["captures"]
    ]
    columns = ["", "patients", "captures", *plan.classes.names]
    ui.table(columns, rows, title=f"{plan.study.name}: {title}", numbers="  " + "r" * (len(columns) - 2))


def tell_run(ui: Ui, plan: TrainingPlan, run: Run, sensor: str | None = None) -> None:
    """Print a finished run of one fold; `sensor` is the camera that the command named."""
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
                "split": _roles(plan, run),
                "notes": list(record.notes),
                "hints": list(record.hints),
            }
        )
        return
    _table_of_roles(ui, plan, run=run)
    best = f", best epoch {record.best_epoch}" if record.chose_epoch else ""
    how = f" {counted(record.epochs, 'epoch')}{best} ({record.stopped})," if plan.kind.iterative else ""
    ui.text(
        f"Trained {record.model.name}:{how} {record.seconds:.0f} s",
        f"Run: {run.path}",
        f"Next: {_evaluation(run, sensor)}",
    )


def tell_folds_plan(ui: Ui, plan: FoldsPlan) -> None:
    """Print a dry run of several folds."""
    if ui.as_json:
        ui.result(
            {
                "dry_run": True,
                "study": plan.study.name,
                "model": plan.any.kind.name,
                "protocol": plan.folds.protocol,
                "settings": plan.any.config.as_dict(),
                **describe_folds(plan.folds),
                "split_fingerprint": plan.folds.fingerprint,
                "hints": list(plan.hints),
            }
        )
        return
    table_of_folds(ui, plan.folds, plan.study.name)
    more = "" if plan.final is None else ", then one model on all patients"
    many = len(plan.plans)
    times = "once" if many == 1 else f"{many} times"
    ui.text(f"Would train {plan.any.kind.name} {times} ({plan.folds.protocol}){more}.")


def tell_folds_run(ui: Ui, plan: FoldsPlan, run: Run, sensor: str | None = None) -> None:
    """Print a finished run of several folds; `sensor` is the camera that the command named."""
    record = run.record
    if ui.as_json:
        ui.result(
            {
                "run": str(run.path),
                "model": record.model.name,
                "protocol": record.protocol,
                **describe_folds(plan.folds),
                "chosen": list(record.chosen),
                "kept": record.kept,
                "seconds": record.seconds,
                "notes": list(record.notes),
                "hints": list(record.hints),
            }
        )
        return
    table_of_folds(ui, plan.folds, plan.study.name)
    kept = "no model kept for use" if record.kept is None else f"model for use: {record.kept}"
    many = len(plan.plans)
    ui.text(
        f"Trained {record.model.name}: {counted(many, 'fold')}, {record.seconds:.0f} s; {kept}",
        *record.notes,
        f"Run: {run.path}",
        f"Next: {_evaluation(run, sensor)}",
    )


def _evaluation(run: Run, sensor: str | None) -> str:
    """The command that evaluates a run; a camera that is described in a file of its own must be named again."""
    from gliomap.sensors import sensor_file

    again = [] if sensor is None or sensor_file(sensor) is None else ["--sensor", sensor]
    return command_line("evaluate", run.path, *again)


def describe_folds(folds: Folds) -> dict[str, Any]:
    """Who trains, validates and tests in each fold, and the protocol's warning."""
    from gliomap.studies import PROTOCOLS

    return {
        "warning": PROTOCOLS[folds.protocol].warning,
        "folds": {
            name: {role: list(split.patients_of(role)) for role in ("train", "validation", "test")}
            for name, split in folds.splits.items()
        },
    }


def table_of_folds(ui: Ui, folds: Folds, study: str) -> None:
    """One row per fold."""
    rows = [
        [name, *(_patients(split, role) for role in ("train", "validation", "test"))]
        for name, split in folds.splits.items()
    ]
    mixed = " (mixes patients)" if folds.first.pixels is not None else ""
    ui.table(["fold", "train", "validation", "test"], rows, title=f"{study}: {folds.protocol}{mixed}", numbers="    ")


def _patients(split: Split, role: str) -> str:
    patients, parts = split.patients_of(role), split.pixels
    if not patients:
        return ""
    shown = f"{len(patients)} patients" if len(patients) > 3 else ", ".join(patients)
    return shown if parts is None else f"{shown}, {len(parts.of_role(role))} of {parts.count} parts"


def tell_models(ui: Ui) -> None:
    """Print which models can be trained, at what cost, and where they come from."""
    from gliomap.learning import MODELS

    facts = ("name", "title", "description", "window", "cost", "source", "backends")
    if ui.as_json:
        ui.result({"models": [{fact: getattr(kind, fact) for fact in facts} for kind in MODELS.values()]})
        return
    ui.table(
        ["model", "description", "cost", "runs on", "source"],
        [[kind.name, kind.description, kind.cost, ", ".join(kind.backends), kind.source] for kind in MODELS.values()],
        title="Models",
        numbers="     ",
    )
    ui.text("Costs were measured on two cores: training on about 40,000 pixels; a frame of 1088×2048 pixels.")
