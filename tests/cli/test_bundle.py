"""`gliomap bundle`: created, shown and verified; a bad one is refused everywhere."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Run
from support import shared


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
    def test_an_intact_bundle_is_verified_and_shown(self, gliomap: Run, small_bundle: Path, small_study: Path) -> None:
        verified = gliomap("bundle", "verify", small_bundle, "--sensor", small_study / "sensor.toml")
        assert verified.code == 0
        assert "intact" in verified.out
        shown = gliomap("bundle", "show", small_bundle)
        assert "not a medical device" in shown.out
        assert json.loads(gliomap("bundle", "show", small_bundle, "--json").out)["identity"] in verified.out

    def test_a_sensor_with_another_calibration_or_band_count_is_refused(
        self, gliomap: Run, small_bundle: Path, tmp_path: Path
    ) -> None:
        other = gliomap("bundle", "verify", small_bundle, "--sensor", "nemesis")
        assert other.code == 2
        assert "nemesis" in other.err
        file = shared("data", "sensors", "CMV2K-SSM5x5-600_875-5.5.9.2.xml").read_text()
        xml = tmp_path / "fewer.xml"
        head, _, tail = file.partition("<virtual_bands>")
        bands, _, rest = tail.partition("</virtual_bands>")
        kept = "</band>".join(bands.split("</band>")[:24]) + "</band>"
        xml.write_text(f"{head}<virtual_bands>{kept}</virtual_bands>{rest}")
        fewer = gliomap("bundle", "verify", small_bundle, "--sensor", xml)
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
