"""Jobs while they run: their state, their log as it grows, and what is left when they fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

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
    """Wait until a job ends and hand on each new line of its log; Ctrl-C leaves it running.

    Parameters
    ----------
    connection
        To its workspace.
    name
        Of the job.
    say
        Takes a line.

    Raises
    ------
    AzureError
        It failed or was cancelled; the last lines of its log have been said.
    """
    said: dict[str, int] = {}
    state = ""
    while True:
        with azure_faults(f"job {name}"):
            job: Job = connection.client.jobs.get(name)
        if (now := plain(job.status)) != state:
            state = now
            say(f"{name}: {state.lower()}")
        ended = state in ENDED
        for file, text in job_logs(connection, name).items():
            # A last line without its end is still being written.
            lines = text.splitlines() if ended or text.endswith("\n") else text.splitlines()[:-1]
            for line in lines[said.get(file, 0) :]:
                say(f"  {line}")
            said[file] = len(lines)
        if state == "Completed":
            return job
        if ended:
            raise AzureError(
                f"job {name}",
                f"ended as {state.lower()}",
                f"Its log is above, and again with: gliomap azure logs {name}. Mend the cause and give the command again.",
            )
        time.sleep(POLL_SECONDS)


def job_logs(connection: Connection, name: str) -> Mapping[str, str]:
    """The logs of what a job's command wrote, as far as they are there: file → text.

    Raises
    ------
    AzureError
        There is no such job.
    """
    with azure_faults(f"log of job {name}"):
        address = f"{connection.services}/history/v1.0{connection.settings.arm_id}/runs/{name}/details"
        details = connection.ask(HttpRequest("GET", address))
        files = details.json().get("logFiles") or {}
        # Their addresses are signed: no token goes along.
        return {
            file: _read(connection, address) for file, address in sorted(files.items()) if file.startswith("user_logs/")
        }


def _read(connection: Connection, address: str) -> str:
    return connection.ask(HttpRequest("GET", address), scope=None).text()
