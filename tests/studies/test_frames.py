"""Cubes made from frames in memory, compared with prepared ones, and located in the full-size cube."""

from __future__ import annotations

import numpy as np
import pytest

from gliomap.captures import Exposures, read_frame, write_frame
from gliomap.errors import CaptureError, StudyError
from gliomap.preprocessing import HyperCube, prepare_references, preprocess
from gliomap.sensors import MosaicSensor
from gliomap.studies import (
    Crop,
    ExposureTimes,
    Study,
    check_study,
    fill_preprocessed,
    find_crop,
    labelled_spectra,
    open_study,
    write_capture_files,
    write_cube,
    write_dataset,
    write_map,
)
from studies.makers import CAPTURES, SNV, make_codes, make_cube, make_frames, with_settings


def test_frames_need_a_sensor_from_the_call_or_from_study_toml(raw_study: Study, small_sensor: MosaicSensor) -> None:
    with pytest.raises(StudyError, match="names no sensor"):
        raw_study.cube("ID0001C01")
    raw, white, dark = make_frames(small_sensor, 0)
    expected = preprocess(raw, prepare_references(white, dark, small_sensor))
    for cube in (
        raw_study.cube("ID0001C01", small_sensor),
        raw_study.cube("ID0001C01", raw_study.root / "camera.toml"),
        with_settings(raw_study).cube("ID0001C01"),
    ):
        np.testing.assert_array_equal(cube.data, expected.data)
        np.testing.assert_array_equal(cube.wavelengths_nm, small_sensor.wavelengths_nm)


def test_study_toml_sets_preprocessing_and_exposures(raw_study: Study) -> None:
    times = ExposureTimes(raw_ms=40, white_ms=40, dark_ms=40)
    study = with_settings(raw_study, preprocessing=SNV.as_dict(), captures={"ID0001C01": {"exposures": times}})
    assert study.cube("ID0001C01").units == SNV.units
    assert study.capture("ID0001C01").exposures is not None
    assert study.capture("ID0002C01").exposures is None


def test_a_white_of_another_exposure_needs_its_own_dark(raw_study: Study) -> None:
    """The darks of a camera with a bias offset cannot be scaled to another exposure."""
    times = {"raw_ms": 40, "white_ms": 20, "dark_ms": 40}
    study = with_settings(raw_study, captures={"ID0001C01": {"exposures": times}})
    files = study.files("ID0001C01")
    with pytest.raises(CaptureError, match=r"Record a dark of 20 ms"):
        study.cube("ID0001C01")
    own = read_frame(files.dark).data - np.uint16(8)
    write_frame(files.white_dark.with_suffix(".TIF"), own)
    study = open_study(study.root)
    capture = study.capture("ID0001C01")
    references = prepare_references(
        capture.white, capture.dark, capture.sensor, exposures=Exposures(40, 20, 40, 20), white_dark=own
    )
    np.testing.assert_array_equal(study.cube("ID0001C01").data, preprocess(capture.raw, references).data)
    assert files.white_dark.with_suffix(".TIF") in study.sources("ID0001C01")
    assert {finding.thing for finding in check_study(study).findings if "exposure" in str(finding)} == {"exposure"}
    assert not [
        finding for finding in check_study(study).findings if "names do not follow the layout" in finding.message
    ]


def test_a_raw_frame_uses_the_dark_of_the_white_if_exposures_match(raw_study: Study) -> None:
    times = {"raw_ms": 12, "white_ms": 12, "dark_ms": 40, "white_dark_ms": 12}
    study = with_settings(raw_study, captures={"ID0001C01": {"exposures": times}})
    files = study.files("ID0001C01")
    right, (raw, white, own) = study.root / "right", (read_frame(p).data for p in (files.raw, files.white, files.dark))
    write_capture_files(right, "ID0001C01", frames=(raw, white, own))
    # The dark of the longer exposure is brighter than the raw frame, and must not be subtracted.
    for path, frame in ((files.white_dark, own), (files.dark, raw + np.uint16(9))):
        write_frame(path, frame)
    study = open_study(study.root)
    assert study.capture("ID0001C01").findings == ()
    expected = open_study(right).cube("ID0001C01", study.sensor())
    np.testing.assert_array_equal(study.cube("ID0001C01").data, expected.data)


