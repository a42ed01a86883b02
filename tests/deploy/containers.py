"""Whether containers can be built and run here, and the command of an installation without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gliomap.deploy import BASE_IMAGE, ContainerTool, find_tool
from gliomap.errors import MachineError
from support import PROJECT


def needed(what: str) -> NoReturn:
    """Skip the test because something is missing; in CI, fail it."""
    if os.environ.get("GLIOMAP_CI"):
        pytest.fail(f"needs {what}, and CI has to have it")
    pytest.skip(f"needs {what}")


def tool_with_base() -> ContainerTool:
    """Podman or Docker, if it responds and has the base image or can pull it."""
    try:
        tool = find_tool()
    except MachineError as error:
        needed(f"podman or docker ({error.fault})")
    if not tool.succeeds("image", "inspect", BASE_IMAGE) and not tool.succeeds("pull", "--quiet", BASE_IMAGE):
        needed(f"the image {BASE_IMAGE}, and no registry gives it")
    return tool


@dataclass(frozen=True)
class Installation:
    """GlioMap as installed from its wheel into a separate folder, run in an empty folder."""

    library: Path
    folder: Path

    def run(self, *arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of it and check its exit code."""
        done = self.start(*arguments, **environment)
        out, err = done.communicate(timeout=600)
        assert done.returncode == code, f"{arguments}\n{out}\n{err}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start a command of it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GLIOMAP_KEY")}
        return subprocess.Popen(
            [sys.executable, "-c", "from gliomap.cli import main; main()", *map(str, arguments)],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.library), "COLUMNS": "80", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def install(folder: Path) -> Installation:
    """Build the wheel of this checkout and install it without its dependencies."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels, library, empty = folder / "wheels", folder / "library", folder / "empty"
    empty.mkdir(parents=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, PROJECT], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", library, wheel], check=True)
    return Installation(library, empty)


def build_flags(folder: Path) -> list[str]:
    """Flags of `deploy docker` that pass this machine's settings for the package index to the build."""
    settings = {"index-url": os.environ.get("PIP_INDEX_URL"), "timeout": os.environ.get("PIP_DEFAULT_TIMEOUT")}
    certificates = os.environ.get("PIP_CERT")
    config = folder / "pip.conf"
    config.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items() if value))
    trusted = [] if certificates is None else ["--ca", certificates]
    return ["--pip-config", str(config), *trusted, "--build-option=--network=host"]


def inspect(tool: ContainerTool, what: str, template: str) -> Any:
    """A property of an image or a container, as the tool reports it."""
    return tool.output("inspect", "--format", template, what)
