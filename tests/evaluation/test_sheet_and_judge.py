"""Contact sheets of studies, and maps compared with their ground truth."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gliomap.errors import RunError, StudyError, UsageError
from gliomap.evaluation import (
    CaptureRecord,
    EvaluationRecord,
    contact_sheet,
    false_tumour,
    interval_over_patients,
    judge,
    picture_of,
    pooled_metrics,
    read_evaluation,
    record_tables,
)
from gliomap.phantom import make_phantom
from gliomap.sensors import get_sensor, resized
from gliomap.studies import Study, make_holdout, open_study, write_cube, write_map
from gliomap.taxonomy import THESIS_CLASSES, ClassSet
from rendering.scene import Scene, make_scene

CODE_OF_CLASS = np.array([0, 101, 200, 301, 302, 320], np.uint16)


@dataclasses.dataclass(frozen=True, eq=False)
class FullMap:
    """A tissue map with all fields that the engine returns."""

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.uint8]
    classes: ClassSet
    timings: dict[str, float]
    blanked: str | None
    bundle: str


def full_map(scene: Scene) -> FullMap:
    labels = scene.map.labels
    probabilities = np.eye(6, dtype=np.float32)[labels][:, :, 1:] * scene.map.confidence[:, :, None]
    return FullMap(
        labels,
        probabilities,
        scene.map.confidence,
        scene.map.mask,
        scene.map.reasons,
        THESIS_CLASSES,
        {},
        None,
        "b" * 64,
    )


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(48, 72)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two patients with three captures; only cubes and maps."""
    root = tmp_path / "study"
    for seed, capture in enumerate(("ID0001C01", "ID0001C02", "ID0002C01")):
        one = make_scene(48, 72, seed)
        codes = CODE_OF_CLASS[one.truth]
        if capture == "ID0002C01":
            codes[0:4, 0:5] = 410
        write_cube(root, capture, one.cube)
        write_map(root, capture, codes)
    return open_study(root)


@pytest.fixture
def framed(tmp_path: Path) -> Study:
    """One synthetic patient with frames of a camera that has few tiles."""
    sensor = resized(get_sensor("generic-nir-5x5"), 24, 34)
    return open_study(make_phantom(tmp_path / "framed", patients=1, difficulty="easy", sensor=sensor))


