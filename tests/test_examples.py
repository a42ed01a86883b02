"""Every script in examples/ runs as its docstring says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gliomap.phantom import make_phantom
from gliomap.preprocessing import load_npz
from gliomap.sensors import get_sensor, resized
from gliomap.studies import capture_files
from support import PROJECT

SCRIPTS = sorted(path.name for path in (PROJECT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "study"
    camera = resized(get_sensor("generic-nir-5x5"), 48, 72)
    return make_phantom(folder, patients=3, difficulty="easy", sensor=camera, label_fraction=0.4)


def example(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROJECT / "examples" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (PROJECT / "examples" / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 50
    assert f"python examples/{name}" in text.split('"""')[1]


def test_each_example_has_a_test() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert SCRIPTS
    assert all(f'example("{name}"' in tests for name in SCRIPTS)


def test_tour_of_a_study(study: Path) -> None:
    out = example("tour_of_a_study.py", study)
    assert "3 patients, 3 captures" in out
    assert "101 healthy grey matter" in out
    assert "sound" in out


def test_cube_from_raw(study: Path, tmp_path: Path) -> None:
    out = example("cube_from_raw.py", study, "ID0001C01", tmp_path / "cube.npz")
    assert "root mean square of a spectrum 1.000" in out
    assert load_npz(tmp_path / "cube.npz").data.shape == (48, 72, 25)


def test_train_bundle_and_classify(study: Path, tmp_path: Path) -> None:
    out = example("train_and_bundle.py", study, tmp_path / "run")
    assert "trained on ID0001, ID0002, tested on ID0003" in out
    assert "100.00% of labels are the model's own" in out
    files = capture_files(study, "ID0003C01")
    picture = tmp_path / "map.png"
    told = example("classify_a_frame.py", tmp_path / "run" / "bundle", files.raw, files.white, files.dark, picture)
    assert "no map" not in told
    assert "healthy: " in told
    with Image.open(picture) as drawn:
        assert drawn.width > 300


def test_plot_class_spectra(study: Path, tmp_path: Path) -> None:
    assert "ID0003" in example("plot_class_spectra.py", study, tmp_path / "spectra.png")
    with Image.open(tmp_path / "spectra.png") as drawn:
        assert drawn.size == (960, 600)
