"""Follow jobs while they run: state, growing log, folds of a sweep, and the logs that remain when they fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from azure.ai.ml.entities import Job
from azure.core.rest import HttpRequest

from gliomap.deploy.azure._client import Connection, plain
from gliomap.deploy.azure._faults import azure_faults
from gliomap.errors import AzureError

__all__ = ["follow_job", "job_logs"]

ENDED = ("Completed", "Failed", "Canceled")
POLL_SECONDS = 5.0
_LAST_LINES = 40

Say = Callable[[str], None]


def follow_job(connection: Connection, name: str, say: Say) -> Job:
    """Wait until a job ends, passing on each new line of its log; Ctrl-C leaves it running.

    Parameters
    ----------
    connection
        Connection to its workspace.
    name
        Name of the job.
    say
        Receives each line.

    Raises
    ------
    AzureError
        The job failed or was cancelled; the last lines of its log have been passed on.
    """
    said: dict[str, int] = {}
    state = counted = ""
    while True:
        with azure_faults(f"job {name}"):
            job: Job = connection.client.jobs.get(name)
        if (now := plain(job.status)) != state:
            state = now
            say(f"{name}: {state.lower()}")
        ended = state in ENDED
        folds = _folds(connection, name) if job.type == "sweep" else {}
        if (now := ", ".join(f"{count} {one.lower()}" for one, count in Counter(folds.values()).items())) != counted:
            counted = now
            say(f"{name}: folds: {counted}")
        for file, text in _logs(connection, name).items():
            # An unterminated last line is still being written.
            lines = text.splitlines() if ended or text.endswith("\n") else text.splitlines()[:-1]
            for line in lines[said.get(file, 0) :]:
                say(f"  {line}")
            said[file] = len(lines)
        if state == "Completed":
            return job
        if ended:
            for fold in (one for one, how in folds.items() if how == "Failed"):
                for file, text in _logs(connection, fold).items():
                    say(f"{fold}/{file}:")
                    for line in text.splitlines()[-_LAST_LINES:]:
                        say(f"  {line}")
            raise AzureError(
                f"job {name}",
                f"ended as {state.lower()}",
                f"Its log is above; `gliomap azure logs {name}` shows it again. Fix the cause and run the command again.",
            )
        time.sleep(POLL_SECONDS)


def job_logs(connection: Connection, name: str) -> Mapping[str, str]:
    """The logs of a job's command and of each fold of a sweep, as far as they exist: file → text.

    Raises
    ------
    AzureError
        There is no such job.
    """
    found = dict(_logs(connection, name))
    for fold in _folds(connection, name):
        found |= {f"{fold}/{file}": text for file, text in _logs(connection, fold).items()}
    return found


def _logs(connection: Connection, name: str) -> Mapping[str, str]:
    """The logs of one run."""
    with azure_faults(f"log of job {name}"):
        files = _history(connection, f"{name}/details").get("logFiles") or {}
        # Their addresses are signed, so no token is sent.
        return {
            file: _read(connection, address) for file, address in sorted(files.items()) if file.startswith("user_logs/")
        }


def _folds(connection: Connection, name: str) -> dict[str, str]:
    """The runs that a sweep has started so far: name → state."""
    with azure_faults(f"folds of job {name}"):
        return {one["runId"]: one["status"] for one in _history(connection, f"{name}/children").get("value") or ()}


def _history(connection: Connection, what: str) -> dict[str, Any]:
    """Answer of the run history service."""
    address = f"{connection.services}/history/v1.0{connection.settings.arm_id}/runs/{what}"
    told: dict[str, Any] = connection.ask(HttpRequest("GET", address)).json()
    return told


def _read(connection: Connection, address: str) -> str:
    return connection.ask(HttpRequest("GET", address), signed=False).text()
