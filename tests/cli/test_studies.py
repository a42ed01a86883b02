"""`gliomap phantom`, `gliomap study`, `gliomap preprocess STUDY`, and studies with bad files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from cli.conftest import Run
from gliomap.sensors import get_sensor, resized, write_sensor_toml
from gliomap.studies import capture_files, open_study, read_mat, write_mat
from support import shared


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    write_sensor_toml(resized(get_sensor("generic-nir-5x5"), 40, 60), path)
    return path


class TestPhantom:
    def test_it_writes_a_study_that_passes_the_check(self, installed: Run, tmp_path: Path, camera: Path) -> None:
        folder = tmp_path / "made"
        result = installed("phantom", folder, "--patients", 2, "--difficulty", "easy", "--sensor", camera)
        assert result.code == 0, result.err
        assert str(folder) in result.out
        assert installed("study", "check", folder).code == 0
        assert sorted(path.name for path in (folder / "tif").iterdir())[:3] == [
            "ID0001C01.tif",
            "ID0001CD01.tif",
            "ID0001CW01.tif",
        ]

    def test_a_dry_run_writes_nothing(self, gliomap: Run, tmp_path: Path) -> None:
        result = gliomap("phantom", tmp_path / "made", "--dry-run", "--json")
        told = json.loads(result.out)
        assert (told["patients"], told["sensor"]) == (6, "generic-nir-5x5")
        assert list(tmp_path.iterdir()) == []

    def test_an_existing_study_is_kept_without_overwrite(self, gliomap: Run, study: Path) -> None:
        result = gliomap("phantom", study)
        assert result.code == 2
        assert f"{study}: already exists" in result.err
        assert "add --overwrite" in result.err

    def test_overwrite_is_not_advised_for_anything_but_a_phantom(self, gliomap: Run, study: Path) -> None:
        (study / "study.toml").write_text('name = "our patients"\n')
        for there in (study, study / "study.toml"):
            result = gliomap("phantom", there)
            assert result.code == 2
            assert f"{there}: already exists, and is not a phantom. Choose another folder, or remove" in result.err

    def test_overwrite_replaces_a_phantom(self, gliomap: Run, study: Path, camera: Path) -> None:
        arguments = ["phantom", study, "--patients", "1", "--difficulty", "easy", "--sensor", camera, "--overwrite"]
        assert gliomap(*arguments).code == 0
        assert open_study(study).capture_ids == ("ID0001C01",)

    @pytest.mark.parametrize("settings", [None, 'name = "our patients"\n'])
    def test_overwrite_refuses_a_folder_that_is_not_a_phantom(
        self, gliomap: Run, study: Path, settings: str | None
    ) -> None:
        (study / "study.toml").unlink() if settings is None else (study / "study.toml").write_text(settings)
        before = sorted(study.rglob("*"))
        result = gliomap("phantom", study, "--overwrite")
        assert result.code == 2
        assert "is not a phantom" in result.err
        assert sorted(study.rglob("*")) == before

    @pytest.mark.parametrize("flags", [("--patients", "0"), ("--difficulty", "hopeless"), ("--seed", "-1")])
    def test_invalid_options_are_refused(self, gliomap: Run, tmp_path: Path, flags: tuple[str, str]) -> None:
        result = gliomap("phantom", tmp_path / "made", *flags)
        assert result.code == 2
        assert flags[0] in result.err
        assert "Value error" not in result.err
        assert not (tmp_path / "made").exists()


class TestStudyCheck:
    def test_a_sound_study_passes(self, gliomap: Run, study: Path) -> None:
        result = gliomap("study", "check", study)
        assert result.code == 0
        assert "ID0001C01" in result.out
        assert "Sound" in result.out

    def test_json_lists_every_capture(self, gliomap: Run, study: Path) -> None:
        told = json.loads(gliomap("study", "check", study, "--json").out)
        assert told["ok"] is True
        assert [row["capture"] for row in told["captures"]] == ["ID0001C01", "ID0002C01", "ID0003C01"]

    def test_a_note_on_many_captures_is_printed_once(self, gliomap: Run, study: Path) -> None:
        capture = capture_files(study, "ID0003C01")
        for path in (capture.raw, capture.white, capture.dark, capture.cube, capture.map):
            shutil.copy(path, path.with_name(path.name.replace("ID0003", "ID0004")))
        shutil.rmtree(study / "datasets")
        notes = [line for line in gliomap("study", "check", study).out.splitlines() if "no labelled spectra" in line]
        named = "capture ID0001C01, capture ID0002C01, capture ID0003C01 and 1 more"
        assert notes == [
            f"note: {named}: has no labelled spectra in datasets/; training reads the cube and the map and needs none."
        ]

    def test_the_last_line_counts_warnings_and_notes(self, gliomap: Run, study: Path) -> None:
        for path in (study / "datasets").iterdir():
            path.unlink()
        for name in ("ID0001C01", "ID0002C01"):
            capture_files(study, name).map.unlink()
        lines = gliomap("study", "check", study).out.splitlines()
        told = {kind: sum(line.startswith(f"{kind}: ") for line in lines) for kind in ("warning", "note")}
        assert told["note"] == 1
        assert lines[-1] == f"Sound: {told['warning']} warnings, 1 note."

    @pytest.mark.parametrize("prepared", [True, False])
    def test_a_finding_is_printed_once(self, gliomap: Run, study: Path, prepared: bool) -> None:
        capture = capture_files(study, "ID0001C01")
        with Image.open(capture.dark) as dark, Image.open(capture.white) as white:
            brighter = np.asarray(dark) + (np.asarray(white) // 2)
        Image.fromarray(brighter.astype(np.uint16)).save(capture.dark)
        if not prepared:
            shutil.rmtree(study / "preProcessedImages")
            shutil.rmtree(study / "datasets")
        result = gliomap("study", "check", study, "-q")
        assert (result.out.count("light may have entered"), result.err) == (1, "")

    def test_errors_exit_with_2_and_name_the_files(self, gliomap: Run, study: Path) -> None:
        capture_files(study, "ID0002C01").white.unlink()
        for name in ("raw", "dark", "cube"):
            getattr(capture_files(study, "ID0001C01"), name).unlink()
        result = gliomap("study", "check", study)
        assert result.code == 2
        assert "Not sound" in result.out
        assert "ID0002CW01.tif" in result.out
        assert "ID0001C01" in result.out
        assert result.err == "", "findings are the result of the check and go to stdout"

    def test_a_missing_folder_is_refused(self, gliomap: Run, tmp_path: Path) -> None:
        result = gliomap("study", "check", tmp_path / "none")
        assert result.code == 2
        assert result.err.startswith(f"error: {tmp_path / 'none'}: ")

    @pytest.mark.shared
    def test_the_real_study_passes(self, installed: Run) -> None:
        result = installed("study", "check", shared("data", "real"))
        assert (result.code, result.err) == (0, "")
        assert "preprocessed only" in result.out


class TestStudyShow:
    def test_a_contact_sheet_is_drawn(self, gliomap: Run, study: Path, tmp_path: Path) -> None:
        out = tmp_path / "sheet.png"
        result = gliomap("study", "show", study, "-o", out)
        assert result.code == 0
        assert str(out) in result.out
        with Image.open(out) as picture:
            assert picture.size[0] > 400
        assert gliomap("study", "show", study, "-o", out).code == 2
        assert "ends in .png" in gliomap("study", "show", study, "-o", tmp_path / "sheet").err
        told = json.loads(gliomap("study", "show", study, "-o", out, "--overwrite", "--json").out)
        assert told["patients"]["ID0002"] == ["ID0002C01"]


def test_folds_are_not_written_over_a_frame(gliomap: Run, study: Path) -> None:
    frame = study / "tif" / "ID0001C01.tif"
    before = frame.read_bytes()
    result = gliomap("study", "split", study, "-o", frame, "--overwrite")
    assert (result.code, frame.read_bytes()) == (2, before)
    assert "Use a name that ends in .json" in result.err


class TestPreprocessStudy:
    def test_missing_cubes_are_made_and_others_kept(self, gliomap: Run, study: Path) -> None:
        cube = capture_files(study, "ID0002C01").cube
        before = read_mat(cube, ["preProcessedImage"])["preProcessedImage"]
        cube.unlink()
        dry = gliomap("preprocess", study, "--dry-run")
        assert f"would make {cube}" in dry.out
        assert not cube.exists()
        told = json.loads(gliomap("preprocess", study, "--json").out)
        assert (told["written"], told["kept"]) == (["ID0002C01"], ["ID0001C01", "ID0003C01"])
        np.testing.assert_allclose(read_mat(cube, ["preProcessedImage"])["preProcessedImage"], before, atol=1e-5)
        assert "kept 3" in gliomap("preprocess", study).out

    def test_an_option_may_repeat_but_not_contradict_study_toml(self, gliomap: Run, study: Path) -> None:
        toml = study / "study.toml"
        said = (
            toml.read_text().replace('"brightness"', '"snv"').replace("min_brightness = 1e-06", "min_brightness = 0.02")
        )
        toml.write_text(said)
        shutil.rmtree(study / "preProcessedImages")
        assert gliomap("preprocess", study, "--normalisation", "snv", "--dry-run").code == 0
        result = gliomap("preprocess", study, "--no-correction", "--dry-run")
        assert result.code == 2
        assert "states spectral_correction = True, not False\n" in result.err.replace(". Correct", "\n")

    def test_a_study_that_names_no_sensor_is_refused(self, gliomap: Run, study: Path) -> None:
        (study / "study.toml").unlink()
        shutil.rmtree(study / "preProcessedImages")
        for dry in ([], ["--dry-run"]):
            result = gliomap("preprocess", study, *dry)
            assert result.code == 2
            assert "names no sensor" in result.err
            assert "--sensor" in result.err
        assert not (study / "preProcessedImages").exists()


def not_a_mat(path: Path) -> None:
    path.write_bytes(b"this is a text file that somebody renamed" * 20)


def without_variable(path: Path) -> None:
    write_mat(path, {"somethingElse": np.zeros((3, 3))})


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def with_nan(path: Path) -> None:
    data = read_mat(path, ["preProcessedImage"])["preProcessedImage"].copy()
    data[3, 4, 5] = np.nan
    write_mat(path, {"preProcessedImage": data})


BAD_CUBES: dict[str, tuple[Callable[[Path], object], str]] = {
    "not a .mat": (not_a_mat, "not a MATLAB file"),
    "without the variable": (without_variable, "somethingElse"),
    "truncated": (truncated, ""),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "with NaN": (with_nan, "NaN"),
}


@pytest.mark.parametrize("fault", BAD_CUBES)
def test_a_bad_cube_fails_the_check_and_stops_training(gliomap: Run, study: Path, fault: str) -> None:
    cube = capture_files(study, "ID0001C01").cube
    spoil, told = BAD_CUBES[fault]
    spoil(cube)
    check = gliomap("study", "check", study)
    assert check.code == 2
    assert cube.name in check.out
    trained = gliomap("train", study, "--model", "lda", "--test-patient", "ID0003")
    assert (trained.code, trained.out) == (2, "")
    assert str(cube) in trained.err
    assert told in trained.err
    assert not list((study / "runs").glob("*")), "neither a finished nor an unfinished run is left"


def test_a_cube_in_a_matlab_7_3_file_is_read(gliomap: Run, study: Path) -> None:
    cube = capture_files(study, "ID0001C01").cube
    data = read_mat(cube, ["preProcessedImage"])["preProcessedImage"]
    with h5py.File(cube, "w", userblock_size=512) as file:
        stored = file.create_dataset("preProcessedImage", data=np.ascontiguousarray(data.T))
        stored.attrs["MATLAB_class"] = np.bytes_("single")
    content = bytearray(cube.read_bytes())
    content[:512] = b"MATLAB 7.3 MAT-file".ljust(512, b" ")
    cube.write_bytes(content)
    result = gliomap("study", "check", study)
    assert result.code == 0, result.out


def test_a_map_smaller_than_its_cube_without_a_crop_is_refused(gliomap: Run, study: Path) -> None:
    path = capture_files(study, "ID0001C01").map
    codes = read_mat(path, ["groundTruthMap"])["groundTruthMap"]
    write_mat(path, {"groundTruthMap": codes[:-2, :-3]})
    capture_files(study, "ID0001C01").dataset.unlink()
    assert gliomap("study", "check", study).code == 2
    result = gliomap("train", study, "--model", "lda", "--test-patient", "ID0003")
    assert result.code == 2
    assert "48×72" in result.err
    assert "46×69" in result.err
    assert "crop" in result.err


def test_unknown_tissue_codes_are_refused(gliomap: Run, study: Path) -> None:
    path = capture_files(study, "ID0001C01").map
    codes = read_mat(path, ["groundTruthMap"])["groundTruthMap"].copy()
    codes[codes == 101] = 999
    write_mat(path, {"groundTruthMap": codes})
    capture_files(study, "ID0001C01").dataset.unlink()
    check = gliomap("study", "check", study)
    assert check.code == 2
    assert "999" in check.out
    result = gliomap("train", study, "--model", "lda", "--test-patient", "ID0003")
    assert result.code == 2
    assert "999" in result.err


def _keep_only(study: Path, capture: str, code: int, count: int | None = None) -> None:
    """Leave labels of one code (all, or `count` of them) in a map."""
    path = capture_files(study, capture).map
    codes = read_mat(path, ["groundTruthMap"])["groundTruthMap"].copy()
    keep = codes == code
    if count is None:
        codes[~keep] = 0
    else:
        rows, columns = np.nonzero(keep)
        codes[rows[count:], columns[count:]] = 0
    write_mat(path, {"groundTruthMap": codes})
    capture_files(study, capture).dataset.unlink()


def test_a_class_with_one_labelled_pixel_is_refused_and_named(gliomap: Run, study: Path) -> None:
    _keep_only(study, "ID0001C01", 301, count=1)
    _keep_only(study, "ID0002C01", 101)
    result = gliomap("train", study, "--model", "lda", "--test-patient", "ID0003", "-o", study / "run")
    assert result.code == 2
    assert "'venous' has one labelled pixel" in result.err
    assert not list(study.glob("*run*"))


def test_a_patient_with_one_class_trains_with_a_warning(gliomap: Run, study: Path) -> None:
    _keep_only(study, "ID0002C01", 101)
    assert gliomap("study", "check", study).code == 0
    result = gliomap("train", study, "--model", "lda", "--test-patient", "ID0003", "-o", study / "run")
    assert result.code == 0, result.err
    assert "ID0002 (train) has labels of healthy only" in result.err


def test_training_on_a_single_class_is_refused(gliomap: Run, study: Path) -> None:
    for capture in ("ID0001C01", "ID0002C01"):
        _keep_only(study, capture, 101)
    result = gliomap("train", study, "--model", "lda", "--test-patient", "ID0003", "-o", study / "run")
    assert result.code == 2
    assert "healthy" in result.err
    assert not (study / "run").exists()
