"""A small phantom study with frames, a run on it and the run's bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gliomap.phantom import make_phantom
from gliomap.sensors import get_sensor, resized
from gliomap.workflows import make_bundle, train

CAMERA = resized(get_sensor("generic-nir-5x5"), 48, 72)
CAPTURE = "ID0003C01"


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three easy patients. Shared by the session: change only a copy."""
    folder = tmp_path_factory.mktemp("study") / "study"
    return make_phantom(folder, patients=3, difficulty="easy", sensor=CAMERA, label_fraction=0.4)


@pytest.fixture(scope="session")
def run(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linear discriminant analysis with the patient of `CAPTURE` held out. Shared by the session, too."""
    return train(study, out=tmp_path_factory.mktemp("run") / "run", model="lda", test_patients=["ID0003"])


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the session, too."""
    return make_bundle(run, tmp_path_factory.mktemp("bundle") / "bundle").path


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(study, tmp_path / "copy"))
