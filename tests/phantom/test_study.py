"""A phantom study on disk: the thesis's layout, identical to the byte each time, complete or absent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from gliomap.captures import read_frame
from gliomap.errors import OutputExistsError, SensorError, UsageError
from gliomap.phantom import draw_patients, make_phantom, render_patient
from gliomap.preprocessing import preprocess_capture
from gliomap.sensors import MosaicSensor, get_sensor, resized
from gliomap.studies import check_study, open_study
from support import shared

T = TypeVar("T")


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory: pytest.TempPathFactory, small_sensor: MosaicSensor) -> Path:
    return make_phantom(tmp_path_factory.mktemp("phantom") / "study", patients=3, seed=2, sensor=small_sensor)


def test_a_study_passes_its_own_check(study_folder: Path) -> None:
    assert check_study(open_study(study_folder)).findings == ()


def test_a_study_has_every_file_of_the_layout(study_folder: Path) -> None:
    study = open_study(study_folder)
    assert study.capture_ids == ("ID0001C01", "ID0002C01", "ID0003C01")
    for capture in study.capture_ids:
        assert study.has_raw(capture)
        assert study.has_cube(capture)
        assert study.has_map(capture)
        assert study.files(capture).dataset.exists()


def test_prepared_cubes_match_the_raw_frames(study_folder: Path) -> None:
    study = open_study(study_folder)
    prepared = study.cube("ID0002C01")
    made = study.cube_from_frames("ID0002C01")
    np.testing.assert_allclose(prepared.data, made.data, atol=1e-5)
    np.testing.assert_array_equal(prepared.mask, made.mask)


def test_files_hold_what_was_rendered(study_folder: Path, small_sensor: MosaicSensor) -> None:
    picture = render_patient(draw_patients(3, seed=2)[1], small_sensor)
    frame = read_frame(study_folder / "tif" / "ID0002C01.tif")
    np.testing.assert_array_equal(frame.data, picture.raw)
    assert frame.taken_at == picture.taken_at
    np.testing.assert_array_equal(open_study(study_folder).codes("ID0002C01"), picture.codes)


def test_the_same_seed_writes_the_same_bytes(study_folder: Path, tmp_path: Path, small_sensor: MosaicSensor) -> None:
    again = make_phantom(tmp_path / "again", patients=3, seed=2, sensor=small_sensor)
    assert hashes(again) == hashes(study_folder)


def test_a_custom_sensor_is_stored_with_the_study(study_folder: Path, small_sensor: MosaicSensor) -> None:
    assert open_study(study_folder).sensor().fingerprint() == small_sensor.fingerprint()
    assert (study_folder / "sensor.toml").is_file()


@pytest.mark.slow
def test_the_packaged_sensor_is_stored_by_name(tmp_path: Path) -> None:
    folder = make_phantom(tmp_path / "study", patients=1, difficulty="easy")
    study = open_study(folder)
    assert study.settings.sensor == "generic-nir-5x5"
    assert not (folder / "sensor.toml").exists()
    assert study.cube("ID0001C01").data.shape == (217, 409, 25)
    assert study.codes("ID0001C01").shape == (217, 409)


def test_an_existing_folder_is_replaced_only_with_overwrite(tmp_path: Path, small_sensor: MosaicSensor) -> None:
    folder = tmp_path / "study"
    make_phantom(folder, patients=2, sensor=small_sensor)
    with pytest.raises(OutputExistsError):
        make_phantom(folder, patients=1, sensor=small_sensor)
    assert open_study(folder).capture_ids == ("ID0001C01", "ID0002C01")
    make_phantom(folder, patients=1, sensor=small_sensor, overwrite=True)
    assert open_study(folder).capture_ids == ("ID0001C01",)


def test_overwriting_refuses_a_folder_that_is_not_a_phantom(tmp_path: Path, small_sensor: MosaicSensor) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "precious.txt").write_text("keep me")
    with pytest.raises(UsageError, match="is not a phantom"):
        make_phantom(folder, patients=1, sensor=small_sensor, overwrite=True)
    assert (folder / "precious.txt").read_text() == "keep me"


def test_an_interrupted_study_leaves_nothing_behind(tmp_path: Path, small_sensor: MosaicSensor) -> None:
    def interrupted(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        for done, item in enumerate(items, start=1):
            yield item
            assert (description, total) == ("Synthetic patients", 3)
            if done == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantom(tmp_path / "study", patients=3, sensor=small_sensor, track=interrupted)
    assert list(tmp_path.iterdir()) == []


def test_invalid_arguments_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make_phantom(tmp_path / "study", difficulty="impossible")
    with pytest.raises(UsageError):
        make_phantom(tmp_path / "study", patients=0)
    with pytest.raises(SensorError):
        make_phantom(tmp_path / "study", sensor="nemesis")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.shared
def test_a_real_calibration_file_can_serve_as_the_camera(tmp_path: Path) -> None:
    file = shared("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml")
    sensor = resized(get_sensor(file), 40, 70)
    study = open_study(make_phantom(tmp_path / "study", patients=1, sensor=sensor))
    assert [finding for finding in check_study(study).findings if finding.severity == "error"] == []
    cube = study.cube("ID0001C01")
    assert cube.data.shape == (40, 70, 25)
    raw = preprocess_capture(study.capture("ID0001C01", sensor))
    # Noise makes the weakest band of the corrected white negative in a few tiles, although all of them are lit.
    assert raw.invalid_counts().get("dark", 0) < 0.05 * 40 * 70
    assert any("608 nm" in finding.message for finding in check_study(study).findings)
