"""preProcessedImages/ filled from frames: what is written, what is kept, and which cubes are out of date."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from gliomap.errors import OutputExistsError, StudyError
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import MosaicSensor, get_sensor
from gliomap.studies import (
    CaptureSettings,
    Crop,
    ExposureTimes,
    Study,
    StudySettings,
    chain_of,
    check_study,
    fill_preprocessed,
    open_study,
    write_capture_files,
    write_cube,
)
from sensors.makers import second_shape
from studies.makers import CAPTURES, SNV, make_codes, make_frames, with_settings


def files_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


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


def test_changed_exposures_of_the_study_make_prepared_cubes_stale(raw_study: Study) -> None:
    fill_preprocessed(with_settings(raw_study))
    alike = with_settings(raw_study, exposures=ExposureTimes(raw_ms=40, white_ms=40, dark_ms=40))
    assert alike.is_prepared("ID0001C01")
    times = ExposureTimes(raw_ms=40, white_ms=20, dark_ms=40, white_dark_ms=20)
    assert not with_settings(raw_study, exposures=times).is_prepared("ID0001C01")


def test_a_study_toml_that_cannot_be_extended_is_left_unchanged(raw_study: Study) -> None:
    text = 'sensor = "camera.toml"\nname = """\nno end'
    study = with_settings(raw_study)
    (raw_study.root / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match="is not TOML"):
        fill_preprocessed(study, config=SNV)
    assert (raw_study.root / "study.toml").read_text(encoding="utf-8") == text
