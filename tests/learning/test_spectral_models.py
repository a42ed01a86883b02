"""Classical models: saved and exported as scikit-learn fitted them, with calibrated probabilities."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pytest

from bundles.makers import small_sensor
from gliomap.bundles import open_bundle
from gliomap.engine import Engine
from gliomap.errors import ModelError, UsageError
from gliomap.learning import (
    MODELS,
    DenseNetwork,
    LabelledCube,
    PatchSource,
    TrainingConfig,
    build_model,
    load_model,
    model_from_tensors,
    predict,
    predict_map,
    save_model,
)
from gliomap.learning import _forest as forest_module
from gliomap.learning import _kernel_svm as svm_module
from gliomap.learning._calibration import temperature_of
from gliomap.learning._graph_scene import cube_scene
from gliomap.learning._spectral import OVERCONFIDENT, Pixels
from gliomap.learning.export import BundleInfo, checked_bundle, export_bundle
from gliomap.preprocessing import HyperCube, PreprocessingConfig

CLASSICAL = [name for name, kind in MODELS.items() if not kind.iterative]
CALIBRATED = [name for name, kind in MODELS.items() if kind.calibrates]
CURVED = ["svm-rbf", "forest", "sam-knn"]
CONFIG = TrainingConfig()


def fitted(name, training, validation=None, config=CONFIG):
    model = build_model(name, training.n_bands, 5)
    return model, model.fit(training, validation, config)


def log_loss(model, source):
    probabilities = predict(model, source)
    own = probabilities[np.arange(len(source)), source.labels.astype(int) - 1]
    return -np.log(np.maximum(own, 1e-30)).mean()


@pytest.fixture
def strangers(make_cubes):
    """Patients whose spectra are each shifted by their own amount: training, validation, test."""

    def make(number, first):
        cubes = make_cubes(number, first=first, noise=0.4)
        shifts = [np.random.default_rng(first + place).normal(0, 0.35, 25) for place in range(number)]
        return PatchSource(
            [
                LabelledCube(cube.capture, cube.patient, (cube.data + shift).astype(np.float32), cube.classes)
                for cube, shift in zip(cubes, shifts, strict=True)
            ],
            1,
        )

    return make(4, 1), make(6, 20), make(12, 40)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_same_seed_fits_the_same_model(strangers, name, monkeypatch):
    monkeypatch.setattr(svm_module, "MOST_PIXELS", 200)
    first, second = (fitted(name, *strangers[:2])[0].tensors() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration_on_validation_patients_lowers_the_log_loss(strangers, name):
    training, validation, test = strangers
    calibrated, history = fitted(name, training, validation)
    alone, told = fitted(name, training)
    assert OVERCONFIDENT not in history.notes
    assert OVERCONFIDENT in told.notes
    # The temperature does not change labels.
    best, labels = predict(calibrated, test), predict(alone, test).argmax(axis=1)
    assert (best.argmax(axis=1) == labels).mean() > 0.995
    assert log_loss(calibrated, test) < log_loss(alone, test)


def test_the_temperature_recovers_the_scale_of_the_logits():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 4))
    powers = np.exp(logits)
    labels = (powers.cumsum(axis=1) / powers.sum(axis=1, keepdims=True) < generator.random((20_000, 1))).sum(axis=1)
    for factor in (0.01, 1, 30):
        assert temperature_of(logits / factor, labels) == pytest.approx(factor, rel=0.06)
    with pytest.raises(ModelError, match="no pixel"):
        temperature_of(logits[:0], labels[:0])


def test_the_temperature_does_not_depend_on_class_frequencies():
    """How much of a tissue surgeons have labelled says nothing about the brain."""
    generator = np.random.default_rng(2)
    scores, labels = generator.normal(size=(300, 3)), generator.integers(0, 3, 300)
    scores[np.arange(300), labels] += np.array([3.0, 0.5, 0.5])[labels]
    many = np.concatenate([np.arange(300), np.repeat(np.flatnonzero(labels == 0), 20)])
    assert temperature_of(scores[many], labels[many]) == pytest.approx(temperature_of(scores, labels), rel=1e-3)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("classes", [(2, 4), (1, 3, 5)], ids=["two", "three"])
def test_a_class_without_pixels_is_never_predicted(make_cubes, name, classes):
    model, history = fitted(
        name, PatchSource(make_cubes(2, classes=classes), 1), PatchSource(make_cubes(1, first=9), 1)
    )
    found = predict(model, PatchSource(make_cubes(1, first=5), 1))
    absent = np.array(sorted(set(range(1, 6)) - set(classes))) - 1
    assert not found[:, absent].any()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert sum("no training pixel" in note for note in history.notes) == absent.size


@pytest.mark.parametrize("name", CALIBRATED)
def test_validation_patients_with_other_classes_do_not_calibrate(make_cubes, name):
    validation = PatchSource(make_cubes(1, first=9, classes=(3, 5)), 1)
    _, history = fitted(name, PatchSource(make_cubes(2, classes=(1, 2)), 1), validation)
    assert OVERCONFIDENT in history.notes


@pytest.mark.parametrize("name", CLASSICAL)
def test_few_pixels_and_a_constant_band_give_finite_probabilities(name):
    data = np.random.default_rng(0).normal(1, 0.1, (1, 6, 4)).astype(np.float32)
    data[..., 2] = 1
    labels = np.array([[1, 1, 2, 2, 3, 3]], np.uint8)
    data[0, :, 0] += labels[0]
    model, _ = fitted(name, PatchSource([LabelledCube("ID0001C01", "ID0001", data, labels)], 1))
    probabilities = model.predict_proba(data[0][:, :, np.newaxis, np.newaxis])
    assert np.isfinite(probabilities).all()
    assert not probabilities[:, 3:].any()


@pytest.mark.parametrize("name", CLASSICAL)
def test_graphs_compute_what_the_model_computes(make_cubes, tmp_path, name):
    cubes = make_cubes(2, bands=4, noise=0.4)
    model, _ = fitted(name, PatchSource(cubes, 1), PatchSource(make_cubes(1, bands=4, noise=0.4, first=9), 1))
    export_bundle(model, tmp_path / "bundle", BundleInfo("test", sensor=small_sensor()))
    bundle = open_bundle(tmp_path / "bundle")
    data = cubes[0].data[:11, :17].copy()
    data[3, 5] = 0
    mask = data.any(axis=2)
    cube = HyperCube(data, None, "reflectance", mask, np.where(mask, 0, 1).astype(np.uint8))
    expected = predict_map(model, cube)
    for backend in bundle.manifest.backends:
        found = Engine(bundle, backend=backend).classify_cube(cube)
        np.testing.assert_allclose(found.probabilities, expected, atol=2e-4)
        best = np.sort(expected, axis=2)
        clear = best[..., -1] - best[..., -2] > 1e-3
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(found.labels[clear], expected.argmax(axis=2)[clear] + 1)
        assert found.labels[3, 5] == 0
        assert not found.probabilities[3, 5].any()
    assert set(bundle.manifest.backends) == set(MODELS[name].backends)


def test_a_backend_that_does_not_run_a_bundle_is_refused_by_name(make_cubes):
    model, _ = fitted("forest", PatchSource(make_cubes(2), 1))
    bundle = checked_bundle(model, BundleInfo("test"))
    assert set(bundle.manifest.backends) == {"onnxruntime"}
    with pytest.raises(UsageError, match=r"openvino.*'Random forest'.*Use backend onnxruntime"):
        Engine(bundle, backend="openvino")


def test_a_forest_agrees_with_scikit_learn_and_skl2onnx(make_cubes, monkeypatch):
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    kept = []
    fit = RandomForestClassifier.fit
    monkeypatch.setattr(RandomForestClassifier, "fit", lambda self, *data: kept.append(self) or fit(self, *data))
    monkeypatch.setattr(forest_module, "_LEAST_SHARE", 1e-9)
    source = PatchSource(make_cubes(3, noise=0.6), 1)
    model, _ = fitted("forest", source, PatchSource(make_cubes(1, noise=0.6, first=9), 1))
    assert kept[0].n_jobs == TrainingConfig().threads
    spectra = Pixels.of(source).spectra
    expected = kept[0].predict_proba(spectra)
    factor = model.tensors()["factor"][0]
    powers = np.maximum(expected, 1e-9) ** factor
    found = predict(model, source)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        graph = to_onnx(kept[0], spectra[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 1})
    theirs = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"X": spectra})[1]
    np.testing.assert_allclose(theirs, expected, atol=1e-5)


def test_kernel_svm_logits_match_decision_values_of_scikit_learn(make_cubes):
    from sklearn.svm import SVC

    source = PatchSource(make_cubes(2, noise=0.6), 1)
    model, _ = fitted("svm-rbf", source, PatchSource(make_cubes(1, noise=0.6, first=9), 1))
    pixels, tensors = Pixels.of(source), model.tensors()
    scaled = (pixels.spectra - tensors["mean"]) / tensors["deviation"]
    logits = model._logits(pixels.spectra)
    for label in range(1, 6):
        machine = SVC(C=10, gamma=1 / 25, class_weight="balanced").fit(scaled, pixels.labels == label)
        expected = machine.decision_function(scaled) * tensors["factor"]
        np.testing.assert_allclose(logits[:, label - 1], expected, atol=5e-3)


def test_neighbours_are_those_at_the_smallest_angle(make_cubes):
    source = PatchSource(make_cubes(2, noise=0.4), 1)
    model, _ = fitted("sam-knn", source)
    pixels = Pixels.of(source)
    assert len(pixels.labels) < 1000
    lengths = np.linalg.norm(pixels.spectra.astype(float), axis=1)
    angles = np.arccos(((pixels.spectra.astype(float) @ pixels.spectra.T) / np.outer(lengths, lengths)).clip(-1, 1))
    nearest = np.argsort(angles, axis=1)[:, :15]
    votes = np.stack([(pixels.labels[nearest] == label).sum(axis=1) for label in range(1, 6)], axis=1)
    clear = np.sort(votes, axis=1)[:, -1] > np.sort(votes, axis=1)[:, -2]
    found = predict(model, source).argmax(axis=1)
    np.testing.assert_array_equal(found[clear], votes.argmax(axis=1)[clear])
    # Brightness does not matter.
    brighter = model.predict_proba(3 * pixels.spectra[:, :, np.newaxis, np.newaxis])
    assert (brighter.argmax(axis=1) == found).mean() > 0.99


def test_the_subset_of_pixels_is_balanced_over_classes_and_patients(make_cubes, monkeypatch):
    cubes = [*make_cubes(3, classes=(1, 2, 3, 4, 5)), *make_cubes(1, first=7, classes=(1, 1, 1, 1, 2))]
    pixels = Pixels.of(PatchSource(cubes, 1))
    some = pixels.subsample(200, seed=0)
    assert some.labels.size == 200
    assert set(np.bincount(some.labels)[1:]) == {40}
    ones = np.bincount(some.patients[some.labels == 1], minlength=4)
    assert ones.max() - ones.min() <= 1
    assert np.array_equal(some.spectra, pixels.subsample(200, seed=0).spectra)
    assert not np.array_equal(some.spectra, pixels.subsample(200, seed=1).spectra)
    assert pixels.subsample(10**6, seed=0) is pixels
    # A class with fewer pixels than its share leaves the rest to the others.
    few = pixels.chosen(np.flatnonzero((pixels.labels != 5) | (np.cumsum(pixels.labels == 5) <= 7)))
    assert np.bincount(few.subsample(207, seed=0).labels)[1:].tolist() == [50, 50, 50, 50, 7]
    monkeypatch.setattr(svm_module, "MOST_PIXELS", 200)
    model, _ = fitted("svm-rbf", PatchSource(cubes, 1))
    assert len(model.tensors()["vectors"]) <= 200


@pytest.mark.parametrize("name", CLASSICAL)
def test_model_files_hold_float32_and_are_loaded_without_loss(make_cubes, tmp_path, name):
    model, _ = fitted(name, PatchSource(make_cubes(2), 1))
    save_model(model, tmp_path / "model.safetensors")
    assert {value.dtype for value in model.tensors().values()} == {np.dtype(np.float32)}
    assert (tmp_path / "model.safetensors").stat().st_size < 3_000_000
    cube = cube_scene(25, PreprocessingConfig())
    np.testing.assert_array_equal(
        predict_map(load_model(tmp_path / "model.safetensors"), cube), predict_map(model, cube)
    )


def _set(name, where, value):
    return lambda tensors: tensors[name].__setitem__(where, value)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("forest", _set("left", 0, 0), "do not form trees"),
        ("forest", _set("left", 0, 10**6), "do not form trees"),
        ("forest", _set("right", 0, 1.5), "invalid node numbers"),
        ("forest", _set("roots", 1, 0), "do not form trees"),
        ("forest", _set("roots", 0, 3), "do not form trees"),
        ("forest", _set("feature", 0, 25), "do not form trees"),
        ("forest", _set("feature", 0, -1), "do not form trees"),
        ("forest", _set("shares", (0, 0), -1), "do not form trees"),
        ("forest", _set("factor", 0, 0), "invalid node numbers"),
        ("forest", _set("threshold", 0, np.nan), "NaN"),
        ("svm-rbf", _set("deviation", 3, 0), "not positive"),
        ("svm-rbf", _set("factor", 0, -1), "not positive"),
        ("svm-rbf", lambda tensors: tensors.pop("bias"), "but the model takes mean"),
        ("svm-rbf", lambda tensors: tensors.update(factor=np.ones(2, np.float32)), "but the model takes mean"),
        ("svm-rbf", lambda tensors: tensors.update(vectors=tensors["vectors"][:-1]), "but the model takes mean"),
        ("sam-knn", _set("votes", (0, 0), 2), "vote for one class"),
        ("sam-knn", _set("votes", 0, 1), "vote for one class"),
        ("sam-knn", _set("factor", 0, -1), "not positive"),
        ("logistic", lambda tensors: tensors.update(mean=tensors["mean"][:-1]), "but the model takes mean"),
    ],
)
def test_inconsistent_tensors_are_refused(make_cubes, name, change, told):
    model, _ = fitted(name, PatchSource(make_cubes(1), 1))
    tensors = model.tensors()
    change(tensors)
    with pytest.raises(ModelError, match=told):
        model_from_tensors(name, tensors)


@pytest.mark.parametrize("name", CURVED)
def test_an_untrained_model_has_no_dense_form_and_no_tensors(name):
    for use in ("dense", "tensors"):
        with pytest.raises(ModelError, match="not trained"):
            getattr(build_model(name, 25, 5), use)()


def test_linear_models_are_dense_networks_and_all_models_are_described(make_cubes):
    for name in ("lda", "logistic", "svm-linear"):
        assert isinstance(fitted(name, PatchSource(make_cubes(1), 1))[0].dense(), DenseNetwork)
    assert all(kind.cost and kind.source and kind.title for kind in MODELS.values())
    assert MODELS["forest"].backends == ("onnxruntime",)
    assert MODELS["conv2d"].window == 7
