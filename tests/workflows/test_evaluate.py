"""A run is evaluated on what it held out: figures, predictions, pictures and refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gliomap.errors import OutputExistsError, RunError, SensorError, StudyError
from gliomap.evaluation import read_evaluation, record_tables
from gliomap.phantom import make_phantom
from gliomap.sensors import get_sensor, import_sensor, resized, write_sensor_toml
from gliomap.studies import Study, open_study, write_cube, write_map
from gliomap.workflows import _test_pictures as test_pictures
from gliomap.workflows import evaluate, make_bundle, open_run, plan_protocol, train

TESTED = "ID0003C01"


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the figures that are drawn while the test runs."""
    found: list[str] = []

    def heard(draw: Callable[..., None]) -> Callable[..., None]:
        def listening(*arguments: object, title: str, **options: object) -> None:
            found.append(title)
            draw(*arguments, title=title, **options)

        return listening

    for name in ("confusion_figure", "learning_curves"):
        monkeypatch.setattr(test_pictures, name, heard(getattr(test_pictures, name)))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small study of three patients and an LDA trained on two of them."""
    root = tmp_path_factory.mktemp("evaluate")
    study = make_phantom(
        root / "study", patients=3, difficulty="easy", sensor=resized(get_sensor("generic-nir-5x5"), 44, 82)
    )
    return study, train(study, model="lda", test_patients=["ID0003"])


@pytest.fixture(scope="module")
def evaluated(made: tuple[Path, Path]) -> Path:
    """The evaluation folder of that run."""
    return evaluate(made[1]).folder


@pytest.fixture
def copied(made: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of study and run that a test may change."""
    study, run = made
    shutil.copytree(study, tmp_path / "study")
    return tmp_path / "study", tmp_path / "study" / run.relative_to(study)


@pytest.fixture
def fresh(copied: tuple[Path, Path]) -> tuple[Path, Path]:
    """The same, not evaluated yet."""
    shutil.rmtree(copied[1] / "evaluation", ignore_errors=True)
    return copied


class TestOutput:
    def test_the_record_says_what_was_tested_and_how_well(self, made: tuple[Path, Path], evaluated: Path) -> None:
        record = read_evaluation(evaluated / "metrics.json")
        run = open_run(made[1])
        assert list(record.captures) == [TESTED]
        assert record.split == run.record.split_fingerprint
        assert record.model == "LDA"
        assert record.same_patient == ()
        assert record.pooled == record.captures[TESTED].metrics == record.patients["ID0003"]
        labelled = int((run.record.classes.from_codes(open_study(made[0]).codes(TESTED)) > 0).sum())
        assert record.pooled.n + record.pooled.not_classified == labelled
        assert record.pooled.overall_accuracy is not None
        assert record.pooled.overall_accuracy > 0.6
        assert len(record.graph) == 64

    def test_saved_predictions_reproduce_the_figures(self, evaluated: Path) -> None:
        record = read_evaluation(evaluated / "metrics.json")
        with np.load(evaluated / record.captures[TESTED].predictions) as found:
            true, predicted, probabilities = found["true"], found["predicted"], found["probabilities"]
            assert found["rows"].shape == found["columns"].shape == true.shape
        kept = predicted > 0
        assert float((true == predicted)[kept].mean()) == pytest.approx(record.pooled.overall_accuracy)
        assert np.array_equal(probabilities.argmax(axis=1)[kept] + 1, predicted[kept])

    def test_pictures_are_named_as_the_thesis_named_them(self, evaluated: Path) -> None:
        record = read_evaluation(evaluated / "metrics.json")
        names = {f"LDA_{TESTED}_noCV_version_1.png", f"LDA_{TESTED}_noCV_version_1_overlay.png"}
        assert set(record.captures[TESTED].pictures) == names
        assert record.pictures == (f"LDA_{TESTED}_noCV_version_1_confusion.png",)
        assert {path.name for path in evaluated.glob("*.png")} == {*names, *record.pictures}
        for name in names:
            with Image.open(evaluated / name) as picture:
                assert min(picture.size) > 300

    def test_the_first_table_starts_with_the_tested_capture(self, evaluated: Path) -> None:
        tables = record_tables(read_evaluation(evaluated / "metrics.json"))
        assert tables[0].rows[0][0] == TESTED

    def test_no_other_files_are_written(self, evaluated: Path) -> None:
        assert {path.name for path in evaluated.iterdir() if path.suffix != ".png"} == {
            "metrics.json",
            "summary.json",
            "predictions",
            "maps",
        }
        assert not [path for path in evaluated.parent.iterdir() if path.name.startswith(".")]


