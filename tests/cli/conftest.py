"""Fixtures that run the command, in this process or as it is installed, and small inputs for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

from gliomap.cli import run
from gliomap.cli._ui import Ui
from gliomap.cli._verb import EXAMPLES, new_app, verb
from gliomap.phantom import make_phantom
from gliomap.sensors import get_sensor, resized

COMMAND = Path(sys.executable).with_name("gliomap")


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def call(function: Callable[[Ui], None], *arguments: str, writes: bool = False) -> int:
    """Run a function as the only verb of an application."""
    app = new_app("for tests")
    verb(app, "try", examples=("try",), writes=writes)(function)
    app.callback()(lambda: None)
    EXAMPLES.pop("try")
    code = get_command(app).main(args=["try", *arguments], prog_name="test", standalone_mode=False)
    return code or 0


@pytest.fixture
def gliomap(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process, which is fast enough for most tests."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def installed() -> Run:
    """Run the installed command in its own process, for the main paths."""
    if not COMMAND.exists():
        pytest.skip(f"gliomap is not installed beside {sys.executable}")

    def call(*arguments: object, timeout: float = 300, **environment: str) -> Result:
        done = subprocess.run(
            [str(COMMAND), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "COLUMNS": "80", **environment},
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of three easy patients, recorded by a small camera. Shared by the session: change only a copy."""
    folder = tmp_path_factory.mktemp("study") / "study"
    camera = resized(get_sensor("generic-nir-5x5"), 48, 72)
    return make_phantom(folder, patients=3, difficulty="easy", sensor=camera, label_fraction=0.4)


@pytest.fixture(scope="session")
def small_run(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of linear discriminant analysis on `small_study` with ID0003 held out. Shared by the session, too."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert run(["train", str(small_study), "--model", "lda", "--test-patient", "ID0003", "-o", str(folder), "-q"]) == 0
    return folder


@pytest.fixture(scope="session")
def small_bundle(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `small_run`. Shared by the session, too."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    assert run(["bundle", "create", str(small_run), "-o", str(folder), "-q"]) == 0
    return folder


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(small_bundle, tmp_path / "bundle"))


@pytest.fixture
def study(small_study: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(small_study, tmp_path / "study"))
