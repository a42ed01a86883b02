"""With OpenVINO, strips of rows give the same map as the whole frame, also at edges and where strips meet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset13 as operators

from bundles.makers import linear_network, small_bundle, small_sensor, window_network
from gliomap.bundles import Bundle
from gliomap.engine import BackendName, Engine, Precision, TissueMap
from gliomap.engine import _openvino_strips as strips
from gliomap.engine._openvino_graph import product_per_pixel, read_whole
from gliomap.engine._openvino_strips import load_strips
from gliomap.engine._openvino_window import find_window
from gliomap.engine._openvino_winograd import MARGIN, ROWS, dilated_convolution, interleaved
from gliomap.engine._rows import free_rows
from gliomap.learning._graph_scene import FrameScene, frame_scene


def compiled(outputs: list[Any], inputs: list[Any]) -> Any:
    model = openvino.Model(outputs, inputs)
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def read(bundle: Bundle) -> Any:
    assert bundle.frame_graph is not None
    assert bundle.sensor is not None
    return read_whole(openvino.Core(), bundle.frame_graph, free_rows(bundle.manifest, bundle.sensor))


def classified(
    folder: Path,
    backend: BackendName,
    scene: FrameScene,
    threads: int,
    precision: Precision = "f32",
    **chosen: Any,
) -> tuple[TissueMap, Engine]:
    path = folder / "bundle"
    if not path.exists():
        small_bundle(path, network=window_network(), **chosen)
    engine = Engine.open(path, backend=backend, threads=threads, precision=precision)
    return engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark)), engine


@settings(max_examples=25)
@given(
    groups=st.integers(1, 4),
    columns=st.integers(1, 30),
    channels=st.integers(1, 20),
    outputs=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_winograd_equals_the_direct_convolution(
    groups: int, columns: int, channels: int, outputs: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = groups * ROWS
    features = generator.random((1, rows + MARGIN, columns + MARGIN, channels), np.float32)
    kernel = generator.normal(0, (9 * channels) ** -0.5, (outputs, channels, 3, 3)).astype(np.float32)
    bias = generator.normal(0, 0.1, outputs).astype(np.float32)

    given_features = operators.parameter(list(features.shape), np.float32)
    planes = dilated_convolution(given_features, kernel, bias)
    values = product_per_pixel(planes, np.eye(outputs, dtype=np.float32))
    found = compiled([interleaved(values, rows, columns).output(0)], [given_features])(features)[0]

    given_features = operators.parameter(list(features.shape), np.float32)
    turned = operators.transpose(given_features, operators.constant(np.array([0, 3, 1, 2])))
    direct = operators.convolution(turned, operators.constant(kernel), [1, 1], [0, 0], [0, 0], [2, 2])
    direct = operators.relu(operators.add(direct, operators.constant(bias.reshape(1, -1, 1, 1))))
    expected = compiled([direct.output(0)], [given_features])(features)[0][0]
    assert found.shape == expected.shape == (outputs, rows, columns)
    np.testing.assert_allclose(found, expected, atol=5e-6)


@pytest.mark.parametrize("height", [3, 4, 5, 16, 17, 18, 35, 71, 110])
def test_strips_match_for_frames_of_any_height(tmp_path: Path, height: int) -> None:
    sensor = small_sensor(tiles=(height, 13))
    scene = frame_scene(sensor)
    expected, _ = classified(tmp_path, "onnxruntime", scene, 2, sensor=sensor)
    for threads in (1, 2, 3):
        found, _ = classified(tmp_path, "openvino", scene, threads, sensor=sensor)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.reasons, expected.reasons)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["brightness", "area", "snv", "minmax", "none"])
@pytest.mark.parametrize("after_division", [True, False])
@pytest.mark.parametrize("offset", [(0, 0), (1, 2)])
def test_strips_match_for_every_chain_and_active_area(
    tmp_path: Path, normalisation: Any, after_division: bool, offset: tuple[int, int]
) -> None:
    sensor = small_sensor(tiles=(50, 13), after_division=after_division, offset=offset)
    scene = frame_scene(sensor)
    chosen = {"sensor": sensor, "normalisation": normalisation}
    expected, _ = classified(tmp_path, "onnxruntime", scene, 2, **chosen)
    found, _ = classified(tmp_path, "openvino", scene, 2, **chosen)
    assert not expected.mask.all()
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_strips_match_on_processors_without_avx512() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"{__file__}::{test_strips_match_for_frames_of_any_height.__name__}[71]",
        ],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_reduced_precision_is_reduced_and_float32_is_not(tmp_path: Path) -> None:
    """By default OpenVINO uses any precision that the processor offers, and labels change."""
    offered = set(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    if not offered & {"BF16", "FP16"}:
        pytest.skip("this processor computes in float32 alone")
    sensor = small_sensor(tiles=(50, 13))
    scene = frame_scene(sensor)
    expected, _ = classified(tmp_path, "onnxruntime", scene, 2, sensor=sensor)
    same, _ = classified(tmp_path, "openvino", scene, 2, "f32", sensor=sensor)
    near, _ = classified(tmp_path, "openvino", scene, 2, "reduced", sensor=sensor)
    assert np.abs(same.probabilities - expected.probabilities).max() < 1e-5
    assert 1e-4 < np.abs(near.probabilities - expected.probabilities).max() < 0.1


def test_nothing_remains_of_the_previous_frame(tmp_path: Path) -> None:
    """Frames and references change, and a camera may refill the same array."""
    sensor = small_sensor(tiles=(50, 13))
    scenes = [frame_scene(sensor, seed) for seed in range(3)]
    buffer = scenes[0].raw.copy()
    _, plain = classified(tmp_path, "onnxruntime", scenes[0], 2, sensor=sensor)
    _, engine = classified(tmp_path, "openvino", scenes[0], 2, sensor=sensor)
    references = [(plain.prepare(one.white, one.dark), engine.prepare(one.white, one.dark)) for one in scenes]
    for number in (0, 1, 1, 2, 0, 2):
        for expected_references, own_references in references:
            buffer[...] = scenes[number].raw
            buffer[number::7, number] = sensor.saturation
            expected = plain.classify_frame(buffer, expected_references)
            found = engine.classify_frame(buffer, own_references)
            np.testing.assert_array_equal(found.labels, expected.labels)
            np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_only_the_frame_graph_of_the_window_network_is_recognised(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=(50, 13))
    bundle = small_bundle(tmp_path / "window", network=window_network(), sensor=sensor)
    window = find_window(read(bundle))
    assert window is not None
    assert (window.padding, window.reach, window.top, window.tile_rows) == (3, 2, 1, 2)
    assert window.head_kernel.shape == (5, 8)
    assert find_window(openvino.Core().read_model(bundle.cube_graph)) is None
    linear = small_bundle(tmp_path / "linear", network=linear_network(), sensor=sensor)
    assert find_window(read(linear)) is None


def test_a_frame_too_low_for_strips_is_run_whole(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=(2, 13))
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    assert load_strips(openvino.Core(), read(bundle), 2) is None
    scene = frame_scene(sensor)
    expected, _ = classified(tmp_path, "onnxruntime", scene, 2)
    found, _ = classified(tmp_path, "openvino", scene, 2)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_after_an_interrupt_the_next_frame_is_classified_correctly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = small_sensor(tiles=(50, 13))
    scene = frame_scene(sensor)
    expected, engine = classified(tmp_path, "openvino", scene, 2, sensor=sensor)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gliomap.engine._openvino_strips._wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark))
    found = engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_an_interrupt_between_strips_does_not_mix_two_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise some strips read one frame and some the other, and the map is a mixture of both."""
    sensor = small_sensor(tiles=(90, 13))
    one, other = frame_scene(sensor, 1), frame_scene(sensor, 2)
    expected, engine = classified(tmp_path, "openvino", one, 2, sensor=sensor)
    references = engine.prepare(one.white, one.dark)
    engine.classify_frame(one.raw, references)
    shared, left = strips.shared_tensor, iter(range(1))

    def interrupted(array: Any) -> Any:
        for _ in left:
            return shared(array)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(strips, "shared_tensor", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.classify_frame(other.raw, references)
    found = engine.classify_frame(one.raw, references)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_signals_arrive_after_an_engine_was_freed_in_another_thread(tmp_path: Path) -> None:
    """A service that had exchanged its model used to crash when it was told to stop."""
    small_bundle(tmp_path / "bundle", network=window_network(), sensor=small_sensor(tiles=(50, 13)))
    script = f"""
import os, signal, sys, threading
from gliomap.engine import Engine
held = [Engine.open({str(tmp_path / "bundle")!r}, backend="openvino", threads=2)]
held[0].load()
gone = threading.Thread(target=held.clear)
gone.start()
gone.join()
came = []
signal.signal(signal.SIGHUP, lambda *_: came.append(bytearray(8192)))
for _ in range(200):
    os.kill(os.getpid(), signal.SIGHUP)
    [bytearray(size) for size in range(1, 20_000, 64)]
print(len(came))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "200\n", "")
