"""Cubes made from frames: in memory, filled into preProcessedImages/, and located in the full-size cube."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from gliomap.captures import Exposures, read_frame, write_frame
from gliomap.errors import CaptureError, OutputExistsError, StudyError
from gliomap.preprocessing import HyperCube, PreprocessingConfig, prepare_references, preprocess
from gliomap.sensors import MosaicSensor, get_sensor, write_sensor_toml
from gliomap.studies import (
    CaptureSettings,
    Crop,
    ExposureTimes,
    Study,
    StudySettings,
    chain_of,
    check_study,
    fill_preprocessed,
    find_crop,
    labelled_spectra,
    open_study,
    write_capture_files,
    write_cube,
    write_dataset,
    write_map,
    write_study_toml,
)
from sensors.makers import second_shape
from studies.makers import make_codes, make_cube, make_frames

CAPTURES = ("ID0001C01", "ID0002C01")
SNV = PreprocessingConfig(normalisation="snv")


@pytest.fixture
def raw_study(tmp_path: Path, small_sensor: MosaicSensor) -> Study:
    """Two captures as frames and full-size maps. A file describes the sensor, but no study.toml names it."""
    root = tmp_path / "study"
    for seed, capture_id in enumerate(CAPTURES):
        write_capture_files(root, capture_id, frames=make_frames(small_sensor, seed), codes=make_codes(12, 14, seed))
    write_sensor_toml(small_sensor, root / "camera.toml")
    return open_study(root)


def with_settings(study: Study, **settings: object) -> Study:
    write_study_toml(study.root, StudySettings.model_validate({"sensor": "camera.toml", **settings}))
    return open_study(study.root)


def files_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


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


def test_a_sensor_file_and_matrix_are_recorded_relative_to_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "study"
    root.mkdir()
    (root / "camera.xml").write_text(second_shape(), encoding="utf-8")
    sensor = get_sensor(f"{root / 'camera.xml'}#0")
    write_capture_files(root, "ID0001C01", frames=make_frames(sensor, 0), codes=make_codes(4, 5, 0))
    monkeypatch.chdir(tmp_path)
    fill_preprocessed(open_study(root), "study/camera.xml#0")
    monkeypatch.chdir("/")
    study = open_study(root)
    assert study.settings.sensor == "camera.xml#0"
    assert study.sensor().fingerprint() == sensor.fingerprint()


def test_study_toml_sets_preprocessing_and_exposures(raw_study: Study) -> None:
    times = ExposureTimes(raw_ms=40, white_ms=40, dark_ms=40)
    study = with_settings(raw_study, preprocessing=SNV.as_dict(), captures={"ID0001C01": {"exposures": times}})
    assert study.cube("ID0001C01").units == SNV.units
    assert study.capture("ID0001C01").exposures is not None
    assert study.capture("ID0002C01").exposures is None


def test_filling_writes_the_cubes_that_are_made_in_memory(raw_study: Study) -> None:
    study = with_settings(raw_study)
    in_memory = study.cube("ID0002C01")
    report = fill_preprocessed(study)
    assert (report.written, report.kept, report.without_frames) == (CAPTURES, (), ())
    study = open_study(study.root)
    assert study.is_prepared("ID0002C01")
    from_file = study.cube("ID0002C01")
    np.testing.assert_array_equal(from_file.data, in_memory.data)
    np.testing.assert_array_equal(from_file.reasons, in_memory.reasons)
    assert study.sources("ID0002C01")[0] == study.files("ID0002C01").cube


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


def test_filling_continues_where_it_stopped(raw_study: Study) -> None:
    study = with_settings(raw_study)
    fill_preprocessed(study)
    kept = study.files("ID0001C01").cube.stat().st_mtime_ns
    study.files("ID0002C01").cube.unlink()
    report = fill_preprocessed(open_study(study.root))
    assert (report.written, report.kept) == (("ID0002C01",), ("ID0001C01",))
    assert study.files("ID0001C01").cube.stat().st_mtime_ns == kept


def test_an_interrupted_filling_leaves_no_partial_file(raw_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study = with_settings(raw_study, preprocessing=PreprocessingConfig().as_dict())
    before = files_of(study.root)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gliomap._files._flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill_preprocessed(study)
    assert files_of(study.root) == before


def test_filling_adds_its_settings_to_study_toml_and_keeps_the_rest(raw_study: Study) -> None:
    text = '# our notes\nname = "Kept"   # and this\n\n[captures]\n# none yet\n'
    (raw_study.root / "study.toml").write_text(text, encoding="utf-8")
    report = fill_preprocessed(open_study(raw_study.root), raw_study.root / "camera.toml", SNV)
    assert report.recorded
    now = (raw_study.root / "study.toml").read_text(encoding="utf-8")
    assert text.rstrip("\n") in now
    table = tomllib.loads(now)
    assert (table["sensor"], table["name"], table["preprocessing"]["normalisation"]) == ("camera.toml", "Kept", "snv")
    assert not fill_preprocessed(open_study(raw_study.root)).recorded


def test_filling_creates_a_missing_study_toml(raw_study: Study) -> None:
    assert fill_preprocessed(raw_study, raw_study.root / "camera.toml").recorded
    settings = open_study(raw_study.root).settings
    assert settings == StudySettings(sensor="camera.toml", preprocessing=PreprocessingConfig())


def test_a_dry_run_reports_what_filling_would_do_and_writes_nothing(raw_study: Study) -> None:
    (raw_study.root / "study.toml").write_text("name = 'Kept'\n", encoding="utf-8")
    study, before = open_study(raw_study.root), files_of(raw_study.root)
    told = fill_preprocessed(study, study.root / "camera.toml", SNV, dry_run=True)
    assert files_of(study.root) == before
    assert open_study(study.root).settings == study.settings
    done = fill_preprocessed(study, study.root / "camera.toml", SNV)
    assert (told.written, told.kept, told.recorded) == (done.written, done.kept, done.recorded)
    assert told.masked == {}


@pytest.mark.parametrize(
    ("sensor", "config", "fault"),
    [
        ("nemesis", None, "names the sensor 'camera.toml', not 'nemesis'"),
        (None, SNV, "states normalisation = 'brightness', not 'snv'"),
    ],
)
def test_filling_refuses_to_contradict_study_toml(
    raw_study: Study, sensor: str | None, config: PreprocessingConfig | None, fault: str
) -> None:
    study = with_settings(raw_study, preprocessing=PreprocessingConfig().as_dict())
    before = files_of(study.root)
    for dry_run in (True, False):
        with pytest.raises(StudyError, match=fault):
            fill_preprocessed(study, sensor, config, dry_run=dry_run)
    assert files_of(study.root) == before


def test_a_cube_made_before_study_toml_changed_is_not_used(raw_study: Study) -> None:
    fill_preprocessed(with_settings(raw_study))
    changed = with_settings(raw_study, preprocessing=SNV.as_dict())
    assert not changed.is_prepared("ID0001C01")
    assert changed.cube("ID0001C01").units == SNV.units
    assert changed.sources("ID0001C01")[0] == changed.files("ID0001C01").raw
    stale = [finding for finding in check_study(changed).of("warning") if "was made with another" in finding.message]
    assert len(stale) == 2
    assert {row.image for row in check_study(changed).rows} == {"frames"}
    with pytest.raises(OutputExistsError, match=r"another sensor, preprocessing or crop \(2 such cubes\)"):
        fill_preprocessed(changed)
    assert fill_preprocessed(changed, overwrite=True).written == CAPTURES
    assert changed.is_prepared("ID0001C01")


def test_a_stale_cube_without_frames_is_refused_with_the_difference(raw_study: Study) -> None:
    fill_preprocessed(with_settings(raw_study))
    shutil.rmtree(raw_study.root / "tif")
    changed = with_settings(raw_study, preprocessing=SNV.as_dict())
    with pytest.raises(
        StudyError, match=r"made with normalisation = 'brightness', not 'snv' as study\.toml states"
    ) as one:
        changed.cube("ID0001C01")
    assert one.value.remedy.startswith("Correct sensor and [preprocessing] in study.toml, or add")
    with pytest.raises(StudyError, match="made with sensor 'generic-nir-5x5', not 'nemesis' as requested"):
        with_settings(raw_study).cube("ID0001C01", "nemesis")
    crop = {"row": 0, "column": 0, "height": 2, "width": 2}
    with pytest.raises(StudyError, match=r"made with another crop or other exposures than study\.toml states"):
        with_settings(raw_study, captures={"ID0001C01": {"crop": crop}}).cube("ID0001C01")


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


def test_a_foreign_cube_counts_as_made_with_the_sensor_of_study_toml(raw_study: Study) -> None:
    study = with_settings(raw_study)
    write_cube(study.root, "ID0001C01", study.full_cube("ID0001C01"))
    assert study.is_prepared("ID0001C01")
    assert study.is_prepared("ID0001C01", study.root / "camera.toml"), "the same sensor, named explicitly"
    assert not study.is_prepared("ID0001C01", study.sensor().uncorrected())


def test_filling_refuses_to_mix_cubes_made_differently(raw_study: Study) -> None:
    study = with_settings(raw_study)
    write_cube(study.root, "ID0002C01", study.cube("ID0002C01"))
    with pytest.raises(OutputExistsError, match="would be mixed with cubes made differently"):
        fill_preprocessed(study, config=SNV)


def test_filling_without_frames_or_sensor_is_refused(raw_study: Study) -> None:
    with pytest.raises(StudyError, match="names no sensor"):
        fill_preprocessed(raw_study)
    for capture_id in CAPTURES:
        raw_study.files(capture_id).white.unlink()
    with pytest.raises(StudyError, match="has no capture with raw, white and dark"):
        fill_preprocessed(raw_study, raw_study.root / "camera.toml")
    assert not (raw_study.root / "study.toml").exists()


def test_the_digest_identifies_how_a_cube_was_made(small_sensor: MosaicSensor) -> None:
    crop = CaptureSettings(crop=Crop(row=0, column=0, height=2, width=2))
    alike = CaptureSettings(exposures=ExposureTimes(raw_ms=40, white_ms=40, dark_ms=40))
    brighter = CaptureSettings(exposures=ExposureTimes(raw_ms=40, white_ms=20, dark_ms=40))
    digests = {
        chain_of(small_sensor, PreprocessingConfig()).tobytes(),
        chain_of(small_sensor, SNV, brighter).tobytes(),
        chain_of(small_sensor, SNV).tobytes(),
        chain_of(small_sensor, SNV, crop).tobytes(),
        chain_of(small_sensor.uncorrected(), SNV).tobytes(),
    }
    assert len(digests) == 5
    assert chain_of(small_sensor, SNV, alike).tobytes() in digests
    assert {len(digest) for digest in digests} == {32}


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


def test_changed_exposures_of_the_study_make_prepared_cubes_stale(raw_study: Study) -> None:
    fill_preprocessed(with_settings(raw_study))
    alike = with_settings(raw_study, exposures=ExposureTimes(raw_ms=40, white_ms=40, dark_ms=40))
    assert alike.is_prepared("ID0001C01")
    times = ExposureTimes(raw_ms=40, white_ms=20, dark_ms=40, white_dark_ms=20)
    assert not with_settings(raw_study, exposures=times).is_prepared("ID0001C01")


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


def test_a_study_toml_that_cannot_be_extended_is_left_unchanged(raw_study: Study) -> None:
    text = 'sensor = "camera.toml"\nname = """\nno end'
    study = with_settings(raw_study)
    (raw_study.root / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match="is not TOML"):
        fill_preprocessed(study, config=SNV)
    assert (raw_study.root / "study.toml").read_text(encoding="utf-8") == text


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
