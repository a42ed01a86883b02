"""Classification from Python, including what the command line does not reach."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from gliomap.bundles import open_bundle
from gliomap.captures import read_frame, write_frame
from gliomap.errors import (
    BundleError,
    CaptureError,
    CubeError,
    OutputExistsError,
    StudyError,
    UsageError,
)
from gliomap.preprocessing import load_npz, preprocess_capture, save_npz
from gliomap.sensors import MosaicSensor, get_sensor, import_sensor
from gliomap.studies import (
    CaptureSettings,
    Crop,
    ExposureTimes,
    capture_files,
    chain_of,
    fill_preprocessed,
    open_study,
    read_mat,
    write_cube,
    write_map,
    write_mat,
    write_study_toml,
)
from gliomap.taxonomy import THESIS_CLASSES
from gliomap.workflows import (
    ClassificationResult,
    ClassifyOptions,
    CubeFile,
    FrameFiles,
    StudyCapture,
    classify,
    make_bundle,
)
from workflows.phantom.conftest import CAMERA, CAPTURE


def frames(study: Path) -> FrameFiles:
    files = capture_files(study, CAPTURE)
    return FrameFiles(files.raw, files.white, files.dark)


def test_a_frame_is_classified_without_writing_files(bundle: Path, study: Path) -> None:
    done = classify(bundle, frames(study))
    assert done.folder is None
    assert done.result.files == {}
    assert done.rgb.shape == (48, 72, 3)
    assert done.truth is None
    assert done.result.input.kind == "frame"
    assert done.result.sensor == CAMERA.name
    assert sum(one.share or 0 for one in done.result.classes) == pytest.approx(1)
    assert set(done.result.timings_ms) == {"check", "graph", "finish", "total"}
    assert ClassificationResult.model_validate_json(done.result.model_dump_json()) == done.result


def test_a_capture_of_a_study_comes_with_its_ground_truth(bundle: Path, study: Path) -> None:
    done = classify(bundle, StudyCapture(study, CAPTURE))
    assert done.result.input.kind == "study frame"
    np.testing.assert_array_equal(done.truth, THESIS_CLASSES.from_codes(open_study(study).codes(CAPTURE)))
    labelled = done.truth > 0
    assert (done.tissue.labels[labelled] == done.truth[labelled]).mean() > 0.5, (
        "an easy patient should be classified well"
    )


def test_pictures_and_warnings_say_what_is_synthetic(
    bundle: Path, study: Path, tmp_path: Path, drawn: list[str]
) -> None:
    told = classify(bundle, StudyCapture(study, CAPTURE), out=tmp_path / "a-phantom")
    assert told.result.warnings == ()
    assert f"Tissue map · {CAPTURE} (synthetic patient)" in " ".join(drawn)
    assert f"Tissue map over its picture · {CAPTURE} (synthetic patient)" in " ".join(drawn)
    drawn.clear()
    told = classify(bundle, frames(study), out=tmp_path / "perhaps-a-person")
    (warning,) = told.result.warnings
    assert "from synthetic patients only" in warning
    words = " ".join(drawn)
    assert "(synthetic patient)" not in words
    assert "trained on synthetic patients" in words


def test_both_pictures_warn_of_a_shadow(bundle: Path, study: Path, tmp_path: Path, drawn: list[str]) -> None:
    lit = frames(study)
    raw, _, dark = (tifffile.imread(path) for path in (lit.raw, lit.white, lit.dark))
    raw[:, : raw.shape[1] // 4] = dark[:, : raw.shape[1] // 4] + 1
    dim = tmp_path / "private folder" / "dim.tif"
    dim.parent.mkdir()
    tifffile.imwrite(dim, raw)
    done = classify(bundle, replace(lit, raw=dim), out=tmp_path / "out")
    (told,) = [one for one in done.result.warnings if "hardly any light" in one]
    assert told.startswith("dim.tif: 2")
    words = " ".join(drawn)
    assert words.count(f"Warning: {told}") == 2, "on the map and on the overlay"
    assert "private" not in words
    # The pictures only warn; masking is a setting of study.toml.
    assert (np.load(tmp_path / "out" / "labels.npy")[:, : done.tissue.width // 4] > 0).all()


def test_a_cropped_ground_truth_is_placed_in_the_full_frame(bundle: Path, copy: Path) -> None:
    codes = open_study(copy).codes(CAPTURE)
    write_map(copy, CAPTURE, codes[5:45, 7:67].copy())
    with (copy / "study.toml").open("a") as stream:
        stream.write(f"\n[captures.{CAPTURE}.crop]\nrow = 5\ncolumn = 7\nheight = 40\nwidth = 60\n")
    done = classify(bundle, StudyCapture(copy, CAPTURE))
    assert done.truth is not None
    assert done.truth.shape == (48, 72)
    np.testing.assert_array_equal(done.truth[5:45, 7:67], THESIS_CLASSES.from_codes(codes[5:45, 7:67]))


@pytest.mark.parametrize("fault", ["size", "code", "crop"])
def test_an_unusable_ground_truth_is_left_out_with_a_warning(bundle: Path, copy: Path, fault: str) -> None:
    codes = open_study(copy).codes(CAPTURE).copy()
    if fault == "code":
        codes[0, 0] = 999
    if fault == "crop":
        with (copy / "study.toml").open("a") as stream:
            stream.write(f"\n[captures.{CAPTURE}.crop]\nrow = 4\ncolumn = 0\nheight = 45\nwidth = 72\n")
    write_map(copy, CAPTURE, codes if fault == "code" else codes[:-3])
    done = classify(bundle, StudyCapture(copy, CAPTURE))
    assert done.truth is None
    assert len(done.result.warnings) == 1
    assert "ground" in done.result.warnings[0]


def test_a_capture_without_frames_is_classified_from_its_cube(bundle: Path, copy: Path) -> None:
    by_frame = classify(bundle, StudyCapture(copy, CAPTURE))
    shutil.rmtree(copy / "tif")
    by_cube = classify(bundle, StudyCapture(copy, CAPTURE))
    assert by_cube.result.input.kind == "study cube"
    assert (by_cube.tissue.labels == by_frame.tissue.labels).mean() > 0.999


@pytest.mark.parametrize("other", [{"normalisation": "snv"}, {"spectral_correction": False}])
def test_a_cube_of_another_chain_is_classified_with_a_warning(
    bundle: Path, study: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    capture = open_study(study).capture(CAPTURE)
    path = tmp_path / "cube.npz"
    save_npz(preprocess_capture(capture, replace(open_study(study).preprocessing, **other)), path)
    assert "trained on" in classify(bundle, CubeFile(path)).result.warnings[0]
    assert load_npz(path).n_bands == 25


def test_a_mat_file_of_another_normalisation_is_classified_with_a_warning(bundle: Path, copy: Path) -> None:
    path = capture_files(copy, CAPTURE).cube
    found = read_mat(path, ["preProcessedImage"])["preProcessedImage"]
    assert classify(bundle, CubeFile(path)).result.warnings == (open_bundle(bundle).caution,)
    write_mat(path, {"preProcessedImage": found * np.float32(0.4)})
    assert "spectra of another normalisation" in classify(bundle, CubeFile(path)).result.warnings[0]


def test_paths_may_be_strings(bundle: Path, study: Path) -> None:
    files = capture_files(study, CAPTURE)
    sources = [
        CubeFile(str(files.cube)),
        FrameFiles(str(files.raw), str(files.white), str(files.dark)),
        StudyCapture(str(study), CAPTURE),
    ]
    assert [classify(str(bundle), one).result.shape for one in sources] == 3 * [(48, 72)]


@pytest.mark.parametrize("corrected", [True, False])
def test_a_mat_file_without_spectral_correction_causes_a_warning(bundle: Path, copy: Path, corrected: bool) -> None:
    chain = replace(open_study(copy).preprocessing, spectral_correction=corrected)
    write_study_toml(copy, open_study(copy).settings.model_copy(update={"preprocessing": chain}))
    fill_preprocessed(open_study(copy), overwrite=True)
    done = classify(bundle, CubeFile(capture_files(copy, CAPTURE).cube))
    told = [one for one in done.result.warnings if "not spectrally corrected, but the bundle was trained on" in one]
    assert len(told) == (0 if corrected else 1)


OTHER = replace(CAMERA, name="other", wavelengths_nm=CAMERA.wavelengths_nm + 3)
"""A camera of the same bands and size, calibrated otherwise."""


def cube_of_other_camera(study: Path, camera: MosaicSensor = OTHER) -> Path:
    """Make the cube of the capture again with another camera; study.toml still names the first."""
    opened = open_study(study)
    chain = chain_of(camera, opened.preprocessing, opened.capture_settings(CAPTURE))
    write_cube(study, CAPTURE, opened.cube_from_frames(CAPTURE, camera), chain=chain)
    return capture_files(study, CAPTURE).cube


@pytest.mark.parametrize("place", ["in its study", "alone"])
def test_a_mat_file_of_another_camera_is_refused(
    bundle: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = cube_of_other_camera(copy)
    if place == "alone":
        path = Path(shutil.move(path, tmp_path / "cube.mat"))
    with pytest.raises(CubeError, match="the bundle's sensor 'generic-nir-5x5'"):
        classify(bundle, CubeFile(path))
    monkeypatch.setenv("GLIOMAP_SENSORS", str(tmp_path / "sensors"))
    import_sensor(OTHER)
    with pytest.raises(CubeError, match="was made with sensor 'other', but the bundle is for 'generic-nir-5x5'"):
        classify(bundle, CubeFile(path))


def test_a_mat_file_without_a_recorded_camera_takes_that_of_its_study(bundle: Path, copy: Path, tmp_path: Path) -> None:
    path = capture_files(copy, CAPTURE).cube
    cube = read_mat(path, ["preProcessedImage"])
    write_mat(path, cube)
    assert classify(bundle, CubeFile(path)).result.warnings == (open_bundle(bundle).caution,)
    write_mat(tmp_path / "cube.mat", cube)
    assert "does not record its camera" in classify(bundle, CubeFile(tmp_path / "cube.mat")).result.warnings[0]
    write_study_toml(copy, open_study(copy).settings.model_copy(update={"sensor": "nemesis"}))
    with pytest.raises(CubeError, match=r"whose study\.toml names sensor 'nemesis'"):
        classify(bundle, CubeFile(path))


def test_a_mat_file_must_match_crop_and_exposures_of_its_study(bundle: Path, copy: Path) -> None:
    settings, cube = open_study(copy).settings, open_study(copy).cube(CAPTURE)
    made_with = CaptureSettings(
        crop=Crop(row=3, column=5, height=40, width=50), exposures=ExposureTimes(raw_ms=40, white_ms=20, dark_ms=40)
    )
    write_study_toml(copy, settings.model_copy(update={"captures": {CAPTURE: made_with}}))
    chain = chain_of(CAMERA, open_study(copy).preprocessing, made_with)
    write_cube(copy, CAPTURE, cube.cropped(3, 5, 40, 50), chain=chain)
    path = capture_files(copy, CAPTURE).cube
    assert classify(bundle, CubeFile(path)).result.shape == (40, 50)
    write_study_toml(copy, settings)
    with pytest.raises(CubeError, match="crop and exposures"):
        classify(bundle, CubeFile(path))


@pytest.mark.parametrize("measured", [False, True])
def test_reduced_precision_states_agreement_or_that_none_was_measured(
    run: Path, study: Path, tmp_path: Path, measured: bool
) -> None:
    made = make_bundle(run, tmp_path / "bundle", reduced_precision=measured)
    reduced = ClassifyOptions(backend="openvino", precision="reduced")
    (told,) = [one for one in classify(made.path, frames(study), options=reduced).result.warnings if "reduced" in one]
    if measured:
        agreement = made.manifest.backends["openvino-reduced"].agreement
        assert f"{agreement:.1%} of labels equalled the model's own" in told
    else:
        assert "was not measured for this bundle" in told
    assert not any("reduced" in one for one in classify(made.path, frames(study)).result.warnings)


def test_a_frame_given_as_a_cube_is_refused(bundle: Path, study: Path) -> None:
    with pytest.raises(CubeError, match="is a frame, not a preprocessed cube"):
        classify(bundle, CubeFile(capture_files(study, CAPTURE).raw))


def test_files_of_another_kind_are_refused(bundle: Path, study: Path) -> None:
    files = capture_files(study, CAPTURE)
    with pytest.raises(CaptureError, match="is a cube file") as raised:
        classify(bundle, FrameFiles(files.cube, files.white, files.dark))
    assert "`gliomap classify BUNDLE --cube FILE`" in raised.value.remedy
    for path, what in ((files.map, "a ground-truth map"), (files.dataset, "a file of labelled spectra")):
        with pytest.raises(StudyError, match=f"is {what}, not a cube"):
            classify(bundle, CubeFile(path))


def test_reduced_precision_without_openvino_says_how_to_select_it(bundle: Path, study: Path) -> None:
    with pytest.raises(UsageError, match="is not available with onnxruntime") as raised:
        classify(bundle, frames(study), options=ClassifyOptions(precision="reduced"))
    assert raised.value.remedy == "Add --backend openvino, or leave out --reduced-precision."


def test_masked_pixels_are_counted_by_reason_and_have_no_class(bundle: Path, copy: Path) -> None:
    path = capture_files(copy, CAPTURE).cube
    found = read_mat(path, ["preProcessedImage"])["preProcessedImage"].copy()
    found[10:20, 10:20] = 0
    write_mat(path, {"preProcessedImage": found})
    done = classify(bundle, CubeFile(path))
    assert done.result.invalid["zero_brightness"] >= 100
    assert not done.tissue.labels[10:20, 10:20].any()
    assert done.result.classified + done.result.not_classified == 48 * 72


@pytest.mark.parametrize(("limit", "blank"), [(None, True), (89, True), (90, False), (1000, False)])
def test_the_age_limit_of_references_decides_whether_the_map_is_blank(
    bundle: Path, copy: Path, limit: int | None, blank: bool
) -> None:
    taken = datetime(2026, 11, 23, 9, 30)
    source = frames(copy)
    for path, when in ((source.raw, taken), (source.white, taken), (source.dark, taken - timedelta(minutes=90))):
        write_frame(path, read_frame(path).data, when)
    age = None if limit is None else timedelta(minutes=limit)
    done = classify(bundle, source, options=ClassifyOptions(max_reference_age=age))
    assert done.result.input.reference_age_minutes == 90
    assert (done.result.classified == 0) == blank
    if blank:
        limit = limit or 60
        assert done.result.blanked is not None
        assert f"90.0 min older than the frame; the limit is {limit}.0 min" in done.result.blanked
    else:
        assert done.result.blanked is None


def test_existing_output_is_refused_before_anything_is_computed(study: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "letters").mkdir(parents=True)
    with pytest.raises(OutputExistsError):
        classify(tmp_path / "no bundle", frames(study), out=tmp_path / "out")
    with pytest.raises(UsageError, match="not an earlier result"):
        classify(tmp_path / "no bundle", frames(study), out=tmp_path / "out", overwrite=True)


def test_another_camera_is_refused(bundle: Path, study: Path) -> None:
    with pytest.raises(BundleError, match="nemesis"):
        classify(bundle, frames(study), options=ClassifyOptions(sensor=get_sensor("nemesis")))
