"""Trainings on a cluster, as documents: one job, or a sweep over the folds of a protocol and a job that combines them.

The command of a job is a line of `gliomap` commands, with Azure's placeholders for folders.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gliomap import __version__
from gliomap._files import sha256_of
from gliomap.deploy.azure._assets import DEFAULT_DATASTORE
from gliomap.deploy.azure._code import UNPACK, code_folder, environment
from gliomap.deploy.azure._documents import SCHEMAS, Document
from gliomap.errors import UsageError
from gliomap.learning import MODELS, PRESETS
from gliomap.studies import PROTOCOLS, USUAL_FOLDS, Folds, refuse_unheeded
from gliomap.tracking import COMMIT_VARIABLE
from gliomap.tracking import environment as environment_here

__all__ = ["STUDY", "TRAINING", "TrainJob", "check_training", "fold_names", "job_name", "training_documents"]

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_MOST_HOURS = 24
_HOLDING_OUT = ("test_patient", "test_capture", "train_capture", "validation_patient", "allow_same_patient")
STUDY, TRAINING = "gliomap-study", "gliomap-training"
"""Tags of a job: its study, and the fingerprint of the whole training."""
METRIC = "validation_accuracy"
"""Metric by which the studio sorts a sweep; no fold is selected by it."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A training to run.

    Attributes
    ----------
    name
        Name of the job, new in the workspace.
    study
        Reference of its data asset, `azureml:NAME:V`.
    options
        Options of `gliomap train`, as typed.
    files
        Name → local file named by an option; uploaded with the code.
    experiment, compute
        Names in the workspace.
    folds
        Values of `--fold` for a sweep; empty for a single job.
    trials
        Folds that run at the same time.
    keeps_model
        Whether the training yields a model for use.
    datastore
        Datastore for the results.
    """

    name: str
    study: str
    options: tuple[str, ...]
    experiment: str
    compute: str
    files: Mapping[str, Path] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    trials: int = 4
    keeps_model: bool = True
    datastore: str = DEFAULT_DATASTORE

    @property
    def last(self) -> str:
        """The job that outputs the run and the bundle."""
        return f"{self.name}-end" if self.folds else self.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the training: study, options, the files that they name, folds."""
        files = {name: sha256_of(path) for name, path in self.files.items()}
        content = json.dumps([self.study, self.options, sorted(files.items()), self.folds])
        return hashlib.sha256(content.encode()).hexdigest()

    def folder(self, output: str) -> str:
        """Folder of an output in the datastore's container."""
        owner = self.name if output == "folds" else self.last
        return f"gliomap/jobs/{owner}/{output}"

    def address(self, output: str) -> str:
        """The same folder as an azureml:// address."""
        return f"azureml://datastores/{self.datastore}/paths/{self.folder(output)}"


def job_name(model: str, protocol: str) -> str:
    """A new job name."""
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"gliomap-{model}-{protocol}-{now}-{secrets.token_hex(2)}".replace("_", "-")


def check_training(options: Mapping[str, Any], name: str) -> None:
    """Refuse now what would fail on the cluster ten minutes later.

    Raises
    ------
    UsageError
        A model, preset or protocol is unknown, data is held out although the protocol decides that, or the name is invalid.
    """
    for what, known in (("model", MODELS), ("preset", PRESETS), ("protocol", PROTOCOLS)):
        if options[what] not in known:
            raise UsageError(f"{what} {options[what]!r}", "is unknown", f"Choose one of: {', '.join(known)}.")
    held = [option for option in _HOLDING_OUT if options[option]]
    if held and (options["protocol"] != "holdout" or options["split"] is not None):
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in held)
        raise UsageError("the protocol", f"itself decides who trains and tests; {flags} cannot be given", "Omit it.")
    if not _JOB_NAME.fullmatch(name):
        raise UsageError(f"name {name!r}", "is not a valid job name", "Use letters, digits, '-' and '_'.")