@pytest.mark.parametrize("fault", ["frames", "sensor", "nothing"])
def test_a_cube_that_differs_from_its_frames_causes_a_warning(
    raw_study: Study, small_sensor: MosaicSensor, fault: str
) -> None:
    """A model trained on such cubes would misread frames, and no figure of its evaluation would show it."""
    study = with_settings(raw_study)
    raw, area = make_frames(small_sensor, 0)[0], small_sensor.active_area
    raw[area.top, area.left] = small_sensor.saturation  # a masked pixel neither causes nor prevents the warning
    write_frame(study.files("ID0001C01").raw, raw)
    fill_preprocessed(study)
    if fault == "frames":
        write_frame(study.files("ID0001C01").raw, make_frames(small_sensor, 7)[0])
    if fault == "sensor":
        # As another program writes it: without a record of how it was made.
        write_cube(study.root, "ID0001C01", study.full_cube("ID0001C01", small_sensor.uncorrected()))
    told = [
        finding
        for finding in check_study(study).of("warning")
        if "differ from those that its frames yield" in finding.message
    ]
    assert [finding.thing for finding in told] == ([] if fault == "nothing" else [str(study.files("ID0001C01").cube)])


def test_a_cropped_cube_of_unknown_position_is_not_compared_with_frames(raw_study: Study) -> None:
    study = cropped_study(raw_study, Crop(row=3, column=5, height=7, width=6), keep="cube")
    study.files("ID0001C01").map.unlink()
    check = check_study(open_study(study.root))
    assert check.rows[0].cube_shape == (7, 6, 25)
    assert not any("frames yield" in finding.message for finding in check.findings)


def cropped_study(study: Study, crop: Crop, *, keep: str) -> Study:
    """The study as the thesis would have left it: cropped maps with their cubes or spectra, and no offset."""
    study = with_settings(study)
    for capture_id in CAPTURES:
        cube = study.full_cube(capture_id).cropped(crop.row, crop.column, crop.height, crop.width)
        write_capture_files(study.root, capture_id, cube=cube, codes=make_codes(*crop.shape))
        drop = study.files(capture_id).cube if keep == "dataset" else study.files(capture_id).dataset
        drop.unlink()
    return open_study(study.root)


def test_an_ambiguous_crop_position_is_refused(raw_study: Study, small_sensor: MosaicSensor) -> None:
    frames = (np.full(small_sensor.frame_shape, level, np.uint16) for level in (300, 600, 30))
    write_capture_files(raw_study.root, "ID0001C01", frames=tuple(frames))
    study = cropped_study(raw_study, Crop(row=3, column=5, height=7, width=6), keep="cube")
    with pytest.raises(StudyError, match="no position clearly fits"):
        find_crop(study, "ID0001C01")


@pytest.mark.parametrize(("row", "column", "keep"), [(3, 5, "cube"), (3, 5, "dataset"), (0, 0, "cube"), (5, 8, "cube")])
def test_the_position_of_a_hand_cropped_map_is_found(raw_study: Study, row: int, column: int, keep: str) -> None:
    crop = Crop(row=row, column=column, height=7, width=6)
    study = cropped_study(raw_study, crop, keep=keep)
    assert find_crop(study, "ID0001C01") == crop


def test_the_check_suggests_a_missing_crop(raw_study: Study) -> None:
    study = cropped_study(raw_study, Crop(row=3, column=5, height=7, width=6), keep="dataset")
    check = check_study(study)
    assert [finding.message for finding in check.of("error")] == [
        "its cube has 12×14 pixels and its map 7×6, and no crop is known"
    ] * 2
    hints = [finding.remedy for finding in check.of("note") if "row 3, column 5" in finding.message]
    assert "[captures.ID0001C01] crop = {row = 3, column = 5, height = 7, width = 6}" in hints[0]
    settings = {capture_id: {"crop": {"row": 3, "column": 5, "height": 7, "width": 6}} for capture_id in CAPTURES}
    assert check_study(with_settings(study, captures=settings)).ok


