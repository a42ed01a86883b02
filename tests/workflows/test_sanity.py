"""Sanity checks of a run: shuffled labels, the oracle and the learning curve."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gliomap.errors import OutputExistsError, RunError
from gliomap.evaluation import metrics
from gliomap.learning import FourLayerNet, PatchSource
from gliomap.phantom import make_phantom
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import get_sensor, resized
from gliomap.studies import open_study, write_map, write_study_toml
from gliomap.taxonomy import ClassSet, TissueClass
from gliomap.workflows import (
    _sanity,
    measure_sanity,
    train,
)

ALL = ("ID0001", "ID0002", "ID0003", "ID0004")


class TestSanity:
    @pytest.fixture
    def lopo(self, lopo: Path, tmp_path: Path) -> Path:
        """A copy of the run, because results are stored in it."""
        study = shutil.copytree(lopo.parent.parent, tmp_path / "own", copy_function=shutil.copy2)
        return study / "runs" / lopo.name

    def test_shuffled_labels_fall_to_chance_and_the_oracle_does_not(self, lopo: Path) -> None:
        shuffled = measure_sanity(lopo, "shuffle-labels")
        oracle = measure_sanity(lopo, "oracle")
        assert shuffled.chance == pytest.approx(0.2)
        assert shuffled.points[0].balanced_accuracy.mean < 0.4
        assert oracle.points[0].balanced_accuracy.mean > 0.9
        assert set(oracle.points[0].patients) == set(ALL)
        assert (lopo / "sanity" / "oracle.json").exists()

    def test_a_network_is_fitted_only_once_with_shuffled_labels(
        self, study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second training on all patients would read their true labels."""
        run = train(
            study, model="fourlayer", test_patients=["ID0003"], overrides={"epochs": 2, "min_epochs": 1, "patience": 1}
        )
        seen: list[np.ndarray] = []
        learn = FourLayerNet.fit

        def watched(self: FourLayerNet, training: PatchSource, *rest: object, **options: object) -> object:
            seen.append(training.labels)
            return learn(self, training, *rest, **options)

        monkeypatch.setattr(FourLayerNet, "fit", watched)
        measure_sanity(run, "shuffle-labels")
        assert len(seen) == 1

    def test_chance_without_class_weights_is_noted(self, make_study: Callable[..., Path]) -> None:
        """A model that always predicts the commonest class is right on one class of a patient who has two."""
        study = make_study()
        run = train(study, model="lda", protocol="lopo", preset="thesis")
        (note,) = measure_sanity(run, "shuffle-labels").notes
        assert "balanced accuracy of 0.200" in note

    def test_a_tumour_mistaken_for_another_tumour_counts_as_found(self) -> None:
        """As in the figures of a run, where all tumour classes count as one."""
        kinds = [("healthy", 101), ("glioblastoma", 200), ("low grade", 220)]
        classes = ClassSet(
            "two tumours",
            tuple(
                TissueClass(index, name, (code,), (0, 0, 0), (0, 0, 0)) for index, (name, code) in enumerate(kinds, 1)
            ),
        )
        found = metrics(np.array([1, 2, 2, 3, 3]), np.array([1, 3, 3, 2, 2]), 3)
        assert _sanity._score(found, classes).tumour_sensitivity == 1

    def test_the_learning_curve_notes_that_patients_calibrated(self, study: Path) -> None:
        run = train(study, model="svm-linear", protocol="lopo", final=False)
        assert any("calibrated" in note for note in measure_sanity(run, "learning-curve").notes)

    def test_the_learning_curve_ends_with_all_training_patients(self, lopo: Path) -> None:
        record = measure_sanity(lopo, "learning-curve")
        assert [point.training_patients for point in record.points] == [1, 2, 3]
        told = json.loads((lopo / "evaluation" / "metrics.json").read_text())
        for patient, score in record.points[-1].patients.items():
            assert score.overall_accuracy == pytest.approx(told["patients"][patient]["overall_accuracy"], abs=1e-3)

    def test_an_existing_result_is_refused_without_overwrite(self, lopo: Path) -> None:
        measure_sanity(lopo, "oracle")
        with pytest.raises(OutputExistsError):
            measure_sanity(lopo, "oracle")

    def test_a_protocol_that_mixes_patients_has_no_curve_over_patients(self, study: Path) -> None:
        run = train(study, model="lda", protocol="pooled")
        with pytest.raises(RunError, match="mixes patients"):
            measure_sanity(run, "learning-curve")
        assert measure_sanity(run, "shuffle-labels").points[0].balanced_accuracy.mean < 0.45

    def test_spectra_are_prepared_as_in_the_run_even_if_study_toml_changed(self, tmp_path: Path) -> None:
        camera = resized(get_sensor("generic-nir-5x5"), 30, 40)
        root = make_phantom(tmp_path / "study", patients=3, difficulty="easy", sensor=camera, label_fraction=0.4)
        shutil.rmtree(root / "preProcessedImages")
        run = train(root, model="lda", protocol="lopo", final=False)
        before = measure_sanity(run, "learning-curve")
        settings = open_study(root).settings
        other = settings.model_copy(update={"preprocessing": PreprocessingConfig(normalisation="area")})
        write_study_toml(root, other)
        assert measure_sanity(run, "learning-curve", overwrite=True).points == before.points

    def test_a_patient_of_one_class_has_no_oracle(self, make_study: Callable[..., Path]) -> None:
        root = make_study()
        study = open_study(root)
        codes = study.codes("ID0004C01")
        write_map(root, "ID0004C01", np.where(codes == 101, codes, 0).astype(np.uint16))
        record = measure_sanity(train(root, model="lda", protocol="lopo"), "oracle")
        assert "ID0004" not in record.points[0].patients
        assert any("ID0004" in note for note in record.notes)
