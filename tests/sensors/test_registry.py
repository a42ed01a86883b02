"""Sensors by name and by file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliomap.errors import MachineError, OutputExistsError, SensorError, UsageError
from gliomap.sensors import (
    correction_matrix_from_responses,
    get_sensor,
    import_sensor,
    list_sensors,
    read_sensor_toml,
    sensor_file,
    user_registry,
    write_sensor_toml,
)
from support import shared


@pytest.fixture(autouse=True)
def own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sensors"
    monkeypatch.setenv("GLIOMAP_SENSORS", str(folder))
    return folder


def test_the_packaged_sensors_are_listed() -> None:
    assert list_sensors() == ("generic-nir-5x5", "nemesis")


def test_a_user_without_a_home_folder_can_use_the_packaged_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, a user may have an ID but no home folder."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("GLIOMAP_SENSORS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert list_sensors() == ("generic-nir-5x5", "nemesis")
    with pytest.raises(SensorError, match="Known names"):
        get_sensor("theirs")
    with pytest.raises(MachineError, match="has no home folder"):
        import_sensor(replace(get_sensor("nemesis"), name="theirs"))


def test_nemesis_is_the_camera_of_the_thesis() -> None:
    sensor = get_sensor("nemesis")
    assert sensor.frame_shape == (1088, 2048)
    assert sensor.cube_shape == (217, 409)
    assert (sensor.bit_depth, sensor.saturation) == (10, 1023)
    assert sensor.wavelengths_nominal
    assert (sensor.wavelengths_nm[0], sensor.wavelengths_nm[-1]) == (660, 951)
    assert sensor.correction_after_division


def test_nemesis_bands_are_where_its_matrix_peaks_except_the_last() -> None:
    sensor = get_sensor("nemesis")
    peaks = sensor.band_matrix().argmax(axis=1)
    assert [sensor.band_of_position[peak] for peak in peaks[:24]] == list(range(24))
    # Rows 23 and 24 peak at the same position; band 24 got the position that is left.
    assert peaks[24] == peaks[23] == 3
    assert sensor.band_of_position[4] == 24
    assert "poorly determined" in sensor.description


@pytest.mark.shared
def test_nemesis_has_the_published_correction_matrix() -> None:
    published = np.loadtxt(shared("data", "sensors", "nemesis_correction_matrix.csv"), delimiter=",")
    matrix = get_sensor("nemesis").band_matrix()
    assert np.array_equal(matrix, published)
    assert np.linalg.matrix_rank(matrix) == 25
    assert np.linalg.cond(matrix) == pytest.approx(19.5, abs=0.05)


def test_the_generic_matrix_is_computed_from_its_responses() -> None:
    sensor = get_sensor("generic-nir-5x5")
    assert sensor.responses is not None
    again = correction_matrix_from_responses(sensor.responses, sensor.wavelengths_nm, 15, 0.02, for_reflectance=True)
    assert np.array_equal(sensor.band_matrix(), again)
    assert sensor.correction_after_division
    # The positions of a mosaic are not in the order of their wavelengths.
    assert np.any(np.diff(sensor.band_of_position) < -1)
    assert sorted(sensor.band_of_position) == list(range(25))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SensorError, match="generic-nir-5x5, nemesis"):
        get_sensor("nemesys")


@pytest.mark.parametrize("name", ["absent.toml", "absent.xml", "absent.xml#1", "", ".", "../nemesis"])
def test_a_path_without_a_sensor_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SensorError):
        get_sensor(name)


def test_sensor_files_are_recognised_by_their_suffix(tmp_path: Path) -> None:
    for name in ("theatre.toml", "THEATRE.TOML"):
        path = tmp_path / name
        write_sensor_toml(get_sensor("nemesis"), path)
        assert get_sensor(path).fingerprint() == get_sensor("nemesis").fingerprint()
        assert sensor_file(path) == path
    assert sensor_file("nemesis") is None
    assert sensor_file("cameras/one.xml") == sensor_file("cameras/one.xml#2") == Path("cameras/one.xml")
    assert sensor_file("ONE.XML#0") == Path("ONE.XML")


def test_an_imported_sensor_is_known_by_name(tmp_path: Path, own_registry: Path) -> None:
    write_sensor_toml(get_sensor("generic-nir-5x5"), tmp_path / "theatre-2.toml")
    text = (tmp_path / "theatre-2.toml").read_text(encoding="utf-8")
    (tmp_path / "theatre-2.toml").write_text(
        text.replace('name = "generic-nir-5x5"', 'name = "theatre-2"'), encoding="utf-8"
    )
    sensor = read_sensor_toml(tmp_path / "theatre-2.toml")
    assert import_sensor(sensor) == own_registry / "theatre-2.toml"
    assert list_sensors() == ("generic-nir-5x5", "nemesis", "theatre-2")
    assert get_sensor("theatre-2").fingerprint() == sensor.fingerprint()
    with pytest.raises(OutputExistsError):
        import_sensor(sensor)
    import_sensor(sensor, overwrite=True)


def test_a_packaged_sensor_cannot_be_replaced() -> None:
    with pytest.raises(UsageError, match="comes with GlioMap"):
        import_sensor(get_sensor("nemesis"), overwrite=True)


@pytest.mark.parametrize("name", ["../nemesis", "", "a b", "-x", "x" * 101])
def test_a_name_must_be_a_valid_file_name(name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid name"):
        import_sensor(replace(get_sensor("nemesis"), name=name))


def test_the_registry_lies_in_the_users_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GLIOMAP_SENSORS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_registry() == tmp_path / "gliomap" / "sensors"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_registry() == tmp_path / ".config" / "gliomap" / "sensors"
