"""`gliomap azure train|logs|metrics`."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap._text import command_line
from gliomap.cli._azure_options import DryRun, Where, azure_verb, show_documents, tell_command
from gliomap.cli._runs import tell_thesis_table
from gliomap.cli._train_options import Training
from gliomap.cli._ui import Ui

if TYPE_CHECKING:
    from gliomap.deploy.azure import TrainJob


@azure_verb(
    "train",
    writes=True,
    examples=(
        "gliomap azure train study --compute cpu -o run --test-patient ID0003",
        "gliomap azure train study:2 --compute gpu -o run --protocol lopo --trials 8",
        "gliomap azure train study --compute cpu -o run --model lda --dry-run",
    ),
)
def train(
    ui: Ui,
    asset: Annotated[str, typer.Argument(metavar="STUDY_ASSET", help="Data asset of a study, NAME or NAME:V.")],
    compute: Annotated[str, typer.Option("--compute", metavar="NAME", help="The cluster.")] = "cpu-cluster",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Folder for the run and its bundle.")] = Path(
        "run"
    ),
    name: Annotated[
        str | None, typer.Option("--name", metavar="JOB", help="Name of the job; an existing job is followed.")
    ] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", metavar="NAME", help="Experiment in the studio.")
    ] = "gliomap",
    register: Annotated[
        str | None,
        typer.Option("--register", metavar="NAME", help="Name of the model; by default formed as in the thesis."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", metavar="N", min=1, help="Folds trained at the same time.")] = 4,
    patients: Annotated[
        int | None, typer.Option("--patients", metavar="N", min=1, help="For lopo, if the asset does not record it.")
    ] = None,
    *,
    where: Where,
    dry_run: DryRun = False,
    training: Training,
) -> None:
    """Train on a cluster, fetch the run and bundle, register it.

    The options of `gliomap train` mean the same here. The folds of a protocol run
    as a sweep, then a job combines them. Ctrl-C does not stop the cluster: run
    the same command with --name to continue.
    """
    from gliomap._files import refuse_existing
    from gliomap.deploy.azure import check_training, find_asset, job_name, train_in_azure
    from gliomap.tracking import RECORD

    # Refused before the cluster does any work, not after.
    refuse_existing(out, overwrite=ui.overwrite, mark=RECORD)
    job = name or job_name(training.model, training.protocol)
    check_training(asdict(training), job)
    common = {"name": job, "experiment": experiment, "compute": compute, "trials": trials}
    study, _, version = asset.removeprefix("azureml:").partition(":")
    if dry_run:
        reference = f"azureml:{study}:{version}" if version else f"azureml:{study}@latest"
        from gliomap.deploy.azure import training_documents

        show_documents(ui, *training_documents(_job(reference, training, patients or 0, common)))
        return
    with where.connected() as connection:
        found = find_asset(connection, study, version or None)
        wanted = _job(found.reference, training, patients or found.patients, common)
        ui.say(f"job {job}: if this command ends, continue with --name {job}")
        done = train_in_azure(
            connection, wanted, out, register=register, overwrite=ui.overwrite, say=ui.say, track=ui.track
        )
    if ui.as_json:
        ui.result({**asdict(done), "run": str(done.run), "bundle": None if done.bundle is None else str(done.bundle)})
        return
    ui.text(f"Trained in {done.seconds:.0f} s: {', '.join(done.jobs)}", f"Run: {done.run}")
    if done.model is not None:
        ui.text(
            f"Bundle: {done.bundle}", f"Model: {done.model}", f"Next: {command_line('azure', 'deploy', done.model)}"
        )


def _job(study: str, training: Training, patients: int, common: Mapping[str, Any]) -> TrainJob:
    from gliomap.deploy.azure import TrainJob, fold_names

    split, final = training.split, not training.no_final
    sensor = None if training.sensor is None else Path(training.sensor)
    folds = fold_names(training.protocol, training.folds, patients, split=split, final=final)
    files = {path.name: path for path in (split, sensor) if path is not None and path.is_file()}
    # On the cluster these files are in the job's own folder.
    there = replace(training, split=split and Path(split.name), sensor=None if sensor is None else sensor.name)
    keeps = final or not folds or training.protocol in ("double-cv", "pooled")
    return TrainJob(study=study, options=tuple(as_typed(there)), files=files, folds=folds, keeps_model=keeps, **common)


def as_typed(training: Training) -> list[str]:
    """The options as words of a command line, without those at their defaults."""
    words: list[str] = []
    for option in fields(training):
        value = getattr(training, option.name)
        if value == option.default or value in (None, [], False):
            continue
        words.append(f"--{option.name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, list) else str(value))
    return words


@azure_verb(
    "logs",
    examples=("gliomap azure logs gliomap-lda-lopo-20260102-030405-ab12", "gliomap azure logs brain --deployment blue"),
)
def logs(
    ui: Ui,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A job, or with --deployment an endpoint.")],
    deployment: Annotated[
        str | None, typer.Option("--deployment", metavar="NAME", help="A deployment of the endpoint.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", metavar="N", min=1, help="Last N lines, of a deployment.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow a running job until it ends.")] = False,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Show the log of a job or of a deployment."""
    from gliomap.deploy.azure import deployment_log, follow_job, job_logs

    if dry_run:
        what = f"online-deployment get-logs --endpoint-name {name} --name {deployment} --lines {lines}"
        tell_command(ui, f"az ml {what if deployment else f'job stream --name {shlex.quote(name)}'}")
        return
    with where.connected() as connection:
        if deployment is not None:
            found = {deployment: deployment_log(connection, name, deployment, lines)}
        elif follow:
            follow_job(connection, name, ui.text)
            return
        else:
            found = dict(job_logs(connection, name))
    if ui.as_json:
        ui.result({"name": name, "logs": found})
        return
    for file, text in found.items():
        ui.text(f"== {file}", text.rstrip("\n"))
    if not found:
        ui.say("The log is still empty.")


@azure_verb(
    "metrics",
    writes=True,
    examples=("gliomap azure metrics gliomap --csv experiments.csv", "gliomap azure metrics gliomap --folds"),
)
def metrics(
    ui: Ui,
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="As given to `gliomap azure train --experiment`.")
    ],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="File for the table; stdout by default.")
    ] = None,
    folds: Annotated[bool, typer.Option("--folds", help="One row per fold instead of one per run.")] = False,
    *,
    where: Where,
    dry_run: DryRun = False,
) -> None:
    """Write the thesis's table of an experiment's trainings as CSV.

    It is the table that `gliomap runs export` writes, read from the run folders
    that the jobs left in the workspace's storage.
    """
    from gliomap._files import refuse_existing
    from gliomap.deploy.azure import fetch_runs
    from gliomap.tracking import read_row

    if dry_run:
        tell_command(ui, "az ml job list --max-results 1000")
        return
    if csv is not None:
        refuse_existing(csv, overwrite=ui.overwrite)
    with (
        tempfile.TemporaryDirectory() as scratch,
        where.connected() as connection,
    ):
        rows = [read_row(path) for path in fetch_runs(connection, experiment, Path(scratch), track=ui.track)]
        tell_thesis_table(ui, rows, csv, by_fold=folds)