def fold_names(protocol: str, folds: int | None, patients: int, *, split: Path | None, final: bool) -> tuple[str, ...]:
    """The values of `--fold` for all folds of a protocol; empty if there is only one fold.

    Parameters
    ----------
    protocol
        A name in `PROTOCOLS`.
    folds
        Requested number of folds; None if none was.
    patients
        Number of labelled patients in the study; 0 if unknown.
    split
        A file of folds instead of a protocol.
    final
        Whether a model on all patients is wanted.

    Raises
    ------
    UsageError
        The protocol is `lopo` and the number of patients is unknown, the file is of another protocol, or the protocol offers
        no choice of the folds that were requested.
    """
    refuse_unheeded(protocol, folds, from_file=split is not None)
    if split is not None:
        given = Folds.load(split)
        if protocol not in ("holdout", given.protocol):
            raise UsageError(
                f"protocol {protocol}", f"is not that of {split}, {given.protocol}", "Omit one of the two."
            )
        protocol, count = given.protocol, len(given.splits)
    else:
        chosen = folds or USUAL_FOLDS
        count = {"kfold-patient": chosen, "double-cv": chosen * chosen, "lopo": patients}.get(protocol, 1)
    if protocol == "lopo" and not count:
        raise UsageError("lopo", "has one fold per patient, but the number of patients is unknown", "Add --patients N.")
    if count < 2:
        return ()
    with_final = final and PROTOCOLS[protocol].warning is None
    return (*map(str, range(1, count + 1)), *(("final",) if with_final else ()))


def training_documents(job: TrainJob) -> tuple[Document, ...]:
    """One command job, or the sweep followed by the job that combines its folds."""
    if not job.folds:
        return (_command_job(job, job.options, {}),)
    folds = {"folds": {"type": "uri_folder", "mode": "download", "path": job.address("folds")}}
    return _sweep(job), _command_job(job, (*job.options, "--folds-from", "${{inputs.folds}}"), folds)


def _command_job(job: TrainJob, options: Sequence[str], inputs: Mapping[str, Any]) -> Document:
    outputs = ("run", "bundle") if job.keeps_model else ("run",)
    return Document(
        "job",
        {
            "$schema": f"{SCHEMAS}/commandJob.schema.json",
            "type": "command",
            **_head(job, job.last),
            "command": _line(options, keeps_model=job.keeps_model),
            **_means(job),
            "inputs": {**_study_input(job), **inputs},
            "outputs": {name: _output(job.address(name)) for name in outputs},
            "compute": f"azureml:{job.compute}",
            "limits": {"timeout": _MOST_HOURS * 3600},
        },
    )


def _sweep(job: TrainJob) -> Document:
    line = f"{UNPACK} && {_train(job.options)} --fold ${{{{search_space.fold}}}} --out run && cp -R run/. ${{{{outputs.folds}}}}"
    return Document(
        "job",
        {
            "$schema": f"{SCHEMAS}/sweepJob.schema.json",
            "type": "sweep",
            **_head(job, job.name),
            "sampling_algorithm": "grid",
            "search_space": {"fold": {"type": "choice", "values": list(job.folds)}},
            "objective": {"goal": "maximize", "primary_metric": METRIC},
            "trial": {"command": line, **_means(job)},
            "inputs": _study_input(job),
            "outputs": {"folds": _output(job.address("folds") + "/${{name}}")},
            "compute": f"azureml:{job.compute}",
            "limits": {
                "max_total_trials": len(job.folds),
                "max_concurrent_trials": min(job.trials, len(job.folds)),
                "timeout": _MOST_HOURS * 3600,
            },
        },
    )


def _head(job: TrainJob, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "display_name": name,
        "experiment_name": job.experiment,
        "tags": {"gliomap": __version__, STUDY: job.study.removeprefix("azureml:"), TRAINING: job.fingerprint},
    }


def _means(job: TrainJob) -> dict[str, Any]:
    """Code, environment and variables, the same for all jobs."""
    added = {name: path.read_bytes() for name, path in job.files.items()}
    commit = environment_here().commit
    return {
        "code": str(code_folder(added)),
        "environment": environment("train"),
        **({"environment_variables": {COMMIT_VARIABLE: commit}} if commit else {}),
    }


def _study_input(job: TrainJob) -> dict[str, Any]:
    return {"study": {"type": "uri_folder", "mode": "download", "path": job.study}}


def _output(address: str) -> dict[str, Any]:
    return {"type": "uri_folder", "mode": "upload", "path": address}


def _train(options: Sequence[str]) -> str:
    # Placeholders stay unquoted: Azure replaces them with paths without spaces.
    words = [word if word.startswith("${{") else shlex.quote(word) for word in options]
    return " ".join(["python -m gliomap train ${{inputs.study}}", *words])


def _line(options: Sequence[str], *, keeps_model: bool) -> str:
    steps = [
        UNPACK,
        f"{_train(options)} --out run",
        "python -m gliomap evaluate run --study ${{inputs.study}}",
        *(["python -m gliomap bundle create run --out bundle"] if keeps_model else []),
        "cp -R run/. ${{outputs.run}}",
        *(["cp -R bundle/. ${{outputs.bundle}}"] if keeps_model else []),
    ]
    return " && ".join(steps)
