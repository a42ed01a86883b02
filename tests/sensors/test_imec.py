"""Calibration files of a vendor: a real one, and made-up ones of both shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gliomap.errors import GlioMapError, SensorError
from gliomap.sensors import ActiveArea, get_sensor, read_imec_xml, read_sensor_toml, sensor_table, write_sensor_toml
from sensors.makers import MATRICES, PEAKS, first_shape, second_shape
from support import shared

REAL = ("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "camera one.xml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.shared
def test_a_real_file_of_the_first_shape_is_read() -> None:
    sensor = get_sensor(shared(*REAL))
    area = sensor.active_area
    assert (area.top, area.left, area.height, area.width) == (3, 0, 1080, 2045)
    assert sensor.cube_shape == (216, 409)
    assert (sensor.bit_depth, sensor.saturation) == (10, 1023)
    assert sensor.n_bands == 25
    assert not sensor.wavelengths_nominal
    assert np.diff(sensor.wavelengths_nm).min() == pytest.approx(0.414, abs=0.001)
    assert sensor.correction is not None
    sums = sensor.correction.matrix.sum(axis=1)
    assert (sums.min(), sums.max()) == (pytest.approx(0.0022, abs=5e-5), pytest.approx(0.0674, abs=5e-5))
    assert not sensor.correction_after_division
    assert sensor.correction.bandpass == "bandpass_600xi-875eo"
    assert sensor.correction.matrix[0, 11] == 9.6813e-005


@pytest.mark.shared
def test_the_real_responses_peak_where_the_bands_are() -> None:
    sensor = read_imec_xml(shared(*REAL))
    assert sensor.responses is not None
    assert sensor.responses.values.shape == (25, 601)
    assert sensor.responses.wavelengths_nm[[0, -1]].tolist() == [400, 1000]
    assert sensor.responses.rejection_filter is not None
    differences = [abs((row.peak_nm or 0) - row.wavelength_nm) for row in sensor_table(sensor)]
    assert np.median(differences) < 0.6
    # One response is cut by the rejection filter's edge, so that its peak moves.
    assert sorted(differences)[-2] < 2


@pytest.mark.shared
def test_the_real_sensor_survives_conversion_to_toml(tmp_path: Path) -> None:
    sensor = read_imec_xml(shared(*REAL))
    write_sensor_toml(sensor, tmp_path / "s.toml")
    assert read_sensor_toml(tmp_path / "s.toml").fingerprint() == sensor.fingerprint()


@pytest.mark.shared
def test_the_real_sensor_without_correction_has_the_vendors_peaks() -> None:
    """Two responses, cut by the edge of the rejection filter, peak in the opposite order to their filters."""
    sensor = read_imec_xml(shared(*REAL))
    # Runs and bundles store this fingerprint.
    assert sensor.fingerprint() == "422b4c4545a936c63bd6cd497cdcb92c45a8fd456db56bcd9671e99617861c7d"
    plain = sensor.uncorrected()
    assert sensor.peaks_nm is not None
    assert np.array_equal(plain.band_matrix() @ sensor.peaks_nm, plain.wavelengths_nm)
    assert np.abs(plain.wavelengths_nm - sensor.wavelengths_nm).max() < 1e-3
    assert not plain.wavelengths_nominal
    # A bundle carries neither peaks nor responses, and has the channels in the same order.
    carried = replace(sensor, peaks_nm=None, responses=None).uncorrected()
    assert carried.band_of_position == plain.band_of_position
    assert carried.wavelengths_nominal


def test_a_higher_second_lobe_does_not_change_a_channels_wavelength(tmp_path: Path) -> None:
    """The file has no rejection filter, so its responses include lobes that the mounted filter blocks."""
    four = (np.eye(4)[[1, 3, 0, 2]] * 0.9).tolist()
    for matrix, lobes in ((four, {2: 520.0, 0: 480.0}), (four[:3], {2: 520.0}), (MATRICES["short pass"], {0: 830.0})):
        path = written(tmp_path, second_shape(lobes=lobes, only=matrix))
        sensor = read_imec_xml(path)
        assert sensor.peaks_nm is not None
        assert sensor.peaks_nm.tolist() == list(PEAKS)
        assert sensor.fingerprint() == replace(sensor, peaks_nm=None).fingerprint()
        write_sensor_toml(sensor, tmp_path / "s.toml")
        for known in (sensor, read_sensor_toml(tmp_path / "s.toml"), replace(sensor, responses=None)):
            plain = known.uncorrected()
            assert plain.wavelengths_nm.tolist() == [500, 600, 700, 800]
            assert not plain.wavelengths_nominal
            assert np.array_equal(plain.band_matrix() @ PEAKS, plain.wavelengths_nm)
        of_position = {row.positions[0]: row.peak_nm for row in sensor_table(sensor) if row.positions}
        assert all(peak == PEAKS[position] for position, peak in of_position.items())


def test_without_the_vendors_peaks_a_lobe_outside_the_bands_is_ignored(tmp_path: Path) -> None:
    text = second_shape(peaks=False, lobes={1: 850.0, 3: 840.0}, only=(np.eye(4)[[1, 3, 0, 2]]).tolist())
    for old, new in zip((500, 600, 700, 800), (510, 590, 650, 700), strict=True):  # so the bands end at 763
        text = text.replace(f"<wavelength_nm>{old}.0<", f"<wavelength_nm>{new}.0<")
    sensor = read_imec_xml(written(tmp_path, text))
    assert sensor.peaks_nm is None
    # A filter that peaks beyond all bands keeps its place.
    assert sensor.band_of_position == (2, 0, 3, 1)
    assert sensor.uncorrected().wavelengths_nm.tolist() == [500, 600, 700, 800]


def test_a_file_of_the_first_shape_is_read(tmp_path: Path) -> None:
    sensor = read_imec_xml(written(tmp_path, first_shape()))
    area = sensor.active_area
    assert (area.top, area.left, area.height, area.width) == (0, 1, 8, 10)
    assert sensor.frame_shape == (9, 12)
    assert sensor.wavelengths_nm.tolist() == [500, 600]
    assert sensor.correction is not None
    assert np.allclose(sensor.correction.matrix, MATRICES["long pass"])
    assert sensor.correction.bandpass == "long pass"
    assert not sensor.wavelengths_nominal
    assert sensor.band_of_position == (1, 0, 1, 1)
    assert sensor.responses is not None
    # The filter at 500 nm sees only what its flank lets through.
    assert sensor.responses.peaks_nm().tolist() == [700, 560, 800, 600]
    assert sensor.responses.values[1].max() == 1


def test_an_index_beyond_the_only_matrix_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, first_shape())
    assert get_sensor(f"{path}#0").fingerprint() == get_sensor(path).fingerprint()
    with pytest.raises(SensorError, match="1 does not exist; the file has 0: the only one"):
        get_sensor(f"{path}#1")


def test_peaks_or_responses_are_enough(tmp_path: Path) -> None:
    sensor = read_imec_xml(written(tmp_path, first_shape(responses=False)))
    assert sensor.responses is None
    assert sensor.band_of_position == (1, 0, 1, 1)
    assert read_imec_xml(written(tmp_path, first_shape(peaks=False))).band_of_position == (1, 1, 1, 1)
    with pytest.raises(SensorError, match="neither responses nor peaks"):
        read_imec_xml(written(tmp_path, first_shape(peaks=False, responses=False)))


def test_a_matrix_with_one_row_summing_to_one_is_not_for_reflectance(tmp_path: Path) -> None:
    sensor = read_imec_xml(written(tmp_path, second_shape(only=[[1.0, 0, 0, 0], [0, 0.02, 0, 0]])))
    assert not sensor.correction_after_division


@pytest.mark.parametrize("attribute", [False, True])
@pytest.mark.parametrize("points", [False, True])
def test_a_file_of_the_second_shape_is_read(tmp_path: Path, attribute: bool, points: bool) -> None:
    path = written(tmp_path, second_shape(attribute=attribute, points=points))
    sensor = read_imec_xml(path, correction=0)
    assert sensor.name == "camera-one"
    assert sensor.frame_shape == (9, 12)
    assert sensor.cube_shape == (4, 5)
    assert sensor.saturation == 4095
    assert sensor.wavelengths_nm.tolist() == [500, 600, 700]
    assert np.allclose(sensor.band_matrix(), MATRICES["short pass"])
    assert sensor.correction is not None
    assert sensor.correction.bandpass == "short pass"
    # Rows sum to 1, so correction may follow the division.
    assert sensor.correction_after_division
    assert sensor.band_of_position == (2, 0, 2, 1)
    assert sensor.responses is not None
    assert sensor.responses.peaks_nm().tolist() == list(PEAKS)


def test_the_mounted_filter_selects_the_matrix(tmp_path: Path) -> None:
    path = written(tmp_path, second_shape())
    sensor = get_sensor(f"{path}#1")
    assert np.allclose(sensor.band_matrix(), MATRICES["long pass"])
    assert not sensor.correction_after_division
    with pytest.raises(SensorError, match="0: short pass; 1: long pass"):
        get_sensor(path)
    with pytest.raises(SensorError, match="2 does not exist"):
        read_imec_xml(path, correction=2)


def test_elements_missing_from_the_only_zone_are_read_from_above_it(tmp_path: Path) -> None:
    text = second_shape()
    start, end = text.index("<pattern_width>"), text.index("<bands>")
    moved = text[:start] + text[end:]
    path = written(tmp_path, moved.replace("<filter_zones>", f"{text[start:end]}<filter_zones>"))
    assert read_imec_xml(path, correction=0).active_area == ActiveArea(1, 1, 8, 10)
    path = written(tmp_path, text.replace("</filter_zone>", "</filter_zone><filter_zone/>", 1))
    with pytest.raises(SensorError, match="has 2 zones; one is supported"):
        read_imec_xml(path, correction=0)


def test_a_single_matrix_needs_no_index(tmp_path: Path) -> None:
    path = written(tmp_path, second_shape(only=[[1.0, 0, 0, 0]]))
    assert read_imec_xml(path).n_bands == 1


def test_without_a_matrix_bands_are_the_peaks(tmp_path: Path) -> None:
    path = written(tmp_path, second_shape().replace("correction_matrix>", "other>"))
    sensor = read_imec_xml(path)
    assert sensor.correction is None
    assert sensor.wavelengths_nm.tolist() == [500, 600, 700, 800]


def test_a_missing_bit_depth_is_assumed_and_stated(tmp_path: Path) -> None:
    path = written(tmp_path, second_shape().replace("<input_bpp>12</input_bpp>", ""))
    sensor = read_imec_xml(path, correction=0)
    assert sensor.bit_depth == 10
    assert "10 assumed" in sensor.source


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<width>12</width>", "", "has no width"),
        ("<width>12</width>", "<width>9e9</width>", "not a whole number in 1…65535"),
        ("<offset_x>1</offset_x>", "<offset_x>1.5</offset_x>", "offset_x: is 1.5"),
        ("<offset_x>1</offset_x>", "<offset_x>7</offset_x>", "extends beyond the frame"),
        ("<offset_y>1</offset_y>", "", "has no offset_y"),
        ("<pattern_width>2", "<pattern_width>3", "each of the 6 mosaic positions"),
        ('index="3"', 'index="2"', "each of the 4 mosaic positions"),
        ('index="3"', 'index="x"', "each of the 4 mosaic positions"),
        ('<band index="3"', '<band index="3"></band><band index="3"', "each of the 4 mosaic positions once"),
        ("1.1000000e+00", "one", "not a number"),
        ("1.1000000e+00", "nan", "not finite"),
        ("1.1000000e+00,", "", "holds 3 numbers, expected 4"),
        ("coefficients", "other", "no coefficients"),
        ("<filter_info>", "<filters>", "is not XML"),
        ("filter_info>", "filters>", "has no filter_info"),
        ("calibration_info", "other", "has no calibration_info"),
        ("sample_points_nm", "other", "has no wavelengths"),
        ("<virtual_bands>", "<virtual_bands><virtual_band/>", "no wavelength_nm"),
    ],
)
def test_a_missing_or_wrong_element_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    text = second_shape()
    assert old in text
    with pytest.raises(SensorError) as caught:
        read_imec_xml(written(tmp_path, text.replace(old, new)), correction=0)
    assert fault in str(caught.value)
    assert "camera one.xml" in str(caught.value)


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">'
        '<!ENTITY c SYSTEM "file:///etc/hostname">]><sensor_calibration>&b;&c;</sensor_calibration>'
    )
    with pytest.raises(SensorError, match="entities, which is refused"):
        read_imec_xml(written(tmp_path, bomb))


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.xml"
    with path.open("wb") as stream:
        stream.truncate(65 * 2**20)
    with pytest.raises(SensorError, match="larger than 64 MiB"):
        read_imec_xml(path)
    with pytest.raises(SensorError, match="is a folder"):
        read_imec_xml(tmp_path)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_garbled_files_raise_only_our_errors(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(second_shape(only=[[1.0, 0, 0, 0]]).encode())
    for _ in range(data.draw(st.integers(0, 6))):
        start = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[start : start + data.draw(st.integers(1, 40))]
        else:
            content[start] = data.draw(st.integers(0, 255))
    path = tmp_path / "garbled.xml"
    path.write_bytes(bytes(content))
    try:
        sensor = read_imec_xml(path)
    except GlioMapError:
        return
    assert np.isfinite(sensor.band_matrix()).all()