class TestReplacement:
    def test_an_evaluation_is_not_replaced_without_overwrite(self, made: tuple[Path, Path], evaluated: Path) -> None:
        before = (evaluated / "metrics.json").read_bytes()
        with pytest.raises(OutputExistsError):
            evaluate(made[1])
        assert (evaluated / "metrics.json").read_bytes() == before

    def test_overwriting_keeps_old_pictures_and_takes_the_next_version(
        self, copied: tuple[Path, Path], evaluated: Path, drawn: list[str], titles: list[str]
    ) -> None:
        study, run = copied
        again = evaluate(run, study=study, overwrite=True)
        assert again.record.version == 2
        assert f"LDA · {TESTED} (synthetic patient)" in " ".join(drawn)
        assert titles == [f"LDA · confusion matrix · {TESTED} (synthetic patient)"]
        first, second = (again.folder / f"LDA_{TESTED}_noCV_version_{n}.png" for n in (1, 2))
        assert first.read_bytes() == (evaluated / first.name).read_bytes()
        assert second.read_bytes() == first.read_bytes()
        old = read_evaluation(evaluated / "metrics.json")
        assert again.record.pooled == old.pooled
        assert again.record.graph == old.graph


class TestRefusals:
    def test_a_changed_study_is_refused(self, fresh: tuple[Path, Path]) -> None:
        study, run = fresh
        path = open_study(study).files(TESTED).map
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(StudyError, match="of 6 files 1 changed: GroundTruthMaps/"):
            evaluate(run, study=study)
        assert not (run / "evaluation").exists()

    def test_a_capture_reassigned_to_a_training_patient_is_refused(self, fresh: tuple[Path, Path]) -> None:
        study, run = fresh
        with (study / "study.toml").open("a", encoding="utf-8") as stream:
            stream.write('\n[aliases]\nID0003 = "ID0001"\n')
        with pytest.raises(StudyError, match="now assigned to another patient: ID0003C01"):
            evaluate(run, study=study)

    def test_an_edited_split_is_refused(self, fresh: tuple[Path, Path]) -> None:
        study, run = fresh
        split = json.loads((run / "split.json").read_text())
        split["train"], split["test"] = [*split["train"], TESTED], []
        (run / "split.json").write_text(json.dumps(split))
        with pytest.raises(StudyError, match="fingerprint"):
            evaluate(run, study=study)

    def test_another_camera_is_refused(self, fresh: tuple[Path, Path]) -> None:
        study, run = fresh
        other = replace(get_sensor("nemesis"), name="other")
        with pytest.raises(SensorError, match="was trained for"):
            evaluate(run, study=study, sensor=other)

    def test_the_camera_named_in_training_is_reused_and_must_not_change(
        self, copied: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GLIOMAP_SENSORS", str(tmp_path / "registry"))
        study = copied[0]
        camera = replace(open_study(study).sensor(), name="mine", saturation=1000)
        import_sensor(camera)
        run = train(study, model="lda", test_patients=[TESTED[:6]], sensor="mine", out=tmp_path / "run")
        assert any("3 prepared cubes were made with other sensor" in hint for hint in open_run(run).record.hints)
        assert open_run(run).record.sensor.given == "mine"
        assert evaluate(run).record.pooled.n
        assert make_bundle(run).sensor.fingerprint() == camera.fingerprint()
        import_sensor(replace(camera, saturation=900), overwrite=True)
        for uses in (evaluate, make_bundle):
            with pytest.raises(SensorError, match=re.escape(f"is not the 'mine' that run {run} was trained for")):
                uses(run, overwrite=True)

    def test_a_camera_that_is_described_only_in_its_own_file_must_be_named_again(
        self, copied: tuple[Path, Path], tmp_path: Path
    ) -> None:
        study, camera = copied[0], tmp_path / "camera.toml"
        write_sensor_toml(replace(open_study(study).sensor(), name="own"), camera)
        settings = study / "study.toml"
        settings.write_text(re.sub("^sensor = .*$", "", settings.read_text(), flags=re.MULTILINE))
        run = train(study, model="lda", test_patients=[TESTED[:6]], sensor=camera, out=tmp_path / "run")
        for uses in (evaluate, make_bundle):
            with pytest.raises(
                SensorError, match=f"of run {re.escape(str(run))} is neither in its study nor"
            ) as caught:
                uses(run)
            assert caught.value.remedy == "Give its description with --sensor FILE."
            uses(run, sensor=camera)

    @pytest.mark.parametrize("protocol", ["holdout", "lopo"])
    def test_cubes_that_are_made_again_cause_one_warning(
        self, made: tuple[Path, Path], caplog: pytest.LogCaptureFixture, protocol: str
    ) -> None:
        study = made[0]
        camera = replace(open_study(study).sensor(), name="mine", saturation=1000)
        assert not any("made again" in hint for hint in plan_protocol(study, {"protocol": protocol}).hints)
        caplog.set_level("WARNING")
        plan = plan_protocol(study, {"protocol": protocol, "sensor": camera})
        (told,) = [hint for hint in plan.hints if "made again" in hint]
        assert told.startswith(
            "3 prepared cubes were made with other sensor, preprocessing, crop or exposure settings than"
        )
        assert told.endswith("made again from tif/ (ID0001C01, ID0002C01, ID0003C01)")
        assert [one for one in caplog.messages if "made again" in one] == [told]

    @pytest.mark.parametrize("protocol", ["holdout", "lopo"])
    @pytest.mark.parametrize("image", ["cube", "frames"])
    def test_a_held_out_capture_that_does_not_fit_its_map_is_refused_early(
        self, copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, protocol: str, image: str
    ) -> None:
        study = copied[0]
        write_map(study, TESTED, open_study(study).codes(TESTED)[:20])
        if image == "frames":
            open_study(study).files(TESTED).cube.unlink()
        monkeypatch.setattr(Study, "cube", None)  # no cube may be read to find this
        with pytest.raises(StudyError, match=r"and its map 20×.* and no crop is known"):
            plan_protocol(study, {"protocol": protocol})

    @pytest.mark.parametrize("named", [True, False], ids=["sensor named", "no sensor"])
    @pytest.mark.parametrize("protocol", ["holdout", "lopo"])
    def test_a_held_out_cube_with_another_number_of_bands_is_refused_early(
        self, copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, protocol: str, named: bool
    ) -> None:
        study = copied[0]
        cube = open_study(study).cube(TESTED)
        write_cube(study, TESTED, replace(cube, data=cube.data[:, :, :20], wavelengths_nm=None))
        if not named:
            (study / "study.toml").unlink()
        monkeypatch.setattr(Study, "cube", None)  # no cube may be read to find this
        other = "and sensor 'generic-nir-5x5' has 25" if named else "but the cube of ID0001C01 has 25"
        with pytest.raises(StudyError, match=f"has 20 bands, {other}") as caught:
            plan_protocol(study, {"protocol": protocol})
        assert caught.value.thing == str(open_study(study).files(TESTED).cube)

    @pytest.mark.parametrize("protocol", ["holdout", "lopo"])
    def test_a_camera_that_no_bundle_can_describe_is_refused_early(
        self, copied: tuple[Path, Path], protocol: str
    ) -> None:
        study, camera = copied[0], open_study(copied[0]).sensor()
        fewer = replace(
            camera,
            wavelengths_nm=camera.wavelengths_nm[:20],
            band_of_position=tuple(min(band, 19) for band in camera.band_of_position),
            correction=replace(camera.correction, matrix=camera.correction.matrix[:20]),
        )
        write_sensor_toml(fewer, study / "sensor.toml")
        plan_protocol(study, {"model": "lda", "protocol": protocol})
        settings = study / "study.toml"
        text = settings.read_text()
        settings.write_text(text.replace("spectral_correction = true", "spectral_correction = false"))
        with pytest.raises(SensorError, match="has 20 bands and 25 mosaic positions") as caught:
            plan_protocol(study, {"model": "lda", "protocol": protocol})
        assert "describe the camera without correction" in caught.value.remedy

    def test_a_folder_that_is_not_a_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RunError):
            evaluate(tmp_path)

    def test_a_full_disk_leaves_nothing(self, fresh: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        study, run = fresh

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez_compressed", full)
        before = sorted(path.name for path in run.iterdir())
        with pytest.raises(OSError, match="No space"):
            evaluate(run, study=study)
        assert sorted(path.name for path in run.iterdir()) == before


class TestOverlap:
    def test_a_patient_in_training_and_test_is_recorded(self, copied: tuple[Path, Path]) -> None:
        study, _ = copied
        for path in study.rglob("*ID0003*"):
            if path.is_file() and "runs" not in path.parts:
                shutil.copy(path, path.with_name(re.sub(r"ID0003(C[DW]?)01", r"ID0001\g<1>02", path.name)))
        run = train(study, model="lda", test_captures=["ID0001C02"], allow_same_patient=True)
        result = evaluate(run)
        assert result.record.same_patient == ("ID0001",)


class TestSeveralCaptures:
    """Studies of prepared cubes without a camera, like those of other groups."""

    def test_figures_are_given_per_capture_per_patient_and_pooled(self, study: Path) -> None:
        run = train(study, model="lda", test_patients=["ID0002", "ID0004"])
        record = evaluate(run).record
        assert set(record.captures) == {"ID0002C01", "ID0002C02", "ID0004C01"}
        assert set(record.patients) == {"ID0002", "ID0004"}
        assert record.patients["ID0002"].n == sum(record.captures[f"ID0002C0{n}"].metrics.n for n in (1, 2))
        assert record.pooled.n == sum(found.n for found in record.patients.values())
        assert record.pooled.not_classified == 3 * 3  # each capture's three masked pixels are labelled
        accuracy = record.intervals["overall accuracy"]
        assert accuracy is not None
        assert accuracy.mean == pytest.approx(np.mean([found.overall_accuracy for found in record.patients.values()]))
        assert record.pictures == ("LDA_3-captures_noCV_version_1_confusion.png",)

    def test_false_tumour_is_recorded_if_no_tumour_is_labelled(self, study: Path) -> None:
        codes = open_study(study).codes("ID0004C01")
        write_map(study, "ID0004C01", np.where(codes == 200, 0, codes).astype(np.uint16))
        result = evaluate(train(study, model="lda", test_patients=["ID0004"]))
        found = result.record.captures["ID0004C01"].false_tumour
        assert found is not None
        assert found.frame_marked > 0
        assert result.record.intervals["tumour sensitivity"] is None
        assert record_tables(result.record)[-1].rows[0][0] == "ID0004C01"

    def test_a_network_has_learning_curves(self, study: Path, titles: list[str]) -> None:
        run = train(study, model="fourlayer", test_captures=["ID0004C01"], overrides={"epochs": 3})
        done = evaluate(run)
        assert titles == ["FourLayerNet · learning curves", "FourLayerNet · confusion matrix · ID0004C01"]
        assert done.record.pictures[1] == "FourLayerNet_ID0004C01_noCV_version_1_curves.png"
        assert (done.folder / done.record.pictures[1]).is_file()
