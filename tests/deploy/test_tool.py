"""Docker or Podman, whichever responds."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from deploy.fakes import fake_tool
from gliomap.deploy import find_tool
from gliomap.errors import MachineError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_without_podman_and_docker_the_error_says_what_to_install(programs: Path) -> None:
    del programs
    with pytest.raises(MachineError, match=r"podman is not installed; docker is not installed.*apt-get install podman"):
        find_tool()


def test_a_tool_that_does_not_respond_is_skipped(programs: Path) -> None:
    fake_tool(programs, "podman", "exit 125")
    fake_tool(programs, "docker")
    assert find_tool().name == "docker"
    with pytest.raises(MachineError, match="podman is installed but does not respond"):
        find_tool("podman")


def test_podman_is_preferred_if_both_respond(programs: Path) -> None:
    fake_tool(programs, "podman")
    fake_tool(programs, "docker")
    assert find_tool().name == "podman"
    assert find_tool("docker").name == "docker"


def test_docker_without_its_daemon_is_reported_as_unresponsive(programs: Path) -> None:
    fake_tool(programs, "docker", "exit 1")
    with pytest.raises(MachineError, match="docker is installed but does not respond"):
        find_tool()


def test_output_is_logged_and_its_last_lines_are_in_the_error(programs: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake_tool(
        programs,
        "podman",
        '[ "$1" = info ] || { i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; exit 7; }',
    )
    tool = find_tool()
    with caplog.at_level(logging.INFO, "gliomap"), pytest.raises(MachineError) as caught:
        tool.stream("build", ".")
    assert caplog.messages[0] == "line 1"
    assert len(caplog.messages) == 50
    assert "failed with exit code 7" in caught.value.fault
    assert "line 50" in caught.value.remedy
    assert "line 30" not in caught.value.remedy


def test_stdout_is_returned_and_stderr_is_in_the_error(programs: Path) -> None:
    fake_tool(programs, "podman", "echo out; echo err >&2; [ $1 != rm ]")
    tool = find_tool()
    assert tool.output("inspect", "x") == "out"
    with pytest.raises(MachineError, match=r"podman rm: failed with exit code 1.*\n  err"):
        tool.output("rm", "x")
