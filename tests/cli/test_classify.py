"""`gliomap classify`: from a bundle and frames to a map, and every bad input on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cli.conftest import Run
from gliomap.captures import read_frame, write_frame
from gliomap.sensors import get_sensor, resized, write_sensor_toml
from gliomap.studies import capture_files, open_study, read_mat, write_mat
from gliomap.workflows import ClassificationResult
from golden import formula_frames
from support import shared

SYNTHETIC = "the model has learned from synthetic patients only: its maps say nothing about people"


OUTPUTS = ["labels.npy", "map.png", "overlay.png", "probabilities.npy", "result.json"]


def frame_flags(study: Path) -> list[str]:
    files = capture_files(study, "ID0003C01")
    return ["--raw", str(files.raw), "--white", str(files.white), "--dark", str(files.dark)]


class TestClassify:
    def test_frames_are_classified_into_a_complete_result_folder(
        self, installed: Run, small_bundle: Path, study: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        result = installed("classify", small_bundle, *frame_flags(study), "-o", out)
        assert result.code == 0, result.err
        assert sorted(path.name for path in out.iterdir()) == OUTPUTS
        labels, probabilities = np.load(out / "labels.npy"), np.load(out / "probabilities.npy")
        assert (labels.dtype, labels.shape) == (np.uint8, (48, 72))
        assert (probabilities.dtype, probabilities.shape) == (np.float32, (48, 72, 5))
        valid = labels > 0
        np.testing.assert_array_equal(probabilities.argmax(axis=2)[valid] + 1, labels[valid])
        assert (probabilities[~valid] == 0).all()
        for name in ("map.png", "overlay.png"):
            with Image.open(out / name) as picture:
                assert picture.width > 400
        told = ClassificationResult.model_validate_json((out / "result.json").read_text())
        assert told.shape == (48, 72)
        assert told.classified == int(valid.sum())
        assert [one.pixels for one in told.classes] == np.bincount(labels.ravel(), minlength=6)[1:].tolist()
        assert "not a medical device" in told.notice
        assert "not a medical device" in result.out
        identity = json.loads(installed("bundle", "verify", small_bundle, "--json").out)["identity"]
        assert told.bundle.identity == identity

    def test_frames_cubes_and_study_captures_give_matching_labels(
        self, gliomap: Run, small_bundle: Path, study: Path, tmp_path: Path
    ) -> None:
        cube = capture_files(study, "ID0003C01").cube
        npz = tmp_path / "cube.npz"
        sensor = study / "sensor.toml"
        assert gliomap("preprocess", *frame_flags(study), "--sensor", sensor, "-o", npz).code == 0
        inputs: dict[str, list[object]] = {
            "frame": frame_flags(study),
            "mat": ["--cube", cube],
            "npz": ["--cube", npz],
            "study": ["--study", study, "--capture", "ID0003C01"],
        }
        labels = {}
        for name, flags in inputs.items():
            result = gliomap("classify", small_bundle, *flags, "-o", tmp_path / f"by-{name}")
            assert result.code == 0, result.err
            labels[name] = np.load(tmp_path / f"by-{name}" / "labels.npy")
        for name in ("mat", "npz", "study"):
            assert (labels[name] == labels["frame"]).mean() > 0.999, name

    def test_json_is_the_content_of_result_json(
        self, gliomap: Run, small_bundle: Path, study: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        told = json.loads(gliomap("classify", small_bundle, *frame_flags(study), "-o", out, "--json").out)
        assert told.pop("folder") == str(out)
        assert told == json.loads((out / "result.json").read_text())

    def test_nothing_is_written_without_an_output_option(self, gliomap: Run, small_bundle: Path, study: Path) -> None:
        before = sorted(study.rglob("*"))
        result = gliomap("classify", small_bundle, "--study", study, "--capture", "ID0001C01")
        assert result.code == 0
        assert "add -o DIR" in result.out
        assert result.out.startswith("{}×{} pixels".format(*open_study(study).codes("ID0001C01").shape))
        assert sorted(study.rglob("*")) == before

    def test_the_safe_palette_is_used_on_request(self, gliomap: Run, small_bundle: Path, study: Path) -> None:
        flags = ["--study", study, "--capture", "ID0001C01", "--palette", "safe", "--json"]
        told = json.loads(gliomap("classify", small_bundle, *flags).out)
        assert told["classes"][1]["colour"] == [213, 94, 0]

    def test_openvino_gives_the_same_labels(
        self, gliomap: Run, small_bundle: Path, study: Path, tmp_path: Path
    ) -> None:
        pytest.importorskip("openvino")
        for backend in ("onnxruntime", "openvino"):
            out = tmp_path / backend
            flags = [*frame_flags(study), "--backend", backend, "--threads", "1", "-o", out]
            assert gliomap("classify", small_bundle, *flags).code == 0
        first, second = (np.load(tmp_path / name / "labels.npy") for name in ("onnxruntime", "openvino"))
        np.testing.assert_array_equal(first, second)

    def test_only_an_earlier_result_can_be_overwritten(
        self, gliomap: Run, small_bundle: Path, study: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        arguments = ["classify", small_bundle, *frame_flags(study), "-o"]
        assert gliomap(*arguments, out).code == 0
        before = (out / "result.json").stat().st_mtime_ns
        assert gliomap(*arguments, out).code == 2
        assert (out / "result.json").stat().st_mtime_ns == before
        assert gliomap(*arguments, out, "--overwrite").code == 0
        spared = gliomap(*arguments, study, "--overwrite")
        assert spared.code == 2
        assert "not an earlier result" in spared.err
        assert "or remove it yourself" in gliomap(*arguments, study).err, (
            "--overwrite is not advised where it would be refused"
        )
        assert (study / "study.toml").exists()

    def test_classifying_a_frame_loads_no_training_library(self, small_bundle: Path, study: Path) -> None:
        script = (
            "import sys; from gliomap.cli import run\n"
            f"code = run(['classify', {str(small_bundle)!r}, *{frame_flags(study)!r}, '-o', {str(study / 'out')!r}, '-q'])\n"
            "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib', 'h5py', 'onnx'} & set(sys.modules)\n"
            "print(sorted(heavy), file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
        *said, loaded = done.stderr.strip().splitlines()
        assert loaded == "[]"
        assert said == [f"warning: {SYNTHETIC}"]


class TestReferenceAge:
    @pytest.fixture
    def dated(self, study: Path) -> Callable[[timedelta], list[str]]:
        def make(age: timedelta) -> list[str]:
            files, noon = capture_files(study, "ID0003C01"), datetime(2026, 3, 4, 12)
            for path, time in ((files.raw, noon), (files.white, noon - age), (files.dark, noon)):
                write_frame(path, read_frame(path).data, taken_at=time)
            return frame_flags(study)

        return make

    def test_fresh_references_do_not_blank_the_map(
        self, gliomap: Run, small_bundle: Path, dated: Callable[[timedelta], list[str]]
    ) -> None:
        told = json.loads(gliomap("classify", small_bundle, *dated(timedelta(minutes=12)), "--json").out)
        assert told["input"]["reference_age_minutes"] == 12
        assert told["blanked"] is None
        assert told["warnings"] == [SYNTHETIC]

    def test_stale_references_blank_the_map(
        self, gliomap: Run, small_bundle: Path, dated: Callable[[timedelta], list[str]], tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        result = gliomap("classify", small_bundle, *dated(timedelta(minutes=61)), "-o", out)
        assert result.code == 0
        assert "warning: the map is blank" in result.err
        assert "61.0 min older" in result.err
        assert "not found" not in result.out, "a blank map cannot even say that a class was not found"
        assert result.out.count("no map") == 5
        assert "The map is blank: the references are 61.0 min older" in result.out
        assert not np.load(out / "labels.npy").any()
        assert not np.load(out / "probabilities.npy").any()
        assert json.loads((out / "result.json").read_text())["classified"] == 0
        longer = gliomap("classify", small_bundle, *dated(timedelta(minutes=61)), "--max-reference-age", "90", "--json")
        assert json.loads(longer.out)["blanked"] is None

    def test_an_age_limit_of_zero_blanks_the_map_for_any_older_reference(
        self, gliomap: Run, small_bundle: Path, dated: Callable[[timedelta], list[str]]
    ) -> None:
        told = gliomap("classify", small_bundle, *dated(timedelta(minutes=1)), "--max-reference-age", "0", "--json")
        assert "1.0 min older" in json.loads(told.out)["blanked"]

    def test_an_unknown_age_warns_and_blanks_the_map_if_a_limit_is_given(
        self, gliomap: Run, small_bundle: Path, study: Path
    ) -> None:
        path = capture_files(study, "ID0003C01").white
        write_frame(path, read_frame(path).data)
        told = json.loads(gliomap("classify", small_bundle, *frame_flags(study), "--json").out)
        assert told["blanked"] is None
        assert "age of the references is unknown" in told["warnings"][0]
        strict = gliomap("classify", small_bundle, *frame_flags(study), "--max-reference-age", "60", "--json")
        assert "the age of the references is unknown" in json.loads(strict.out)["blanked"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            ([], "nothing to classify"),
            (["--raw", "r.tif"], "--white, --dark not given"),
            (["--cube", "c.mat", "--study", "s"], "more than one input"),
            (["--study", "STUDY"], "no capture given"),
            (["--cube", "c.npz", "--exposures", "1,1,1"], "--exposures can only be used with --raw"),
            (["--cube", "c.npz", "--msb-aligned"], "--msb-aligned can only be used with --raw"),
            (["--cube", "c.npz", "--capture", "ID0003C01"], "--capture can only be used with --study"),
            (["--cube", "gone.mat"], "gone.mat"),
            (["--cube", "gone.npz"], "gone.npz"),
            (["--study", "STUDY", "--capture", "ID0009C01"], "ID0009C01"),
            (["--study", "STUDY", "--capture", "ID0003C01", "--palette", "neon"], "safe"),
            (["--study", "STUDY", "--capture", "ID0003C01", "--sensor", "nemesis"], "nemesis"),
            (["--study", "STUDY", "--capture", "ID0003C01", "--reduced-precision"], "openvino"),
        ],
    )
    def test_missing_or_conflicting_input_is_refused(
        self, gliomap: Run, small_bundle: Path, study: Path, flags: list[str], told: str
    ) -> None:
        out = study / "out"
        given = [str(study) if flag == "STUDY" else flag for flag in flags]
        result = gliomap("classify", small_bundle, *given, "-o", out)
        assert (result.code, result.out) == (2, "")
        assert told in result.err
        assert not out.exists()

    def test_a_cube_with_nan_is_refused(self, gliomap: Run, small_bundle: Path, study: Path) -> None:
        cube = capture_files(study, "ID0003C01").cube
        data = read_mat(cube, ["preProcessedImage"])["preProcessedImage"].copy()
        data[1, 2, 3] = np.nan
        write_mat(cube, {"preProcessedImage": data})
        result = gliomap("classify", small_bundle, "--cube", cube, "-o", study / "out")
        assert result.code == 2
        assert str(cube) in result.err
        assert "NaN" in result.err
        assert not (study / "out").exists()

    def test_a_cube_with_another_band_count_is_refused(self, gliomap: Run, small_bundle: Path, tmp_path: Path) -> None:
        cube = tmp_path / "cube.mat"
        write_mat(cube, {"preProcessedImage": np.ones((4, 5, 24), np.float32)})
        result = gliomap("classify", small_bundle, "--cube", cube)
        assert result.code == 2
        assert result.err.startswith(f"error: {cube}: has 24 bands")

    def test_a_cube_of_another_camera_with_equal_band_count_is_refused(
        self, gliomap: Run, small_bundle: Path, study: Path, tmp_path: Path
    ) -> None:
        camera, cube = tmp_path / "camera.toml", tmp_path / "cube.npz"
        write_sensor_toml(resized(get_sensor("nemesis"), 48, 72), camera)
        assert gliomap("preprocess", *frame_flags(study), "--sensor", camera, "-o", cube).code == 0
        result = gliomap("classify", small_bundle, "--cube", cube, "-o", tmp_path / "out")
        assert result.code == 2
        assert result.err.startswith(f"error: {cube}: is from another camera: its band 2 is at ")
        assert " nm, that of the bundle's sensor 'generic-nir-5x5' at " in result.err
        assert not (tmp_path / "out").exists()

    def test_an_age_limit_for_a_cube_is_refused(self, gliomap: Run, small_bundle: Path, study: Path) -> None:
        cube = capture_files(study, "ID0003C01").cube
        result = gliomap("classify", small_bundle, "--cube", cube, "--max-reference-age", "30", "-o", study / "out")
        assert result.code == 2
        assert f"{cube}: is preprocessed" in result.err
        assert not (study / "out").exists()

    def test_swapped_references_are_refused(self, gliomap: Run, small_bundle: Path, study: Path) -> None:
        raw, white, dark = frame_flags(study)[1::2]
        result = gliomap("classify", small_bundle, "--raw", raw, "--white", dark, "--dark", white, "-o", study / "out")
        assert result.code == 2
        assert "swapped" in result.err
        assert not (study / "out").exists()

    def test_a_cubes_only_bundle_refuses_frames_but_accepts_cubes(
        self, gliomap: Run, study: Path, tmp_path: Path
    ) -> None:
        (study / "study.toml").unlink()
        run, bundle = tmp_path / "run", tmp_path / "cubes-only"
        assert gliomap("train", study, "--model", "lda", "-o", run).code == 0
        made = gliomap("bundle", "create", run, "-o", bundle)
        assert made.code == 0, made.err
        assert "cubes only" in made.out
        assert not (bundle / "frame.onnx").exists()
        refused = gliomap("classify", bundle, *frame_flags(study))
        assert refused.code == 2
        assert "no frame.onnx" in refused.err
        assert "--sensor" in refused.err
        by_cube = gliomap("classify", bundle, "--study", study, "--capture", "ID0003C01", "--json")
        assert json.loads(by_cube.out)["input"]["kind"] == "study cube"

    def test_a_study_of_another_camera_is_refused(self, gliomap: Run, small_bundle: Path, study: Path) -> None:
        write_sensor_toml(resized(get_sensor("generic-nir-5x5"), 40, 60), study / "sensor.toml")
        result = gliomap("classify", small_bundle, "--study", study, "--capture", "ID0003C01")
        assert result.code == 2
        assert "calibration" in result.err


@pytest.mark.shared
def test_golden_labels_are_reproduced_from_frames_and_weights(installed: Run, tmp_path: Path) -> None:
    """`bundle create` and `classify` reproduce what the thesis's original code computed."""
    golden = np.load(shared("data", "golden", "golden_dev.npz"))
    weights = shared("data", "golden", "golden_dev.safetensors")
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    flags = ["--architecture", "conv2d", "--weights", weights, "--sensor", "nemesis", "-o", bundle]
    created = installed("bundle", "create", *flags)
    assert created.code == 0, created.err
    paths = [tmp_path / f"{role}.tif" for role in ("raw", "white", "dark")]
    for path, frame in zip(paths, formula_frames(1088, 2048), strict=True):
        tifffile.imwrite(path, frame)
    frames = [word for role, path in zip(("--raw", "--white", "--dark"), paths, strict=True) for word in (role, path)]
    result = installed("classify", bundle, *frames, "-o", out)
    assert result.code == 0, result.err
    assert "age of the references is unknown" in result.err
    labels, probabilities = np.load(out / "labels.npy"), np.load(out / "probabilities.npy")
    assert labels.shape == (217, 409)
    rows, columns = golden["rows"], golden["cols"]
    np.testing.assert_allclose(probabilities[rows, columns], golden["probabilities"], atol=1e-4)
    best = np.sort(golden["probabilities"], axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[rows, columns][clear], golden["labels"][clear])
