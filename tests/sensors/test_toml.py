"""Sensor descriptions as files."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gliomap.errors import GlioMapError, SensorError
from gliomap.sensors import MosaicSensor, Responses, get_sensor, read_sensor_toml, write_sensor_toml

SMALL = """
format = 1
name = "small"
frame_shape = [4, 4]
active_area = { top = 0, left = 0, height = 4, width = 4 }
pattern = [2, 2]
bit_depth = 10
saturation = 1023
wavelengths_nm = [500, 600, 700, 800]
band_of_position = [0, 1, 2, 3]
"""


def described(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sensor.toml"
    path.write_text(text, encoding="utf-8")
    return path


GENERIC = get_sensor("generic-nir-5x5")
assert GENERIC.responses is not None


@pytest.mark.parametrize(
    "sensor",
    [
        get_sensor("nemesis"),
        GENERIC,
        replace(GENERIC, responses=Responses(GENERIC.responses.wavelengths_nm, GENERIC.responses.values)),
        replace(GENERIC.uncorrected(), has_bias_offset=False, defective_pixels=np.array([[3, 4], [7, 0]])),
    ],
    ids=["nemesis", "generic", "no pass-band", "uncorrected"],
)
def test_a_sensor_survives_writing_and_reading(sensor: MosaicSensor, tmp_path: Path) -> None:
    write_sensor_toml(sensor, tmp_path / "s.toml")
    again = read_sensor_toml(tmp_path / "s.toml")
    assert again.fingerprint() == sensor.fingerprint()
    assert (again.name, again.description, again.source) == (sensor.name, sensor.description, sensor.source)
    assert np.array_equal(again.band_matrix(), sensor.band_matrix())
    if sensor.responses is not None:
        assert again.responses is not None
        assert np.array_equal(again.responses.effective(), sensor.responses.effective())


def test_a_minimal_description_is_enough(tmp_path: Path) -> None:
    sensor = read_sensor_toml(described(tmp_path, SMALL))
    assert sensor.correction is None
    assert sensor.has_bias_offset
    assert not sensor.wavelengths_nominal
    assert sensor.cube_shape == (2, 2)


def test_bands_are_derived_from_responses(tmp_path: Path) -> None:
    text = SMALL.replace("wavelengths_nm = [500, 600, 700, 800]\nband_of_position = [0, 1, 2, 3]\n", "")
    text += "[responses]\nstart_nm = 500\nstep_nm = 100\nvalues = [[0,0,1,0],[1,0,0,0],[0,1,0,0],[0,0,0,1]]\n"
    sensor = read_sensor_toml(described(tmp_path, text))
    assert sensor.wavelengths_nm.tolist() == [500, 600, 700, 800]
    assert sensor.band_of_position == (2, 0, 1, 3)


def test_a_response_model_has_the_documented_defaults(tmp_path: Path) -> None:
    model = "[response_model]\npeaks_nm = [500, 600, 700, 800]\nfwhm_nm = [9, 9, 9, 9]\npassband_nm = [450, 850]\n"
    told = "neighbour_leak = 0\nlobe_height = 0\nefficiency_at_end = 1\nedge_nm = 6\ngrid_nm = [400, 1000, 1]\n"
    lobe = "lobe_height = 0.2\n"
    for short, long in ((model, model + told), (model + lobe, model + lobe + "lobe_ratio = 0.74\nlobe_fwhm_nm = 14\n")):
        read = [read_sensor_toml(described(tmp_path, SMALL + text)).responses for text in (short, long)]
        assert read[0] is not None
        assert read[1] is not None
        assert np.array_equal(read[0].wavelengths_nm, read[1].wavelengths_nm)
        assert np.array_equal(read[0].effective(), read[1].effective())


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("format = 1", "format = 2", "has format 2, this GlioMap reads 1"),
        ("format = 1", "", "has format None"),
        ("bit_depth = 10", "", "bit_depth: Field required"),
        ("bit_depth = 10", "bit_depth = '10 or so'", "bit_depth"),
        ("bit_depth = 10", "bit_depth = 10\ncolour = 1", "colour: unknown key"),
        ("saturation = 1023", "saturation = 1024", "does not fit 10 bits"),
        ("pattern = [2, 2]", "pattern = [3, 2]", "not whole tiles"),
        ("[500, 600, 700, 800]", "[500, 600, nan, 800]", "wavelengths_nm.2"),
        ("wavelengths_nm = [500, 600, 700, 800]", "", "required when there are no responses"),
        ("name = \"small\"", "name = \"../small\"", "name"),
        ("format = 1", "format = 1\n[", "is not TOML"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[correction]\nafter_division = true\nmatrix = [[1, 0], [1]]", "differ in length"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[correction]\nafter_division = true", "either matrix or computed"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[correction]\nafter_division = true\ncomputed = {}", "requires responses"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[responses]\nvalues = [[1, 2]]", "either wavelengths_nm or start_nm"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[response_model]\npeaks_nm = [500]\nfwhm_nm = [9]\npassband_nm = [400, 900]", "1 peaks for a pattern"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[response_model]\npeaks_nm = [500]\nfwhm_nm = [9, 9]\npassband_nm = [400, 900]", "1 peaks and 2 widths"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[responses]\nstart_nm = 5\nvalues = [[1, 2]]", "either wavelengths_nm or start_nm"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[responses]\nwavelengths_nm = [5, 6]\nvalues = [[1, 2], [1]]", "differ in length"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[response_model]\npeaks_nm = [500]\nfwhm_nm = [9]\npassband_nm = [400, 900]\ngrid_nm = [400, 500, 1e-4]", "3 to 100,000 samples"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[response_model]\npeaks_nm = [500]\nfwhm_nm = [9]\npassband_nm = [400, 900]\ngrid_nm = [400, 500, 100]", "3 to 100,000 samples"),
        ("band_of_position = [0, 1, 2, 3]", "band_of_position = [0, 1, 2, 3]\n[responses]\nwavelengths_nm = [5, 6]\nvalues = [[1, 2]]\n[response_model]\npeaks_nm = [500]\nfwhm_nm = [9]\npassband_nm = [400, 900]", "either responses or response_model"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused_with_its_fault(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in SMALL
    with pytest.raises(SensorError) as caught:
        read_sensor_toml(described(tmp_path, SMALL.replace(old, new)))
    assert fault in str(caught.value)
    assert "sensor.toml" in str(caught.value)


def test_files_that_cannot_be_read_as_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="is a folder"):
        read_sensor_toml(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(SensorError, match="not UTF-8"):
        read_sensor_toml(tmp_path / "latin.toml")
    with (tmp_path / "big.toml").open("wb") as stream:
        stream.truncate(9 * 2**20)
    with pytest.raises(SensorError, match="larger than 8 MiB"):
        read_sensor_toml(tmp_path / "big.toml")


PACKAGED = resources.files("gliomap.sensors").joinpath("registry", "generic-nir-5x5.toml").read_bytes()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_garbled_descriptions_raise_only_our_errors(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(PACKAGED[: data.draw(st.integers(0, len(PACKAGED)))])
    for position in data.draw(st.lists(st.integers(0, max(len(content) - 1, 0)), max_size=6)):
        if content:
            content[position] = data.draw(st.integers(32, 126))
    path = tmp_path / "garbled.toml"
    path.write_bytes(bytes(content))
    try:
        sensor = read_sensor_toml(path)
    except GlioMapError:
        return
    assert np.isfinite(sensor.band_matrix()).all()
