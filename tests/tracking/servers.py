"""A real `mlflow server` for a test: started on loopback, killed, started again at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from support import free_port, wait_until

MLFLOW = Path(sys.executable).with_name("mlflow")


class MlflowServer:
    """An `mlflow server` with its database and its folder of files, which outlive it."""

    def __init__(self, folder: Path, database: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self._words = [
            str(MLFLOW),
            "server",
            *("--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        known = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with self.log.open("ab") as log:
            # The server starts further processes; in a session of their own they can be killed together.
            self._process = subprocess.Popen(
                self._words, stdout=log, stderr=log, env=known | quiet, start_new_session=True
            )
        wait_until(self._answers, self._process, self.log.read_text)

    def kill(self) -> None:
        """Kill the server at once, as a power failure would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
