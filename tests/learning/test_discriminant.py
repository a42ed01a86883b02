"""Linear discriminant analysis, fitted as in scikit-learn and stored as a linear layer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from gliomap.errors import ModelError
from gliomap.learning import LabelledCube, LinearDiscriminant, PatchSource, TrainingConfig, predict

BALANCED, SHARES = TrainingConfig(), TrainingConfig(class_weights="none")


def spectra_of(source: PatchSource) -> np.ndarray:
    return source.windows(np.arange(len(source)))[:, :, 0, 0].astype(np.float64)


@pytest.mark.parametrize("config", [BALANCED, SHARES], ids=["balanced", "shares"])
@pytest.mark.parametrize("classes", [(1, 2, 3, 4, 5), (2, 4), (1, 3, 5)], ids=["all", "two", "three"])
def test_probabilities_match_scikit_learn(make_cubes, config, classes):
    source = PatchSource(make_cubes(2, classes=classes, noise=0.4), 1)
    model = LinearDiscriminant(25, 5)
    model.fit(source, None, config)
    found = predict(model, source)

    priors = np.full(len(classes), 1 / len(classes)) if config is BALANCED else None
    reference = LinearDiscriminantAnalysis(priors=priors).fit(spectra_of(source), source.labels)
    expected = np.zeros_like(found)
    expected[:, np.array(classes) - 1] = reference.predict_proba(spectra_of(source))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    absent = sorted(set(range(1, 6)) - set(classes))
    assert not found[:, np.array(absent, int) - 1].any()


def test_a_class_without_pixels_is_noted_and_weights_are_finite(make_cubes):
    model = LinearDiscriminant(25, 5)
    history = model.fit(PatchSource(make_cubes(2, classes=(1, 2)), 1), None, BALANCED)
    assert sum("no training pixel" in note for note in history.notes) == 3
    assert all(np.isfinite(value).all() for value in model.tensors().values())


def test_the_history_has_one_epoch_with_training_and_validation(make_cubes):
    model, seen = LinearDiscriminant(25, 5), []
    validation = PatchSource(make_cubes(1, first=8, noise=0.5), 1)
    history = model.fit(PatchSource(make_cubes(2, noise=0.5), 1), validation, BALANCED, observer=seen.append)
    assert seen == list(history.epochs)
    accuracy = (predict(model, validation).argmax(axis=1) + 1 == validation.labels).mean()
    assert history.epochs[0].validation_accuracy == pytest.approx(accuracy)
    assert history.epochs[0].train_loss > 0


def test_collinear_bands_do_not_change_predictions(make_cubes):
    cubes = make_cubes(2, noise=0.3)
    doubled = [
        LabelledCube(c.capture, c.patient, np.concatenate([c.data, c.data[..., :3]], axis=2), c.classes) for c in cubes
    ]
    single, double = LinearDiscriminant(25, 5), LinearDiscriminant(28, 5)
    single.fit(PatchSource(cubes, 1), None, BALANCED)
    double.fit(PatchSource(doubled, 1), None, BALANCED)
    np.testing.assert_allclose(
        predict(double, PatchSource(doubled, 1)), predict(single, PatchSource(cubes, 1)), atol=1e-3
    )


def test_an_untrained_model_cannot_predict():
    with pytest.raises(ModelError, match="not trained"):
        LinearDiscriminant(25, 5).predict_proba(np.zeros((1, 25, 1, 1), np.float32))


def test_one_labelled_pixel_per_class_is_too_few():
    labels = np.array([[1, 1, 2, 2]], np.uint8)
    cube = LabelledCube("ID0001C01", "ID0001", np.eye(4, 6, dtype=np.float32)[np.newaxis], labels)
    LinearDiscriminant(6, 2).fit(PatchSource([cube], 1), None, BALANCED)
    few = LabelledCube("ID0001C01", "ID0001", cube.data[:, :2], np.array([[1, 2]], np.uint8))
    with pytest.raises(ModelError, match="one labelled pixel"):
        LinearDiscriminant(6, 2).fit(PatchSource([few], 1), None, BALANCED)
