"""OpenVINO runs a rewritten graph, which must give the same numbers as the bundle's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from bundles.makers import linear_network, small_bundle, small_sensor, window_network
from gliomap.bundles import Bundle
from gliomap.engine._openvino_graph import multiply_sums, read_whole, reshape_for_openvino
from gliomap.engine._rows import free_rows
from gliomap.learning._graph_scene import frame_scene
from gliomap.preprocessing import PreprocessingConfig, prepare_references

NETWORKS = {"window": window_network(), "linear": linear_network()}


def read(bundle: Bundle) -> Any:
    assert bundle.frame_graph is not None
    assert bundle.sensor is not None
    return read_whole(openvino.Core(), bundle.frame_graph, free_rows(bundle.manifest, bundle.sensor))


def kernels(model: Any, stage: str) -> list[list[int]]:
    return [
        list(node.get_input_shape(1))
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution" and node.get_friendly_name().startswith(stage)
    ]


def results(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(dict(inputs))
    return {name: found[name] for name in ("labels", "confidence", "probabilities")}


@pytest.mark.parametrize("normalisation", ["brightness", "area", "snv", "minmax", "none"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("after_division", [True, False])
def test_rewritten_graphs_give_the_same_numbers(
    tmp_path: Path, network: str, normalisation: Any, after_division: bool
) -> None:
    sensor = small_sensor(after_division=after_division)
    config = PreprocessingConfig(normalisation=normalisation)
    bundle = small_bundle(tmp_path / "bundle", network=NETWORKS[network], sensor=sensor, normalisation=normalisation)
    scene = frame_scene(sensor)
    ready = prepare_references(scene.white, scene.dark, sensor, config)
    inputs = {"raw": scene.raw, "dark": ready.dark.copy(), "gain": ready.gain.copy(), "scale": ready.scale.copy()}
    original, reshaped, multiplied = read(bundle), read(bundle), read(bundle)
    reshape_for_openvino(reshaped)
    reshape_for_openvino(multiplied)
    multiply_sums(multiplied)
    expected = results(original, inputs)
    for model in (reshaped, multiplied):
        found = results(model, inputs)
        np.testing.assert_array_equal(found["labels"], expected["labels"])
        np.testing.assert_array_equal(found["confidence"] > 0, expected["confidence"] > 0)
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-5)


def test_reshaping_removes_padded_bands_and_reads_tiles_by_rows(tmp_path: Path) -> None:
    sensor = small_sensor()
    model = read(small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor))
    bands, (rows, columns) = sensor.n_bands, sensor.pattern
    assert kernels(model, "tiles/")[0][1:] == [1, rows, columns]
    assert kernels(model, "tiles/")[0][0] > bands
    spread = len(kernels(model, "normalise/"))
    reshape_for_openvino(model)
    assert kernels(model, "tiles/") == [[bands, columns, rows, 1]]
    assert kernels(model, "normalise/") == [[1, bands, 1, 1]]
    assert spread == 2
    assert kernels(model, "network/")[0][1] == bands
    multiply_sums(model)
    assert kernels(model, "normalise/") == []


def test_a_cube_graph_is_left_unchanged(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=small_sensor())
    model = openvino.Core().read_model(bundle.cube_graph)
    before = [node.get_friendly_name() for node in model.get_ordered_ops()]
    reshape_for_openvino(model)
    assert [node.get_friendly_name() for node in model.get_ordered_ops()] == before
