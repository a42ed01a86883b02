"""Opening a study and reading its captures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from gliomap.errors import CubeError, StudyError, TaxonomyError
from gliomap.preprocessing import PreprocessingConfig, Reason
from gliomap.sensors import get_sensor
from gliomap.studies import (
    CaptureSettings,
    Crop,
    StudySettings,
    class_map,
    labelled_spectra,
    open_study,
    read_codes,
    write_cube,
    write_datasets,
    write_map,
    write_mat,
    write_study_toml,
)
from gliomap.studies._arrays import map_shape
from gliomap.taxonomy import THESIS_CLASSES
from studies.makers import StudyMaker, make_codes, make_cube


def test_captures_are_grouped_by_patient(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    assert study.capture_ids == ("ID0001C01", "ID0001C02", "ID0002C01", "ID0003C011")
    assert dict(study.patients) == {
        "ID0001": ("ID0001C01", "ID0001C02"),
        "ID0002": ("ID0002C01",),
        "ID0003": ("ID0003C011",),
    }
    assert study.labelled == study.capture_ids
    assert study.name == "study"
    assert not study.has_raw("ID0001C01")
    assert study.files("ID0001C01").dataset.exists()


def test_a_path_that_is_not_utf_8_is_refused(prepared_study: StudyMaker) -> None:
    root = prepared_study().root
    elsewhere = root.with_name(os.fsdecode(b"Universit\xe4t"))  # as a file server that uses Latin-1 names it
    try:
        root.rename(elsewhere)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(StudyError, match="not UTF-8"):
        open_study(elsewhere)


def test_an_alias_makes_two_identifiers_one_patient(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    write_study_toml(study.root, StudySettings(name="Joined", aliases={"ID0003": "ID0001"}))
    study = open_study(study.root)
    assert study.name == "Joined"
    assert study.patients["ID0001"] == ("ID0001C01", "ID0001C02", "ID0003C011")
    assert study.patient_of("ID0003C011") == "ID0001"


def test_written_cubes_and_maps_are_read_back_unchanged(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    for seed, capture_id in enumerate(study.capture_ids):
        cube, codes = study.cube(capture_id), study.codes(capture_id)
        np.testing.assert_array_equal(cube.data, make_cube(seed=seed).data)
        np.testing.assert_array_equal(codes, make_codes(seed=seed))
        assert (cube.wavelengths_nm, cube.units) == (None, "brightness-normalised reflectance")
        assert cube.mask.all()


def test_rows_of_labelled_spectra_follow_the_map_column_by_column(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    cube, codes, spectra = study.cube("ID0001C01"), study.codes("ID0001C01"), study.dataset("ID0001C01")
    expected = [(row, column) for column in range(8) for row in range(9) if codes[row, column]]
    assert len(expected) == len(spectra.data)
    for index, (row, column) in enumerate(expected):
        np.testing.assert_array_equal(spectra.data[index], cube.data[row, column])
        assert spectra.codes[index] == codes[row, column]
    np.testing.assert_array_equal(spectra.classes, THESIS_CLASSES.from_codes(spectra.codes))


def test_scipy_reads_the_layout_of_the_thesis(prepared_study: StudyMaker) -> None:
    root = prepared_study().root
    cube = scipy.io.loadmat(root / "preProcessedImages/SNAPimagesID0001C01_cropped_Pre-processed.mat")
    truth = scipy.io.loadmat(root / "GroundTruthMaps/SNAPgtID0001C01_cropped_Pre-processed.mat")
    spectra = scipy.io.loadmat(root / "datasets/ID0001C01_dataset.mat")
    pixels = int((make_codes() != 0).sum())
    assert cube["preProcessedImage"].shape == (9, 8, 25)
    assert (truth["groundTruthMap"].shape, truth["groundTruthMap"].dtype) == ((9, 8), np.uint16)
    assert (spectra["data"].shape, spectra["data"].dtype) == ((pixels, 25), np.float64)
    assert (spectra["label"].shape, spectra["label4Classes"].shape) == ((pixels, 1), (pixels, 1))


def test_zero_spectra_are_masked_and_stored_reasons_are_read(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    data = make_cube().data
    data[2, 3] = 0
    foreign = study.files("ID0001C01").cube
    write_mat(foreign, {"preProcessedImage": data.astype(np.float64)})
    cube = study.cube("ID0001C01")
    assert cube.invalid_counts() == {"zero_brightness": 1}
    assert not cube.mask[2, 3]

    reasons = cube.reasons.copy()
    reasons[4, 5] = Reason.SATURATED
    write_mat(foreign, {"preProcessedImage": data, "reasons": reasons})
    cube = study.cube("ID0001C01")
    assert cube.invalid_counts() == {"saturated": 1, "zero_brightness": 1}
    assert not cube.data[4, 5].any()

    for not_ours in (reasons.T, reasons.astype(np.float64)):
        write_mat(foreign, {"preProcessedImage": data, "reasons": not_ours})
        assert study.cube("ID0001C01").invalid_counts() == {"zero_brightness": 1}


@pytest.mark.parametrize("shape", [(9, 8), (0, 8, 25)])
def test_a_cube_without_three_dimensions_or_pixels_is_refused(
    prepared_study: StudyMaker, shape: tuple[int, ...]
) -> None:
    study = prepared_study()
    write_mat(study.files("ID0001C01").cube, {"preProcessedImage": np.zeros(shape, np.float32)})
    with pytest.raises(StudyError, match="A cube has shape"):
        study.cube("ID0001C01")


def test_the_shape_of_a_map_ignores_other_variables_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "map.mat"
    write_mat(path, {"palette": np.zeros((3, 2)), "groundTruthMap": make_codes(), "others": np.zeros((5, 4))})
    assert map_shape(path) == read_codes(path).shape == (9, 8)
    write_mat(path, {"groundTruthMap": np.zeros((2, 3, 4))})
    with pytest.raises(StudyError, match="A map has shape"):
        map_shape(path)


def test_nan_in_a_cube_is_counted_and_located(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    data = make_cube().data.astype(np.float64)
    data[3, 4, 7:9] = np.nan
    data[5, 1, 0] = 1e300
    write_mat(study.files("ID0001C01").cube, {"preProcessedImage": data})
    with pytest.raises(CubeError, match=r"holds 3 values of NaN or infinity, in 2 pixels, the first at \(3, 4, 7\)"):
        study.cube("ID0001C01")


def test_wavelengths_come_from_the_named_sensor(prepared_study: StudyMaker) -> None:
    study = prepared_study(sensor='"nemesis"')
    expected = get_sensor("nemesis").wavelengths_nm
    np.testing.assert_array_equal(study.cube("ID0001C01").wavelengths_nm, expected)
    without = prepared_study(sensor='"nemesis"', name='"no sensor"')
    assert without.cube("ID0001C01").wavelengths_nm is None
    np.testing.assert_array_equal(without.cube("ID0001C01", "nemesis").wavelengths_nm, expected)


def test_a_cube_with_another_band_count_than_the_sensor_is_refused(prepared_study: StudyMaker) -> None:
    study = prepared_study(sensor='"nemesis"')
    write_cube(study.root, "ID0001C01", make_cube(bands=24))
    with pytest.raises(StudyError, match="has 24 bands, and sensor 'nemesis' has 25"):
        study.cube("ID0001C01")


def test_a_cube_prepared_with_other_settings_is_refused(prepared_study: StudyMaker) -> None:
    study = prepared_study(sensor='"nemesis"')
    with pytest.raises(StudyError, match=r"made with normalisation = 'brightness', not 'snv' as requested"):
        study.cube("ID0001C01", config=PreprocessingConfig(normalisation="snv"))
    with pytest.raises(StudyError, match="made with sensor 'nemesis', not 'generic-nir-5x5' as requested"):
        study.cube("ID0001C01", sensor="generic-nir-5x5")


def test_a_full_size_cube_needs_the_crop_of_its_smaller_map(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    write_map(study.root, "ID0001C01", make_codes(4, 5))
    with pytest.raises(StudyError, match="its cube has 9×8 pixels and its map 4×5, and no crop is known") as raised:
        study.cube("ID0001C01")
    assert "[captures.ID0001C01] crop = {row = …, column = …, height = 4, width = 5}" in raised.value.remedy

    crop = Crop(row=3, column=2, height=4, width=5)
    write_study_toml(study.root, StudySettings(captures={"ID0001C01": CaptureSettings(crop=crop)}))
    study = open_study(study.root)
    np.testing.assert_array_equal(study.cube("ID0001C01").data, make_cube().data[3:7, 2:7])
    assert study.codes("ID0001C01").shape == (4, 5)


@pytest.mark.parametrize(("row", "column", "height"), [(6, 2, 4), (3, 4, 4), (3, 2, 5)])
def test_a_crop_that_does_not_fit_is_refused(prepared_study: StudyMaker, row: int, column: int, height: int) -> None:
    study = prepared_study()
    write_map(study.root, "ID0001C01", make_codes(4, 5))
    crop = Crop(row=row, column=column, height=height, width=5)
    write_study_toml(study.root, StudySettings(captures={"ID0001C01": CaptureSettings(crop=crop)}))
    with pytest.raises(StudyError, match="does not fit them"):
        open_study(study.root).cube("ID0001C01")


def test_a_crop_applies_to_a_capture_without_a_map(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    study.files("ID0001C01").map.unlink()
    crop = Crop(row=1, column=1, height=2, width=3)
    write_study_toml(study.root, StudySettings(captures={"ID0001C01": CaptureSettings(crop=crop)}))
    assert open_study(study.root).cube("ID0001C01").data.shape == (2, 3, 25)


def test_missing_files_captures_and_settings_are_named(prepared_study: StudyMaker, tmp_path: Path) -> None:
    study = prepared_study()
    files = study.files("ID0001C01")
    for path in (files.cube, files.map, files.dataset):
        path.unlink()
    write_map(study.root, "ID0001C01", make_codes())
    with pytest.raises(StudyError, match="has neither a pre-processed cube nor raw"):
        study.cube("ID0001C01")
    files.map.unlink()
    with pytest.raises(StudyError, match="has no ground-truth map"):
        study.codes("ID0001C01")
    with pytest.raises(StudyError, match="has no labelled spectra"):
        study.dataset("ID0001C01")
    with pytest.raises(StudyError, match=r"lacks ID0001C01.tif, ID0001CW01.tif, ID0001CD01.tif"):
        study.capture("ID0001C01")
    with pytest.raises(StudyError, match=r"is not in .*It has: ID0001C01, ID0001C02"):
        study.cube("ID0009C01")
    with pytest.raises(StudyError, match=r"names no sensor.*--sensor NAME.*study.toml"):
        study.sensor()
    with pytest.raises(StudyError, match="does not exist"):
        open_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match="is not a folder"):
        open_study(study.files("ID0002C01").map)
    (tmp_path / "empty" / "tif").mkdir(parents=True)
    (tmp_path / "empty" / "tif" / "ID1C1.tif").touch()
    with pytest.raises(StudyError, match="holds no capture"):
        open_study(tmp_path / "empty")


def test_a_folder_inside_or_above_a_study_points_to_the_study(prepared_study: StudyMaker) -> None:
    root = prepared_study().root
    with pytest.raises(StudyError, match=rf"Give the study folder itself: {root}\."):
        open_study(root / "GroundTruthMaps")
    with pytest.raises(StudyError, match=rf"Give a study in it: {root}\."):
        open_study(root.parent)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (np.full((2, 3), 101.5), "holds 6 values that cannot be codes, the first 101.5 at \\(0, 0\\)"),
        (np.array([[101.0, np.nan]]), "the first nan at \\(0, 1\\)"),
        (np.array([[101, -1]]), "the first -1 at"),
        (np.array([[101, 70000]]), "the first 70000 at"),
        (np.full((2, 3, 4), 101), "has shape \\(2, 3, 4\\)"),
        (np.zeros((0, 4)), "has shape \\(0, 4\\)"),
    ],
)
def test_a_map_must_hold_whole_numbers_in_two_dimensions(tmp_path: Path, values: np.ndarray, fault: str) -> None:
    write_mat(tmp_path / "map.mat", {"groundTruthMap": values})
    with pytest.raises(StudyError, match=fault):
        read_codes(tmp_path / "map.mat")


def test_codes_of_no_class_are_counted_and_unknown_codes_refused() -> None:
    codes = np.array([[101, 200, 0], [410, 410, 221]], np.uint16)
    found = class_map(codes)
    np.testing.assert_array_equal(found.labels, [[1, 2, 0], [0, 0, 2]])
    assert found.ignored == {410: 2}
    with pytest.raises(TaxonomyError, match="999"):
        class_map(np.array([[999]], np.uint16))


def test_an_unknown_code_is_reported_with_its_map(prepared_study: StudyMaker) -> None:
    study = prepared_study(["ID0001C01", "ID0002C01"])
    write_map(study.root, "ID0002C01", np.where(make_codes() == 301, 999, make_codes()).astype(np.uint16))
    assert study.class_map("ID0001C01").labels.any()
    with pytest.raises(TaxonomyError, match=r"SNAPgtID0002C01.*not in the taxonomy: 999"):
        study.class_map("ID0002C01")


def test_labelled_spectra_need_a_map_of_the_cubes_size() -> None:
    with pytest.raises(StudyError, match="the cube has 9×8 pixels and the map 4×5"):
        labelled_spectra(make_cube().data, make_codes(4, 5))


def test_labelled_spectra_are_written_for_a_whole_study(prepared_study: StudyMaker) -> None:
    study = prepared_study()
    before = study.files("ID0001C01").dataset.read_bytes()
    for capture_id in study.capture_ids:
        study.files(capture_id).dataset.unlink()
    assert write_datasets(study) == study.capture_ids
    assert study.files("ID0001C01").dataset.read_bytes() == before


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"data": np.ones((3, 25)), "label": np.full((2, 1), 101)}, "its label has 2 values for 3 rows"),
        ({"data": np.ones((3, 5, 5)), "label": np.full((3, 1), 101)}, "its data has shape"),
        ({"data": np.full((3, 25), np.inf), "label": np.full((3, 1), 101)}, "75 values of NaN or infinity"),
        ({"data": np.ones((3, 25))}, "lacks the variable 'label'"),
    ],
)
def test_inconsistent_labelled_spectra_are_refused(
    prepared_study: StudyMaker, arrays: dict[str, np.ndarray], fault: str
) -> None:
    study = prepared_study()
    write_mat(study.files("ID0001C01").dataset, arrays)
    with pytest.raises((StudyError, CubeError), match=fault):
        study.dataset("ID0001C01")