class TestContactSheet:
    def test_each_capture_has_its_picture_and_caption(self, study: Study, tmp_path: Path, drawn: list[str]) -> None:
        contact_sheet(study, tmp_path / "sheet.png")
        words = " ".join(drawn)
        assert all(capture in words for capture in study.capture_ids)
        assert "2 patients, 3 captures" in words
        assert "48 x 72 pixels" in words
        assert "unlabelled does not mean healthy" in words
        with Image.open(tmp_path / "sheet.png") as image:
            assert image.size[0] > 2 * 72

    def test_a_phantom_is_called_synthetic(self, framed: Study, tmp_path: Path, drawn: list[str]) -> None:
        contact_sheet(framed, tmp_path / "sheet.png")
        assert "1 synthetic patient, 1 capture" in " ".join(drawn)

    def test_the_legend_gives_pixels_and_patients_of_each_class(
        self, study: Study, tmp_path: Path, drawn: list[str]
    ) -> None:
        contact_sheet(study, tmp_path / "sheet.png")
        healthy = sum(int((study.codes(capture) == 101).sum()) for capture in study.capture_ids)
        assert f"{healthy:,}" in drawn
        at = drawn.index("other tissue")
        assert drawn[at + 1 : at + 3] == ["20", "1"]

    def test_an_unreadable_capture_is_named_and_the_others_are_drawn(
        self, study: Study, tmp_path: Path, drawn: list[str]
    ) -> None:
        study.files("ID0001C02").cube.write_bytes(b"not a mat file")
        contact_sheet(study, tmp_path / "sheet.png")
        assert "No map" not in drawn
        assert "Cannot be shown" in drawn
        assert any("ID0001C02" in word for word in drawn)
        assert any("ID0002C01" in word for word in drawn)

    def test_a_capture_without_ground_truth_is_marked(self, study: Study, tmp_path: Path, drawn: list[str]) -> None:
        study.files("ID0001C02").map.unlink()
        contact_sheet(study, tmp_path / "sheet.png")
        assert "no ground-truth map" in " ".join(drawn)

    def test_large_captures_are_scaled_down(self, tmp_path: Path) -> None:
        one = make_scene(100, 900)
        write_cube(tmp_path / "wide", "ID0001C01", one.cube)
        contact_sheet(open_study(tmp_path / "wide"), tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as image:
            assert image.size[0] < 1400

    def test_the_picture_is_as_large_as_the_cube(self, study: Study) -> None:
        assert picture_of(study, "ID0001C01").shape == (48, 72, 3)

    def test_the_picture_is_drawn_from_frames_if_there_are_any(self, framed: Study) -> None:
        with_frames = picture_of(framed, "ID0001C01")
        for file in (framed.root / "tif").iterdir():
            file.unlink()
        assert with_frames.shape == picture_of(framed, "ID0001C01").shape
        assert not np.array_equal(with_frames, picture_of(framed, "ID0001C01"))

    def test_frames_that_are_not_in_the_split_are_drawn(self, tmp_path: Path) -> None:
        """If the split has hashed the prepared cube, the frames beside it are not read for figures."""
        sensor = resized(get_sensor("generic-nir-5x5"), 24, 34)
        framed = open_study(make_phantom(tmp_path / "framed", patients=2, difficulty="easy", sensor=sensor))
        kept = make_holdout(framed, ["ID0002"]).verify(framed)
        assert kept.unread
        np.testing.assert_array_equal(picture_of(kept, "ID0001C01"), picture_of(framed, "ID0001C01"))

    def test_the_prepared_cube_is_drawn_if_frames_do_not_fit_the_map(self, framed: Study) -> None:
        cube = framed.cube("ID0001C01")
        cropped = dataclasses.replace(
            cube, data=cube.data[2:].copy(), mask=cube.mask[2:].copy(), reasons=cube.reasons[2:].copy()
        )
        write_cube(framed.root, "ID0001C01", cropped)
        write_map(framed.root, "ID0001C01", framed.codes("ID0001C01")[2:])
        assert picture_of(framed, "ID0001C01").shape == (*cropped.mask.shape, 3)

    def test_frames_that_do_not_fit_the_map_are_refused_without_a_cube(self, framed: Study) -> None:
        write_map(framed.root, "ID0001C01", framed.codes("ID0001C01")[2:])
        framed.files("ID0001C01").cube.unlink()
        with pytest.raises(StudyError, match="crop"):
            picture_of(framed, "ID0001C01")


class TestJudge:
    def test_labelled_pixels_come_in_the_order_of_the_data_set(self, scene: Scene) -> None:
        judged = judge("ID0001C01", "ID0001", scene.truth, full_map(scene))
        flat = judged.columns * scene.truth.shape[0] + judged.rows
        assert (np.diff(flat) > 0).all()
        assert np.array_equal(judged.true, scene.truth[judged.rows, judged.columns])
        assert np.array_equal(judged.predicted, scene.map.labels[judged.rows, judged.columns])
        assert judged.probabilities.shape == (judged.true.size, 5)

    def test_pooling_counts_each_pixel_once(self, scene: Scene) -> None:
        one = judge("ID0001C01", "ID0001", scene.truth, full_map(scene))
        both = pooled_metrics([one, one], THESIS_CLASSES)
        assert both.n == 2 * one.metrics.n
        assert both.overall_accuracy == pytest.approx(one.metrics.overall_accuracy)
        with pytest.raises(UsageError):
            pooled_metrics([], THESIS_CLASSES)

    def test_a_ground_truth_of_another_size_is_refused(self, scene: Scene) -> None:
        with pytest.raises(UsageError, match="ID0001C01"):
            judge("ID0001C01", "ID0001", scene.truth[1:], full_map(scene))

    def test_false_tumour_is_counted_if_no_tumour_is_labelled(self, scene: Scene) -> None:
        truth = np.where(scene.truth == 2, 0, scene.truth).astype(np.uint8)
        found = false_tumour(truth, full_map(scene), np.ones_like(truth, bool))
        assert found is not None
        assert found.labelled_marked == int(((truth > 0) & (scene.map.labels == 2)).sum())
        assert found.frame_marked == int((scene.map.labels == 2).sum())
        assert found.frame_share == found.frame_marked / int((scene.map.labels > 0).sum())
        assert found.labelled == int(((truth > 0) & (scene.map.labels > 0)).sum())
        assert found.labelled_share == found.labelled_marked / found.labelled

    def test_false_tumour_is_not_counted_if_no_class_is_tumour(self, scene: Scene) -> None:
        clot = dataclasses.replace(THESIS_CLASSES.classes[1], name="clot", codes=(310,))
        classes = ClassSet("no tumour", (THESIS_CLASSES.classes[0], clot, *THESIS_CLASSES.classes[2:]))
        tissue = dataclasses.replace(full_map(scene), classes=classes)
        assert false_tumour(scene.truth, tissue, np.ones_like(scene.truth, bool)) is None

    def test_false_tumour_is_not_counted_if_tumour_is_labelled(self, scene: Scene) -> None:
        assert (scene.truth == 2).any()
        assert false_tumour(scene.truth, full_map(scene), np.ones_like(scene.truth, bool)) is None

    def test_false_tumour_is_not_counted_if_untested_pixels_are_tumour(self, scene: Scene) -> None:
        tested = scene.truth != 2
        judged = judge("ID0001C01", "ID0001", scene.truth, full_map(scene), tested)
        of_class = np.bincount(scene.truth.ravel(), minlength=6)
        assert np.bincount(judged.true, minlength=6).tolist() == [0, of_class[1], 0, *of_class[3:]]
        assert judged.false_tumour is None

    def test_only_tested_pixels_count_as_labelled(self, scene: Scene) -> None:
        truth = np.where(scene.truth == 2, 0, scene.truth).astype(np.uint8)
        tested = np.arange(truth.shape[1]) % 2 == 0
        found = judge("ID0001C01", "ID0001", truth, full_map(scene), np.broadcast_to(tested, truth.shape))
        whole = judge("ID0001C01", "ID0001", truth, full_map(scene))
        assert (found.columns % 2 == 0).all()
        assert 0 < found.false_tumour.labelled < whole.false_tumour.labelled
        assert found.false_tumour.frame == whole.false_tumour.frame

    def test_an_empty_map_has_no_shares_of_false_tumour(self, scene: Scene) -> None:
        empty = dataclasses.replace(full_map(scene), labels=np.zeros_like(scene.map.labels))
        found = false_tumour(np.zeros_like(scene.truth), empty, np.ones_like(scene.truth, bool))
        assert found is not None
        assert (found.labelled_share, found.frame_share) == (None, None)


def record_of(scene: Scene, patients: int) -> EvaluationRecord:
    judged = {}
    for number in range(1, patients + 1):
        for capture in ("C01", "C02"):
            truth = scene.truth if capture == "C01" else np.where(scene.truth == 2, 0, scene.truth).astype(np.uint8)
            name = f"ID{number:04}{capture}"
            judged[name] = judge(name, name[:6], truth, full_map(scene))
    by_patient = {
        patient: pooled_metrics([one for one in judged.values() if one.patient == patient], THESIS_CLASSES)
        for patient in sorted({one.patient for one in judged.values()})
    }
    accuracies = [found.overall_accuracy for found in by_patient.values()]
    return EvaluationRecord(
        gliomap="0.1.0",
        run="a run",
        model="Conv2DNet",
        graph="b" * 64,
        protocol="holdout",
        split="f" * 64,
        same_patient=(),
        classes=THESIS_CLASSES,
        version=1,
        pooled=pooled_metrics(list(judged.values()), THESIS_CLASSES),
        patients=by_patient,
        intervals={"overall accuracy": interval_over_patients(accuracies), "nothing": None},
        captures={
            name: CaptureRecord(
                patient=one.patient,
                metrics=one.metrics,
                false_tumour=one.false_tumour,
                predictions=f"predictions/{name}.npz",
                pictures=(),
            )
            for name, one in judged.items()
        },
        pictures=(),
    )


class TestRecord:
    def test_a_record_is_read_as_it_was_written(self, scene: Scene, tmp_path: Path) -> None:
        record = record_of(scene, 1)
        record.save(tmp_path / "metrics.json")
        assert read_evaluation(tmp_path / "metrics.json") == record
        assert json.loads((tmp_path / "metrics.json").read_text())["notice"].endswith("not a medical device")

    @pytest.mark.parametrize("content", ["", "{}", "[1", '{"format": 2}', "\x00\xff"])
    def test_a_file_that_is_not_an_evaluation_is_refused(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
        with pytest.raises(RunError, match="Evaluate the run again"):
            read_evaluation(tmp_path / "metrics.json")

    def test_inconsistent_class_indices_are_refused(self, scene: Scene, tmp_path: Path) -> None:
        content = record_of(scene, 1).model_dump(mode="json")
        content["classes"]["classes"][0]["index"] = 7
        (tmp_path / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(RunError, match="indices"):
            read_evaluation(tmp_path / "metrics.json")

    def test_a_missing_evaluation_names_the_command_that_makes_it(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="gliomap evaluate"):
            read_evaluation(tmp_path / "metrics.json")

    def test_tables_list_captures_patients_and_the_total(self, scene: Scene) -> None:
        overall, by_class, means, confusion, marked = record_tables(record_of(scene, 3))
        assert [row[0] for row in overall.rows][-4:] == [
            "patient ID0001",
            "patient ID0002",
            "patient ID0003",
            "all together",
        ]
        assert len(overall.rows) == 6 + 3 + 1
        assert len(by_class.rows) == len(confusion.rows) == 5
        assert "(3 patients: " in means.rows[0][1]
        assert means.rows[1] == ("nothing", "not defined")
        assert [row[0] for row in marked.rows] == ["ID0001C02", "ID0002C02", "ID0003C02"]

    def test_one_patient_has_no_mean_over_patients(self, scene: Scene) -> None:
        assert not any("Mean over" in table.title for table in record_tables(record_of(scene, 1)))
