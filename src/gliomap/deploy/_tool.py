"""Docker or Podman, whichever responds."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from gliomap.errors import MachineError

__all__ = ["ContainerTool", "ToolName", "find_tool"]

logger = logging.getLogger(__name__)

ToolName = Literal["podman", "docker"]
_ANSWERS: Mapping[ToolName, tuple[str, ...]] = {"podman": ("info",), "docker": ("version",)}
"""Commands that fail if the program is installed but its machine or daemon is not running."""
_TAIL = 20


@dataclass(frozen=True, slots=True)
class ContainerTool:
    """A program that builds and runs images.

    Attributes
    ----------
    name
        Name of the tool.
    program
        Path of the program.
    """

    name: ToolName
    program: str

    def output(self, *arguments: str, environment: Mapping[str, str] | None = None, errors_too: bool = False) -> str:
        """Run it and return its standard output.

        Parameters
        ----------
        *arguments
            Arguments after the tool's name.
        environment
            Variables that override those of this process.
        errors_too
            Also return standard error.

        Raises
        ------
        MachineError
            It fails; the message ends with its last output.
        """
        done = self._run(arguments, environment)
        if done.returncode != 0:
            raise self._failure(arguments[0], done.returncode, done.stderr.splitlines())
        return (done.stdout + done.stderr if errors_too else done.stdout).strip()

    def succeeds(self, *arguments: str) -> bool:
        """Whether it succeeds; for queries that may fail."""
        return self._run(arguments, None).returncode == 0

    def stream(self, *arguments: str) -> None:
        """Run it, logging each line of its output as it comes.

        Raises
        ------
        MachineError
            It fails; the message ends with its last output.
        """
        tail: deque[str] = deque(maxlen=_TAIL)
        with subprocess.Popen(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "DOCKER_BUILDKIT": "1"},  # older Docker versions need this for secrets
        ) as process:
            try:
                for line in process.stdout or ():
                    tail.append(line.rstrip())
                    logger.info("%s", line.rstrip())
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise self._failure(arguments[0], process.returncode, list(tail))

    def _failure(self, command: str, code: int, said: list[str]) -> MachineError:
        told = "".join(f"\n  {line}" for line in said[-_TAIL:] if line.strip())
        return MachineError(
            f"{self.name} {command}",
            f"failed with exit code {code}",
            f"Fix what it reports, then try again. Its last output:{told or ' none'}",
        )

    def _run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **(environment or {})},
            check=False,
        )


def find_tool(wanted: ToolName | None = None) -> ContainerTool:
    """Return the first of podman and docker that responds, or the wanted one.

    Raises
    ------
    MachineError
        None responds.
    """
    faults = []
    for name in (wanted,) if wanted else get_args(ToolName):
        program = shutil.which(name)
        if program is None:
            faults.append(f"{name} is not installed")
            continue
        tool = ContainerTool(name, program)
        if tool.succeeds(*_ANSWERS[name]):
            return tool
        faults.append(f"{name} is installed but does not respond ('{name} {_ANSWERS[name][0]}' fails)")
    raise MachineError(
        "containers",
        "; ".join(faults),
        "Install Podman (Debian, Ubuntu: apt-get install podman; elsewhere https://podman.io) or Docker, or start it.",
    )
