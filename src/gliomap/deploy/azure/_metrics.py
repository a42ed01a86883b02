"""Metrics of the trainings of an experiment: their run folders, without weights and pictures."""

from __future__ import annotations

import re
from pathlib import Path

from gliomap._progress import Track, silent
from gliomap.deploy.azure._client import Connection, plain
from gliomap.deploy.azure._faults import azure_faults
from gliomap.deploy.azure._storage import download_files
from gliomap.errors import AzureError

__all__ = ["fetch_runs"]

_OUTPUT = re.compile(r".*/paths/(gliomap/jobs/[^/]+/run)/?")


def fetch_runs(connection: Connection, experiment: str, folder: Path, *, track: Track = silent) -> list[Path]:
    """Fetch the records of all finished trainings of an experiment into `folder`: one run folder each, oldest first.

    Parameters
    ----------
    connection
        Connection to the workspace.
    experiment
        Its name.
    folder
        An existing folder.
    track
        Receives progress.

    Raises
    ------
    AzureError
        The experiment has no finished training of GlioMap.
    """
    with azure_faults(f"experiment {experiment}"):
        jobs = [job for job in connection.client.jobs.list() if job.experiment_name == experiment]
        done = [job for job in jobs if plain(job.status) == "Completed"]
        places = {}
        for job in sorted(done, key=lambda one: (one.creation_context.created_at, one.name)):
            output = (getattr(job, "outputs", None) or {}).get("run")
            found = _OUTPUT.fullmatch(str(getattr(output, "path", "") or ""))
            if found is not None:
                places[job.name] = found[1]
    if not places:
        raise AzureError(
            f"experiment {experiment}",
            f"has no finished training of GlioMap among its {len(jobs)} jobs",
            "Start one with `gliomap azure train --experiment NAME`; the studio shows what exists.",
        )
    container = connection.container()
    for name, prefix in places.items():
        with azure_faults(f"run of job {name}"):
            download_files(container, prefix, folder / name, only=lambda file: file.endswith(".json"), track=track)
    return [folder / name for name in places]
