"""`gliomap sensor list|show|import`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cli.conftest import Run
from gliomap.sensors import get_sensor, resized, write_sensor_toml
from support import shared


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLIOMAP_SENSORS", str(tmp_path / "registry"))
    return tmp_path / "registry"


def test_the_packaged_sensors_are_listed(gliomap: Run) -> None:
    result = gliomap("sensor", "list")
    assert result.code == 0
    assert "nemesis" in result.out
    assert "generic-nir-5x5" in result.out
    told = json.loads(gliomap("sensor", "list", "--json").out)["sensors"]
    nemesis = next(sensor for sensor in told if sensor["name"] == "nemesis")
    assert nemesis["cube_shape"] == [217, 409, 25]
    assert nemesis["wavelengths_nominal"] is True


def test_a_damaged_description_does_not_hide_the_other_cameras(gliomap: Run, registry: Path) -> None:
    registry.mkdir()
    (registry / "theatre-3.toml").write_text("name = ")
    result = gliomap("sensor", "list")
    assert result.code == 0
    assert "nemesis" in result.out
    assert "theatre-3" not in result.out
    assert "theatre-3.toml" in result.err


def test_nominal_wavelengths_are_marked_as_nominal(gliomap: Run) -> None:
    out = gliomap("sensor", "show", "nemesis").out
    assert "660–951 nm nominal" in out
    assert "951.0 nominal" in out
    assert "after the division" in out


@pytest.mark.shared
def test_a_vendors_file_is_shown_and_imported(installed: Run, registry: Path) -> None:
    file = shared("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml")
    shown = installed("sensor", "show", file)
    assert shown.code == 0
    assert "1080×2045 from row 3, column 0" in shown.out
    assert "216×409×25" in shown.out
    imported = installed("sensor", "import", file, "--name", "theatre-2")
    assert imported.code == 0, imported.err
    assert (registry / "theatre-2.toml").is_file()
    again = json.loads(installed("sensor", "show", "theatre-2", "--json").out)
    original = json.loads(installed("sensor", "show", file, "--json").out)
    assert again["fingerprint"] == original["fingerprint"]
    assert "theatre-2" in installed("sensor", "list").out
    twice = installed("sensor", "import", file, "--name", "theatre-2")
    assert twice.code == 2
    assert "already exists" in twice.err


def test_the_responses_are_plotted_to_a_png_file(gliomap: Run, tmp_path: Path) -> None:
    plot = tmp_path / "responses.png"
    result = gliomap("sensor", "show", "generic-nir-5x5", "--plot", plot)
    assert result.code == 0
    assert str(plot) in result.out
    with Image.open(plot) as picture:
        assert picture.width > 600
    assert gliomap("sensor", "show", "generic-nir-5x5", "--plot", plot).code == 2
    assert "ends in .png" in gliomap("sensor", "show", "nemesis", "--plot", tmp_path / "plot.pdf").err


def test_a_packaged_sensor_cannot_be_replaced(gliomap: Run, tmp_path: Path, registry: Path) -> None:
    file = tmp_path / "nemesis.toml"
    write_sensor_toml(resized(get_sensor("nemesis"), 5, 5), file)
    result = gliomap("sensor", "import", file, "--overwrite")
    assert result.code == 2
    assert "cannot be replaced" in result.err
    assert not registry.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no element found"),
        (b"<sensor_calibration>", "XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><sensor_calibration>&a;</sensor_calibration>', ""),
        (b"<sensor_calibration><filter_info/></sensor_calibration>", ""),
    ],
)
def test_a_bad_calibration_file_is_refused_and_named(gliomap: Run, tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "camera.xml"
    file.write_bytes(content)
    for verb in ("show", "import"):
        result = gliomap("sensor", verb, file)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"error: {file}: ")
        assert told in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.xml"]


def test_unknown_names_and_misplaced_options_are_refused(gliomap: Run, tmp_path: Path) -> None:
    unknown = gliomap("sensor", "show", "hasselblad")
    assert unknown.code == 2
    assert "nemesis" in unknown.err
    misplaced = gliomap("sensor", "show", "nemesis", "--correction", "1")
    assert misplaced.code == 2
    assert ".xml" in misplaced.err
    missing = gliomap("sensor", "show", tmp_path / "gone.xml")
    assert missing.code == 2
    assert "gone.xml" in missing.err


@pytest.mark.shared
def test_a_missing_correction_matrix_is_refused(gliomap: Run, tmp_path: Path) -> None:
    file = Path(shutil.copy(shared("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml"), tmp_path / "c.xml"))
    assert gliomap("sensor", "show", file, "--correction", "0").code == 0
    result = gliomap("sensor", "show", file, "--correction", "7")
    assert result.code == 2
    assert "c.xml" in result.err
