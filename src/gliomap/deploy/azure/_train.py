"""A training on a cluster from start to finish: submit, follow, fetch, register."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from gliomap._files import atomic_folder
from gliomap._progress import Track, silent
from gliomap.bundles import open_bundle
from gliomap.deploy.azure._client import Connection, quiet
from gliomap.deploy.azure._computes import making, require_compute
from gliomap.deploy.azure._documents import Document
from gliomap.deploy.azure._faults import azure_faults
from gliomap.deploy.azure._follow import follow_job
from gliomap.deploy.azure._jobs import STUDY, TRAINING, TrainJob, training_documents
from gliomap.deploy.azure._models import model_document, register_bundle
from gliomap.deploy.azure._storage import download_files
from gliomap.errors import AzureError
from gliomap.tracking import model_name, open_run

__all__ = ["Trained", "train_in_azure"]


@dataclass(frozen=True, slots=True)
class Trained:
    """The results of a training in Azure.

    Attributes
    ----------
    jobs
        Names of the jobs.
    run, bundle
        Local folders; `bundle` is None if no model is kept.
    model
        NAME:VERSION in the workspace's registry, or None.
    seconds
        From submission to the last job's end.
    """

    jobs: tuple[str, ...]
    run: Path
    bundle: Path | None
    model: str | None
    seconds: float


def train_in_azure(
    connection: Connection,
    job: TrainJob,
    out: Path,
    *,
    register: str | None = None,
    overwrite: bool = False,
    say: Callable[[str], None],
    track: Track = silent,
) -> Trained:
    """Run a training and fetch its results into `out`, a run folder with the bundle inside.

    An existing job of this name is followed, not submitted again: after Ctrl-C or a lost connection, the same call with the
    same name continues.

    Parameters
    ----------
    connection
        Connection to the workspace.
    job
        The training.
    out
        Folder for the run.
    register
        Name in the registry; None for a name in the thesis's style, such as Conv2DNet_ID0018C09_noCV.
    overwrite
        Replace `out`.
    say
        Receives lines of the log.
    track
        Receives progress of the download.

    Raises
    ------
    AzureError
        The cluster does not exist, a job failed, or its results are damaged.
    """
    begun = time.monotonic()
    require_compute(connection, job.compute, f"Create it: {making(job.compute)}")
    job = replace(job, datastore=str(connection.datastore.name))
    documents = training_documents(job)
    for document in documents:
        submit(connection, document, say)
        follow_job(connection, document.content["name"], say)
    seconds = time.monotonic() - begun
    container = connection.container()
    with azure_faults(f"results of {job.last}"), atomic_folder(out, overwrite=overwrite) as folder:
        download_files(container, job.folder("run"), folder, track=track)
        if job.keeps_model:
            download_files(container, job.folder("bundle"), folder / "bundle", track=track)
            open_bundle(folder / "bundle")
    names = tuple(document.content["name"] for document in documents)
    if not job.keeps_model:
        return Trained(names, out, None, None, seconds)
    bundle = open_bundle(out / "bundle")
    document = model_document(bundle, path=job.address("bundle"), name=register or model_name(open_run(out)))
    return Trained(names, out, bundle.path, register_bundle(connection, document), seconds)


def submit(connection: Connection, document: Document, say: Callable[[str], None]) -> None:
    """Submit a job unless one of its name exists.

    Raises
    ------
    AzureError
        Azure refuses the job, or the existing one is another training.
    """
    name, wanted = document.content["name"], document.content["tags"]
    with azure_faults(f"job {name}"):
        try:
            there = connection.client.jobs.get(name)
        except ResourceNotFoundError:
            there = None
        if there is None:
            try:
                with quiet():
                    there = connection.client.jobs.create_or_update(document.load())
            except ResourceExistsError:
                there = connection.client.jobs.get(name)
        else:
            say(f"{name} already exists and is followed")
    tags = there.tags or {}
    if tags.get(TRAINING) != wanted[TRAINING]:
        told = f"on {tags[STUDY]}" if tags.get(STUDY, wanted[STUDY]) != wanted[STUDY] else "with other options"
        raise AzureError(
            f"job {name}",
            f"already exists and is another training ({told})",
            "Choose another --name or omit it; to continue that training, give its study and options.",
        )
    if there.studio_url:
        say(f"{name}: {there.studio_url}")
