"""`gliomap bundle` and `gliomap classify`: from a run to a map, and every bad input on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from cli.scenes import formula_frames
from gliomap.captures import read_frame, write_frame
from gliomap.sensors import get_sensor, resized, write_sensor_toml
from gliomap.studies import capture_files, open_study, read_mat, write_mat
from gliomap.workflows import ClassificationResult
from support import shared

Run = Callable[..., Any]

SYNTHETIC = "the model has learned from synthetic patients only: its maps say nothing about people"
OUTPUTS = ["labels.npy", "map.png", "overlay.png", "probabilities.npy", "result.json"]


@pytest.fixture
def made(small_bundle: Path) -> Path:
    """The bundle that all tests share: change only a copy."""
    return small_bundle


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture
def study(small_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_study, tmp_path / "study"))


def frame_flags(study: Path) -> list[str]:
    files = capture_files(study, "ID0003C01")
    return ["--raw", str(files.raw), "--white", str(files.white), "--dark", str(files.dark)]


class TestCreate:
    def test_a_bundle_has_all_its_files_and_states_its_limits(
        self, installed: Run, small_run: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "bundle"
        result = installed("bundle", "create", small_run, "-o", out)
        assert result.code == 0, result.err
        assert str(out) in result.out
        assert "onnxruntime" in result.out
        assert sorted(path.name for path in out.iterdir()) == [
            "card.md",
            "cube.onnx",
            "frame.onnx",
            "manifest.json",
            "manifest.sha256",
        ]
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["training"]["patients"]["test"] == ["ID0003"]
        assert manifest["notes"] == [
            "The patients are synthetic: the figures say nothing about people.",
            "It was never evaluated.",
        ]

    def test_a_bundle_of_an_evaluated_run_carries_its_metrics(
        self, gliomap: Run, small_run: Path, tmp_path: Path
    ) -> None:
        run = Path(shutil.copytree(small_run, tmp_path / "run"))
        assert gliomap("evaluate", run, "--study", small_run.parent / "none").code == 2
        evaluated = json.loads(gliomap("evaluate", run, "--json").out)
        assert gliomap("bundle", "create", run).code == 0
        shown = json.loads(gliomap("bundle", "show", run / "bundle", "--json").out)["manifest"]
        assert shown["metrics"]["overall accuracy"]["value"] == evaluated["pooled"]["overall_accuracy"]
        assert "ID0003C01" in shown["measured_on"]

    def test_a_bundle_can_be_written_as_a_zip_archive(self, gliomap: Run, small_run: Path, tmp_path: Path) -> None:
        out = tmp_path / "bundle.zip"
        told = json.loads(gliomap("bundle", "create", small_run, "-o", out, "--json").out)
        assert zipfile.is_zipfile(out)
        assert json.loads(gliomap("bundle", "verify", out, "--json").out)["identity"] == told["identity"]

    def test_an_existing_bundle_is_not_replaced(self, gliomap: Run, small_run: Path, bundle: Path) -> None:
        before = (bundle / "manifest.json").read_bytes()
        result = gliomap("bundle", "create", small_run, "-o", bundle)
        assert result.code == 2
        assert "already exists" in result.err
        assert (bundle / "manifest.json").read_bytes() == before

    def test_overwrite_refuses_a_folder_that_is_not_a_bundle(self, gliomap: Run, small_run: Path, study: Path) -> None:
        result = gliomap("bundle", "create", small_run, "-o", study, "--overwrite")
        assert result.code == 2
        assert "holds no manifest.json, so it is not an earlier result" in result.err
        assert (study / "study.toml").exists()

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            ([], "--architecture, --weights, -o not given"),
            (["--architecture", "conv2d"], "--weights, -o not given"),
            (["--architecture", "resnet"], "conv2d"),
            (["run", "--weights", "w.safetensors"], "cannot be combined with a run"),
            (["nowhere"], "nowhere"),
            (["--architecture", "conv2d", "--weights", "none.safetensors", "-o", "x"], "none.safetensors"),
        ],
    )
    def test_bad_usage_is_refused(self, gliomap: Run, flags: list[str], told: str) -> None:
        result = gliomap("bundle", "create", *flags)
        assert (result.code, result.out) == (2, "")
        assert told in result.err

    def test_weights_that_are_not_safetensors_are_refused(self, gliomap: Run, tmp_path: Path) -> None:
        weights = tmp_path / "w.safetensors"
        weights.write_bytes(b"\x80\x04pickled")
        out = tmp_path / "bundle"
        result = gliomap("bundle", "create", "--architecture", "conv2d", "--weights", weights, "-o", out)
        assert result.code == 2
        assert str(weights) in result.err
        assert not out.exists()

    def test_a_sensor_other_than_the_runs_is_refused(self, gliomap: Run, small_run: Path, tmp_path: Path) -> None:
        out = tmp_path / "bundle"
        result = gliomap("bundle", "create", small_run, "-o", out, "--sensor", "nemesis")
        assert result.code == 2
        assert "nemesis" in result.err
        assert not out.exists()


def flip(path: Path, place: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def newer(bundle: Path) -> None:
    """Give the manifest the version of a future format, with a hash that matches."""
    import hashlib

    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["format_version"] = 99
    content = json.dumps(manifest).encode()
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  manifest.json\n")


BAD_BUNDLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte in the frame graph": (lambda bundle: flip(bundle / "frame.onnx"), "frame.onnx"),
    "a flipped byte in the cube graph": (lambda bundle: flip(bundle / "cube.onnx"), "cube.onnx"),
    "a flipped byte in the card": (lambda bundle: flip(bundle / "card.md"), "card.md"),
    "a flipped byte in the manifest": (lambda bundle: flip(bundle / "manifest.json"), "manifest.json"),
    "a flipped byte in the manifest's hash": (lambda bundle: flip(bundle / "manifest.sha256"), "manifest.sha256"),
    "a missing graph": (lambda bundle: (bundle / "frame.onnx").unlink(), "frame.onnx"),
    "a missing manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "manifest.json"),
    "a newer format": (newer, "99"),
}


@pytest.mark.parametrize("fault", BAD_BUNDLES)
def test_a_bad_bundle_is_refused_and_nothing_is_written(gliomap: Run, bundle: Path, study: Path, fault: str) -> None:
    spoil, told = BAD_BUNDLES[fault]
    spoil(bundle)
    out = bundle.parent / "out"
    for command in (["verify", bundle], ["show", bundle]):
        result = gliomap("bundle", *command)
        assert (result.code, result.out) == (2, "")
    result = gliomap("classify", bundle, "--study", study, "--capture", "ID0003C01", "-o", out)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert str(bundle) in result.err
    assert told in result.err
    assert not out.exists()


class TestShowAndVerify:
    def test_an_intact_bundle_is_verified_and_shown(self, gliomap: Run, made: Path, small_study: Path) -> None:
        verified = gliomap("bundle", "verify", made, "--sensor", small_study / "sensor.toml")
        assert verified.code == 0
        assert "intact" in verified.out
        shown = gliomap("bundle", "show", made)
        assert "not a medical device" in shown.out
        assert json.loads(gliomap("bundle", "show", made, "--json").out)["identity"] in verified.out

    def test_a_sensor_with_another_calibration_or_band_count_is_refused(
        self, gliomap: Run, made: Path, tmp_path: Path
    ) -> None:
        other = gliomap("bundle", "verify", made, "--sensor", "nemesis")
        assert other.code == 2
        assert "nemesis" in other.err
        file = shared("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml").read_text()
        xml = tmp_path / "fewer.xml"
        head, _, tail = file.partition("<virtual_bands>")
        bands, _, rest = tail.partition("</virtual_bands>")
        kept = "</band>".join(bands.split("</band>")[:24]) + "</band>"
        xml.write_text(f"{head}<virtual_bands>{kept}</virtual_bands>{rest}")
        fewer = gliomap("bundle", "verify", made, "--sensor", xml)
        assert fewer.code == 2
        assert "takes 25 bands" in fewer.err
        assert "delivers 24" in fewer.err

    def test_folders_and_files_that_are_not_bundles_are_refused(
        self, gliomap: Run, small_study: Path, tmp_path: Path
    ) -> None:
        cube = tmp_path / "cube.npz"
        np.savez(cube, cube=np.zeros((2, 2, 25)))
        for other in (tmp_path, small_study, cube):
            result = gliomap("bundle", "verify", other)
            assert result.code == 2
            assert result.err == (
                f"error: {other}: has no manifest.json. Specify a bundle made by `gliomap bundle create`.\n"
            )


class TestClassify:
    def test_frames_are_classified_into_a_complete_result_folder(
        self, installed: Run, made: Path, study: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        result = installed("classify", made, *frame_flags(study), "-o", out)
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
        identity = json.loads(installed("bundle", "verify", made, "--json").out)["identity"]
        assert told.bundle.identity == identity

    def test_frames_cubes_and_study_captures_give_matching_labels(
        self, gliomap: Run, made: Path, study: Path, tmp_path: Path
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
            result = gliomap("classify", made, *flags, "-o", tmp_path / f"by-{name}")
            assert result.code == 0, result.err
            labels[name] = np.load(tmp_path / f"by-{name}" / "labels.npy")
        for name in ("mat", "npz", "study"):
            assert (labels[name] == labels["frame"]).mean() > 0.999, name

    def test_json_is_the_content_of_result_json(self, gliomap: Run, made: Path, study: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        told = json.loads(gliomap("classify", made, *frame_flags(study), "-o", out, "--json").out)
        assert told.pop("folder") == str(out)
        assert told == json.loads((out / "result.json").read_text())

    def test_nothing_is_written_without_an_output_option(self, gliomap: Run, made: Path, study: Path) -> None:
        before = sorted(study.rglob("*"))
        result = gliomap("classify", made, "--study", study, "--capture", "ID0001C01")
        assert result.code == 0
        assert "add -o DIR" in result.out
        assert result.out.startswith("{}×{} pixels".format(*open_study(study).codes("ID0001C01").shape))
        assert sorted(study.rglob("*")) == before

    def test_the_safe_palette_is_used_on_request(self, gliomap: Run, made: Path, study: Path) -> None:
        flags = ["--study", study, "--capture", "ID0001C01", "--palette", "safe", "--json"]
        told = json.loads(gliomap("classify", made, *flags).out)
        assert told["classes"][1]["colour"] == [213, 94, 0]

    def test_openvino_gives_the_same_labels(self, gliomap: Run, made: Path, study: Path, tmp_path: Path) -> None:
        pytest.importorskip("openvino")
        for backend in ("onnxruntime", "openvino"):
            out = tmp_path / backend
            flags = [*frame_flags(study), "--backend", backend, "--threads", "1", "-o", out]
            assert gliomap("classify", made, *flags).code == 0
        first, second = (np.load(tmp_path / name / "labels.npy") for name in ("onnxruntime", "openvino"))
        np.testing.assert_array_equal(first, second)

    def test_only_an_earlier_result_can_be_overwritten(
        self, gliomap: Run, made: Path, study: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        arguments = ["classify", made, *frame_flags(study), "-o"]
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

    def test_classifying_a_frame_loads_no_training_library(self, made: Path, study: Path) -> None:
        script = (
            "import sys; from gliomap.cli import run\n"
            f"code = run(['classify', {str(made)!r}, *{frame_flags(study)!r}, '-o', {str(study / 'out')!r}, '-q'])\n"
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
        self, gliomap: Run, made: Path, dated: Callable[[timedelta], list[str]]
    ) -> None:
        told = json.loads(gliomap("classify", made, *dated(timedelta(minutes=12)), "--json").out)
        assert told["input"]["reference_age_minutes"] == 12
        assert told["blanked"] is None
        assert told["warnings"] == [SYNTHETIC]

    def test_stale_references_blank_the_map(
        self, gliomap: Run, made: Path, dated: Callable[[timedelta], list[str]], tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        result = gliomap("classify", made, *dated(timedelta(minutes=61)), "-o", out)
        assert result.code == 0
        assert "warning: the map is blank" in result.err
        assert "61.0 min older" in result.err
        assert "not found" not in result.out, "a blank map cannot even say that a class was not found"
        assert result.out.count("no map") == 5
        assert "The map is blank: the references are 61.0 min older" in result.out
        assert not np.load(out / "labels.npy").any()
        assert not np.load(out / "probabilities.npy").any()
        assert json.loads((out / "result.json").read_text())["classified"] == 0
        longer = gliomap("classify", made, *dated(timedelta(minutes=61)), "--max-reference-age", "90", "--json")
        assert json.loads(longer.out)["blanked"] is None

    def test_an_age_limit_of_zero_blanks_the_map_for_any_older_reference(
        self, gliomap: Run, made: Path, dated: Callable[[timedelta], list[str]]
    ) -> None:
        told = gliomap("classify", made, *dated(timedelta(minutes=1)), "--max-reference-age", "0", "--json")
        assert "1.0 min older" in json.loads(told.out)["blanked"]

    def test_an_unknown_age_warns_and_blanks_the_map_if_a_limit_is_given(
        self, gliomap: Run, made: Path, study: Path
    ) -> None:
        path = capture_files(study, "ID0003C01").white
        write_frame(path, read_frame(path).data)
        told = json.loads(gliomap("classify", made, *frame_flags(study), "--json").out)
        assert told["blanked"] is None
        assert "age of the references is unknown" in told["warnings"][0]
        strict = gliomap("classify", made, *frame_flags(study), "--max-reference-age", "60", "--json")
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
        self, gliomap: Run, made: Path, study: Path, flags: list[str], told: str
    ) -> None:
        out = study / "out"
        given = [str(study) if flag == "STUDY" else flag for flag in flags]
        result = gliomap("classify", made, *given, "-o", out)
        assert (result.code, result.out) == (2, "")
        assert told in result.err
        assert not out.exists()

    def test_a_cube_with_nan_is_refused(self, gliomap: Run, made: Path, study: Path) -> None:
        cube = capture_files(study, "ID0003C01").cube
        data = read_mat(cube, ["preProcessedImage"])["preProcessedImage"].copy()
        data[1, 2, 3] = np.nan
        write_mat(cube, {"preProcessedImage": data})
        result = gliomap("classify", made, "--cube", cube, "-o", study / "out")
        assert result.code == 2
        assert str(cube) in result.err
        assert "NaN" in result.err
        assert not (study / "out").exists()

    def test_a_cube_with_another_band_count_is_refused(self, gliomap: Run, made: Path, tmp_path: Path) -> None:
        cube = tmp_path / "cube.mat"
        write_mat(cube, {"preProcessedImage": np.ones((4, 5, 24), np.float32)})
        result = gliomap("classify", made, "--cube", cube)
        assert result.code == 2
        assert result.err.startswith(f"error: {cube}: has 24 bands")

    def test_a_cube_of_another_camera_with_equal_band_count_is_refused(
        self, gliomap: Run, made: Path, study: Path, tmp_path: Path
    ) -> None:
        camera, cube = tmp_path / "camera.toml", tmp_path / "cube.npz"
        write_sensor_toml(resized(get_sensor("nemesis"), 48, 72), camera)
        assert gliomap("preprocess", *frame_flags(study), "--sensor", camera, "-o", cube).code == 0
        result = gliomap("classify", made, "--cube", cube, "-o", tmp_path / "out")
        assert result.code == 2
        assert result.err.startswith(f"error: {cube}: is from another camera: its band 2 is at ")
        assert " nm, that of the bundle's sensor 'generic-nir-5x5' at " in result.err
        assert not (tmp_path / "out").exists()

    def test_an_age_limit_for_a_cube_is_refused(self, gliomap: Run, made: Path, study: Path) -> None:
        cube = capture_files(study, "ID0003C01").cube
        result = gliomap("classify", made, "--cube", cube, "--max-reference-age", "30", "-o", study / "out")
        assert result.code == 2
        assert f"{cube}: is preprocessed" in result.err
        assert not (study / "out").exists()

    def test_swapped_references_are_refused(self, gliomap: Run, made: Path, study: Path) -> None:
        raw, white, dark = frame_flags(study)[1::2]
        result = gliomap("classify", made, "--raw", raw, "--white", dark, "--dark", white, "-o", study / "out")
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

    def test_a_study_of_another_camera_is_refused(self, gliomap: Run, made: Path, study: Path) -> None:
        write_sensor_toml(resized(get_sensor("generic-nir-5x5"), 40, 60), study / "sensor.toml")
        result = gliomap("classify", made, "--study", study, "--capture", "ID0003C01")
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