def test_a_crop_position_is_not_guessed(raw_study: Study) -> None:
    study = cropped_study(raw_study, Crop(row=3, column=5, height=7, width=6), keep="cube")
    other = study.full_cube("ID0002C01").cropped(3, 5, 7, 6)
    write_cube(study.root, "ID0001C01", other)
    with pytest.raises(StudyError, match="no position clearly fits"):
        find_crop(study, "ID0001C01")
    write_cube(study.root, "ID0001C01", study.full_cube("ID0001C01"))
    with pytest.raises(StudyError, match="neither a cropped cube nor labelled spectra"):
        find_crop(study, "ID0001C01")


@pytest.mark.parametrize("keep", ["cube", "dataset"])
def test_a_crop_without_valid_spectra_cannot_be_located(raw_study: Study, keep: str) -> None:
    study = cropped_study(raw_study, Crop(row=3, column=5, height=7, width=6), keep=keep)
    empty = np.zeros((7, 6, 25), np.float32)
    if keep == "cube":
        write_cube(study.root, "ID0001C01", HyperCube(empty, None, "", empty.any(axis=2), np.ones((7, 6), np.uint8)))
    else:
        write_map(study.root, "ID0001C01", np.zeros((7, 6), np.uint16))
        write_dataset(study.root, "ID0001C01", labelled_spectra(empty, np.zeros((7, 6), np.uint16)))
    with pytest.raises(StudyError, match="so its position cannot be found"):
        find_crop(study, "ID0001C01")


def test_a_map_larger_than_the_frames_cannot_be_located(raw_study: Study) -> None:
    study = with_settings(raw_study)
    write_capture_files(study.root, "ID0001C01", cube=make_cube(13, 14), codes=make_codes(13, 14))
    with pytest.raises(StudyError, match="its map has 13×14 pixels and 25 bands, its frames yield 12×14 and 25"):
        find_crop(study, "ID0001C01")
    write_capture_files(study.root, "ID0001C01", cube=make_cube(12, 15), codes=make_codes(12, 15))
    with pytest.raises(StudyError, match="its map has 12×15 pixels"):
        find_crop(study, "ID0001C01")
    study.files("ID0001C01").map.unlink()
    with pytest.raises(StudyError, match="has no ground-truth map"):
        find_crop(study, "ID0001C01")


def test_frames_of_different_sizes_are_an_error_even_without_a_sensor(raw_study: Study) -> None:
    write_frame(raw_study.files("ID0001C01").white, np.full((20, 30), 500, np.uint16))
    errors = check_study(raw_study).of("error")
    assert "its frames differ in size" in errors[0].message
    assert "ID0001CW01.tif 20×30" in errors[0].message


def test_broken_frames_are_findings_and_the_check_continues(raw_study: Study) -> None:
    study = with_settings(raw_study)
    raw = study.files("ID0001C01").raw
    raw.write_bytes(raw.read_bytes()[:500])
    files = study.files("ID0002C01")
    white, dark = files.white.read_bytes(), files.dark.read_bytes()
    files.white.write_bytes(dark)
    files.dark.write_bytes(white)
    check = check_study(study)
    assert {str(raw), str(files.white)} <= {
        part for finding in check.of("error") for part in finding.thing.split(" and ")
    }
    assert [row.cube_shape for row in check.rows] == [None, None]
    with pytest.raises(CaptureError):
        study.cube("ID0001C01")


def test_frames_are_checked_even_without_a_sensor(raw_study: Study) -> None:
    files = raw_study.files("ID0001C01")
    files.white.write_bytes(b"not a picture")
    check = check_study(raw_study)
    assert [finding.thing for finding in check.of("error")] == [str(files.white)]
    assert any("no sensor is named" in finding.message for finding in check.of("warning"))
