"""Exported graphs compute what the model and the chain compute, or nothing is written."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest

from bundles.makers import linear_network, small_sensor, window_network
from gliomap._progress import silent
from gliomap.bundles import Measured, open_bundle
from gliomap.engine import BACKENDS, BackendName, Engine
from gliomap.errors import ExportMismatchError, ModelError, OutputExistsError, SensorError
from gliomap.learning import Conv, DenseNetwork, LinearDiscriminant, MaxPool, Relu, build_model, predict_map
from gliomap.learning._graph_check import (
    MOST_STEPS,
    MOST_WOBBLE,
    PROBABILITY_TOLERANCE,
    _compare,
    _Difference,
    _model_itself,
    _refuse,
)
from gliomap.learning._graph_scene import cube_scene, frame_scene
from gliomap.learning.export import BundleInfo, build_graphs, checked_bundle, export_bundle
from gliomap.preprocessing import Normalisation, PreprocessingConfig, Reason, preprocess
from gliomap.sensors import ActiveArea, get_sensor, resized
from gliomap.taxonomy import THESIS_CLASSES, ClassSet


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
@pytest.mark.parametrize("after_division", [True, False])
@pytest.mark.parametrize("spectral_correction", [True, False])
def test_graphs_agree_with_every_preprocessing_chain(
    normalisation: Normalisation, after_division: bool, spectral_correction: bool
) -> None:
    config = PreprocessingConfig(normalisation=normalisation, spectral_correction=spectral_correction)
    sensor = small_sensor(after_division=after_division)
    bundle = checked_bundle(window_network(), BundleInfo("test", preprocessing=config, sensor=sensor))
    assert {one.agreement for one in bundle.manifest.backends.values()} == {1.0}
    assert set(bundle.manifest.backends) == set(BACKENDS)


@pytest.mark.parametrize("offset", [(0, 0), (1, 0), (0, 3), (5, 7)])
@pytest.mark.parametrize("tiles", [(3, 4), (9, 11)])
def test_graphs_agree_for_every_active_area(offset: tuple[int, int], tiles: tuple[int, int]) -> None:
    checked_bundle(window_network(), BundleInfo("test", sensor=small_sensor(offset=offset, tiles=tiles)))


@pytest.mark.parametrize(("height", "width"), [(14, 22), (18, 16)])
def test_whole_tiles_that_lie_outside_the_active_area_are_left_out(height: int, width: int) -> None:
    sensor = replace(small_sensor(offset=(0, 0)), active_area=ActiveArea(0, 0, height, width))
    bundle = checked_bundle(window_network(), BundleInfo("test", sensor=sensor))
    assert bundle.manifest.backends["onnxruntime"].agreement == 1


@pytest.mark.parametrize("name", ["conv2d", "fourlayer"])
def test_networks_of_the_thesis_are_exported_for_their_camera(tmp_path: Path, name: str) -> None:
    sensor = resized(get_sensor("nemesis"), 24, 31)
    bundle = export_bundle(build_model(name, 25, 5, seed=1), tmp_path / "bundle", BundleInfo("test", sensor=sensor))
    opened = open_bundle(bundle.path, sensor)
    assert opened.identity == bundle.identity
    assert opened.manifest.model.name == name
    measured = opened.manifest.backends["onnxruntime"]
    assert measured.pixels > 700
    assert (measured.ms_per_frame or 0) > 0
    assert (measured.ms_per_cube or 0) > 0
    assert opened.manifest.wavelengths_nominal
    assert "nominal" in opened.card


@pytest.mark.parametrize("size", [20, 500])
def test_exported_discriminants_agree_even_with_large_weights(tmp_path: Path, size: float) -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(0, size, (5, 25)).astype(np.float32)
    mean = generator.uniform(0.8, 1.2, 25).astype(np.float32)
    model = LinearDiscriminant.from_tensors({"mean": mean, "weight": weight, "bias": np.zeros(5, np.float32)})
    bundle = export_bundle(model, tmp_path / "bundle", BundleInfo("test"))
    cube = cube_scene(25, PreprocessingConfig())
    found = Engine.open(bundle.path).classify_cube(cube)
    np.testing.assert_allclose(found.probabilities, predict_map(model, cube), atol=5e-6 * size)


def test_tolerance_grows_only_for_models_sensitive_to_rounding() -> None:
    generator = np.random.default_rng(0)
    cube = cube_scene(25, PreprocessingConfig())
    wobbles = []
    for size in (1, 1000):
        weight = generator.normal(0, size, (5, 25)).astype(np.float32)
        tensors = {"mean": np.ones(25, np.float32), "weight": weight, "bias": np.zeros(5, np.float32)}
        wobbles.append(_model_itself(LinearDiscriminant.from_tensors(tensors), cube, silent).wobble)
    assert wobbles[0] < PROBABILITY_TOLERANCE / 20 < wobbles[1] < MOST_WOBBLE


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_in_an_unusual_order_agree_with_the_reference(backend: BackendName) -> None:
    generator = np.random.default_rng(5)

    def conv(outputs: int, inputs: int, size: int, dilation: int = 1) -> Conv:
        weight = generator.normal(0, 0.4, (outputs, inputs, size, size)).astype(np.float32)
        return Conv(weight, generator.normal(0, 1, outputs).astype(np.float32), dilation)

    # A pool as the first layer must see the zeros beyond the edge; negative spectra show whether it does.
    network = DenseNetwork((MaxPool(2), Relu(), conv(3, 4, 2), conv(2, 3, 1)), 1, 4, 2)
    classes = ClassSet("two", THESIS_CLASSES.classes[:2])
    bundle = checked_bundle(
        network, BundleInfo("test", classes=classes, preprocessing=PreprocessingConfig(normalisation="snv"))
    )
    cube = cube_scene(4, PreprocessingConfig(normalisation="snv"), seed=4)
    found = Engine(bundle, backend=backend).classify_cube(cube)
    expected = network.logits(cube.data).argmax(axis=2) + 1
    np.testing.assert_array_equal(found.labels, np.where(cube.mask, expected, 0))


def test_no_pool_directly_follows_the_zeros_around_a_cube() -> None:
    """ONNX Runtime 1.20 to 1.31 would treat the zeros as padding of the pool, that is as −∞."""
    weight = np.ones((5, 4, 1, 1), np.float32)
    network = DenseNetwork((MaxPool(3), Conv(weight, np.zeros(5, np.float32))), 1, 4, 5)
    graphs = build_graphs(network, small_sensor(), PreprocessingConfig(normalisation="snv"))
    for content in (graphs.cube, graphs.frame):
        nodes = onnx.load_from_string(content).graph.node
        makers = {name: node.op_type for node in nodes for name in node.output}
        assert [makers[node.input[0]] for node in nodes if node.op_type == "MaxPool"] == ["Unsqueeze"]


class _Liar:
    """A model whose dense form is another network, as if it had been exported wrongly."""

    name, window, n_bands, n_classes = "liar", 7, 4, 5

    def __init__(self, shown: DenseNetwork, real: DenseNetwork) -> None:
        self._shown, self._real = shown, real

    def dense(self) -> DenseNetwork:
        return self._shown

    def predict_proba(self, patches: np.ndarray) -> np.ndarray:
        logits = self._real.valid_logits(patches.transpose(0, 2, 3, 1))[:, 0, 0]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def test_a_graph_that_disagrees_with_the_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    model = _Liar(window_network(seed=0), window_network(seed=1))
    with pytest.raises(ExportMismatchError, match="differ from the model in label or mask"):
        export_bundle(model, tmp_path / "bundle", BundleInfo("test", sensor=small_sensor()))
    assert not list(tmp_path.iterdir())


def test_a_frame_graph_that_disagrees_with_the_chain_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from gliomap.learning import export

    def wrong(network: DenseNetwork, *_: object) -> object:
        # Correct inputs and outputs, but another normalisation.
        return build_graphs(network, small_sensor(), PreprocessingConfig(normalisation="none"))

    monkeypatch.setattr(export, "build_graphs", wrong)
    with pytest.raises(ExportMismatchError, match=r"frame\.onnx"):
        checked_bundle(window_network(), BundleInfo("test", sensor=small_sensor()))


def test_pixels_that_differ_only_in_mask_or_reason_count_as_wrong() -> None:
    network, cube = window_network(), cube_scene(4, PreprocessingConfig())
    found = Engine(checked_bundle(network, BundleInfo("test"))).classify_cube(cube)
    truth = _model_itself(network, cube, silent)
    assert _compare(found, truth).wrong == 0
    more = found.reasons.copy()
    more[:2, :3] = Reason.SATURATED
    assert _compare(replace(found, reasons=more), truth).wrong == 6
    assert _compare(replace(found, mask=found.mask & (more == 0)), truth).wrong == 6


def test_probabilities_that_differ_or_are_nan_are_counted() -> None:
    network, cube = window_network(), cube_scene(4, PreprocessingConfig())
    found = Engine(checked_bundle(network, BundleInfo("test"))).classify_cube(cube)
    truth = _model_itself(network, cube, silent)
    other = found.probabilities.copy()
    rows, columns = truth.rows[:5], truth.columns[:5]
    other[rows[:3], columns[:3], 0] += 0.01
    difference = _compare(replace(found, probabilities=other), truth)
    assert (difference.wrong, difference.beyond) == (0, 3)
    assert difference.largest == pytest.approx(0.01, abs=1e-4)
    other[rows[3:], columns[3:], 1] = np.nan
    assert _compare(replace(found, probabilities=other), truth).beyond == 5


@pytest.mark.parametrize(
    ("wrong", "beyond", "refused"), [(0, 0, False), (1, 1, False), (2, 0, True), (0, 2, True), (2, 2, True)]
)
def test_a_forest_may_differ_in_one_pixel_of_a_hundred_but_not_two(wrong: int, beyond: int, refused: bool) -> None:
    engine = Engine(checked_bundle(linear_network(), BundleInfo("test")))
    found = _Difference(100, 1.0, wrong, 0.2 if beyond else 0.0, 1e-4, beyond)
    with pytest.raises(ExportMismatchError) if refused else nullcontext():
        _refuse(engine, "frame", found, most=MOST_STEPS)
    with nullcontext() if wrong == beyond == 0 else pytest.raises(ExportMismatchError):
        _refuse(engine, "frame", found, most=0.0)


def test_a_network_that_gives_nan_is_refused() -> None:
    weight = np.full((5, 4, 1, 1), 3e38, np.float32)
    network = DenseNetwork((Conv(weight, np.zeros(5, np.float32)),), 0, 4, 5)
    with pytest.raises(ExportMismatchError), np.errstate(all="ignore"):
        checked_bundle(network, BundleInfo("test", sensor=small_sensor()))


def test_an_existing_bundle_is_kept_unless_overwriting(tmp_path: Path) -> None:
    export_bundle(linear_network(), tmp_path / "bundle", BundleInfo("test"))
    with pytest.raises(OutputExistsError):
        export_bundle(linear_network(), tmp_path / "bundle", BundleInfo("test"))
    export_bundle(linear_network(seed=1), tmp_path / "bundle", BundleInfo("again"), overwrite=True)
    assert open_bundle(tmp_path / "bundle").manifest.name == "again"


def test_bands_and_classes_must_fit() -> None:
    with pytest.raises(ModelError, match="4 bands"):
        checked_bundle(linear_network(4), BundleInfo("test", sensor=get_sensor("nemesis")))
    with pytest.raises(ModelError, match="5 are named"):
        checked_bundle(linear_network(4, n_classes=3), BundleInfo("test"))


def test_a_camera_whose_uncorrected_channels_a_bundle_cannot_describe_is_refused() -> None:
    camera = small_sensor()
    correction = replace(camera.correction, matrix=camera.correction.matrix[:3])
    peaks = np.array([655.0, 745.0, 855.0, 945.0])
    fewer = replace(
        camera,
        wavelengths_nm=camera.wavelengths_nm[:3],
        band_of_position=(0, 1, 2, 2),
        correction=correction,
        peaks_nm=peaks,
    )
    plain = PreprocessingConfig(spectral_correction=False)
    with pytest.raises(SensorError, match="has 3 bands and 4 mosaic positions, which a bundle cannot describe"):
        checked_bundle(linear_network(4), BundleInfo("test", preprocessing=plain, sensor=fewer))
    checked_bundle(linear_network(3), BundleInfo("test", sensor=fewer))
    checked_bundle(linear_network(4), BundleInfo("test", preprocessing=plain, sensor=camera))


def test_the_card_contains_metrics_and_notes(tmp_path: Path) -> None:
    info = BundleInfo(
        "test", metrics={"macro F1": Measured(value=0.5, low=0.4, high=0.6)}, measured_on="a study", notes=("careful",)
    )
    card = export_bundle(linear_network(), tmp_path / "bundle.zip", info).card
    assert "0.400–0.600" in card
    assert "Measured on a study" in card
    assert "careful" in card


def test_reduced_precision_is_measured_only_when_asked_for() -> None:
    plain = checked_bundle(linear_network(), BundleInfo("test"))
    asked = checked_bundle(linear_network(), BundleInfo("test"), reduced_precision=True)
    assert "openvino-reduced" not in plain.manifest.backends
    assert asked.manifest.backends["openvino-reduced"].precision == "reduced"


def test_the_test_scene_contains_all_faults_and_different_frames() -> None:
    sensor = small_sensor()
    scene = frame_scene(sensor)
    assert not np.array_equal(scene.raw, scene.white)
    assert (scene.white > scene.dark).mean() > 0.9
    bundle = checked_bundle(linear_network(), BundleInfo("test", sensor=sensor))
    cube = preprocess(scene.raw, Engine(bundle).prepare(scene.white, scene.dark))
    assert set(np.unique(cube.reasons)) == {0, 1, 2, 4, 16}
