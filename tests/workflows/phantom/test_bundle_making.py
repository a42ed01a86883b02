"""Bundles from Python, of a run or of weights alone, including what the command line does not reach."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gliomap.errors import (
    ModelError,
    OutputExistsError,
    RunError,
    SensorError,
)
from gliomap.taxonomy import THESIS_CLASSES, ClassSet
from gliomap.workflows import (
    bundle_from_weights,
    make_bundle,
    open_run,
    train,
)
from workflows.phantom.conftest import CAMERA


class TestMakeBundle:
    def test_the_bundle_is_written_into_its_run_by_default(self, run: Path, tmp_path: Path) -> None:
        copied = Path(shutil.copytree(run, tmp_path / "run"))
        made = make_bundle(copied)
        assert made.path == copied / "bundle"
        training = made.manifest.training
        assert training is not None
        assert training.split_fingerprint == open_run(run).record.split_fingerprint
        assert training.patients == {"train": ("ID0001", "ID0002"), "validation": (), "test": ("ID0003",)}
        assert training.same_patient == ()
        with pytest.raises(OutputExistsError):
            make_bundle(copied)

    def test_a_camera_that_is_not_found_again_must_be_given(
        self, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GLIOMAP_SENSORS", str(tmp_path / "registry"))
        run = train(copy, out=tmp_path / "run", model="lda")
        (copy / "study.toml").write_text('name = "the sensor is no longer named"\n')
        # The small camera of the phantom has the name of the packaged camera, which has another size.
        with pytest.raises(SensorError, match="calibration differs"):
            make_bundle(run, tmp_path / "a")
        assert make_bundle(run, tmp_path / "b", sensor=CAMERA).sensor is not None
        record = open_run(run).record
        assert record.sensor is not None
        renamed = record.model_copy(update={"sensor": record.sensor.model_copy(update={"name": "gone"})})
        (run / "run.json").write_text(renamed.model_dump_json())
        with pytest.raises(SensorError, match="--sensor FILE"):
            make_bundle(run, tmp_path / "c")

    def test_the_card_says_if_the_camera_was_named_only_for_the_bundle(self, copy: Path, tmp_path: Path) -> None:
        shutil.rmtree(copy / "tif")
        (copy / "study.toml").unlink()
        run = train(copy, out=tmp_path / "run", model="lda")
        claim = "The camera was named only when the bundle was made;"
        assert claim in make_bundle(run, tmp_path / "claimed", sensor=CAMERA).card
        assert claim not in make_bundle(run, tmp_path / "cubes").card

    def test_a_folder_that_is_not_a_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RunError):
            make_bundle(tmp_path)


class TestFromWeights:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        from gliomap.learning import build_model, save_model

        path = tmp_path / "weights.safetensors"
        save_model(build_model("fourlayer", 25, 5), path)
        return path

    def test_a_bundle_without_a_sensor_takes_cubes_only(self, weights: Path, tmp_path: Path) -> None:
        made = bundle_from_weights("fourlayer", weights, tmp_path / "bundle")
        assert made.frame_graph is None
        assert made.manifest.training is None
        assert "their training is unknown" in made.manifest.notes[0]

    def test_a_bundle_with_a_sensor_takes_frames(self, weights: Path, tmp_path: Path) -> None:
        made = bundle_from_weights("fourlayer", weights, tmp_path / "bundle.zip", sensor=CAMERA, name="mine")
        assert made.frame_graph is not None
        assert made.manifest.name == "mine"

    def test_another_number_of_classes_is_refused(self, weights: Path, tmp_path: Path) -> None:
        two = ClassSet("two", THESIS_CLASSES.classes[:2])
        with pytest.raises(ModelError, match="5 classes"):
            bundle_from_weights("fourlayer", weights, tmp_path / "bundle", classes=two)

    def test_weights_of_another_architecture_are_refused(self, weights: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelError):
            bundle_from_weights("conv2d", weights, tmp_path / "bundle")
        assert not (tmp_path / "bundle").exists()
