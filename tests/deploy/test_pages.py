"""Every command on the docs pages about containers runs as written, with an installation without a checkout."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.containers import Installation
from docs.test_commands import CONTAINER_PAGES, before_a_small_camera, commands
from gliomap.deploy import ContainerTool
from support import free_port

pytestmark = [pytest.mark.container, pytest.mark.slow]


@pytest.fixture
def programs(tool: ContainerTool, installation: Installation, flags: list[str], tmp_path: Path) -> Path:
    """The installed `gliomap`, and the container tool under both names, with this machine's package index settings."""
    folder = tmp_path / "programs"
    folder.mkdir()
    config, certificates = flags[1], flags[3] if "--ca" in flags else None
    secrets = ["--network=host", f"--secret=id=pip.conf,src={config}"]
    secrets += [f"--secret=id=ca.pem,src={certificates}"] if certificates else []
    gliomap = (
        f"PYTHONPATH={installation.library} exec {sys.executable} -c 'from gliomap.cli import main; main()' \"$@\""
    )
    podman = f'if [ "$1" = build ]; then shift; set -- build {shlex.join(secrets)} "$@"; fi\nexec {tool.program} "$@"'
    for name, script in {"gliomap": gliomap, tool.name: podman, "podman": podman}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def with_port(command: str, port: int) -> str:
    """The same command with another port, because servers of other tests may use the default one."""
    local = f" --port {port}" if command.startswith("gliomap deploy local ") else ""
    return command.replace("127.0.0.1:8000", f"127.0.0.1:{port}") + local


@pytest.mark.parametrize("page", CONTAINER_PAGES, ids=str)
def test_the_commands_of_a_page_run(page: Path, image: object, programs: Path, tmp_path: Path) -> None:
    del image  # its layers are reused
    folder = tmp_path / "reader"
    folder.mkdir()
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    port = free_port()
    for typed in commands(page):
        command = with_port(before_a_small_camera(typed, folder), port)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
