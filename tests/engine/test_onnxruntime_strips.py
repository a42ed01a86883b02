"""Under ONNX Runtime strips of rows give the map of the whole frame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.makers import linear_network, small_bundle, small_sensor, window_network
from gliomap.engine import Engine, TissueMap
from gliomap.engine import _onnxruntime as backend
from gliomap.learning._graph_scene import FrameScene, frame_scene

TALL = (150, 13)
NETWORKS = {"window": window_network(), "linear": linear_network()}


def assert_same(found: TissueMap, expected: TissueMap) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.reasons, expected.reasons)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-6)


def classified(engine: Engine, scene: FrameScene) -> TissueMap:
    return engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark))


@pytest.mark.parametrize("normalisation", ["brightness", "area", "snv", "minmax", "none"])
@pytest.mark.parametrize("after_division", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("offset", [(0, 0), (1, 2), (4, 0)])
def test_every_chain_and_active_area(
    tmp_path: Path, network: str, normalisation: Any, after_division: bool, offset: tuple[int, int]
) -> None:
    sensor = small_sensor(tiles=TALL, after_division=after_division, offset=offset)
    bundle = small_bundle(tmp_path / "bundle", network=NETWORKS[network], sensor=sensor, normalisation=normalisation)
    scene = frame_scene(sensor)
    expected = classified(Engine(bundle, threads=1), scene)
    assert not expected.mask.all()
    for threads in (2, 3, 4):
        engine = Engine(bundle, threads=threads)
        assert_same(classified(engine, scene), expected)
        assert isinstance(engine._runner("frame"), backend._InStrips)


@pytest.mark.parametrize("height", [96, 97, 101, 144, 149])
def test_every_row_of_frames_of_any_height(tmp_path: Path, height: int) -> None:
    sensor = small_sensor(tiles=(height, 9))
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    scene = frame_scene(sensor)
    expected = classified(Engine(bundle, threads=1), scene)
    for threads in (2, 3, 6):
        assert_same(classified(Engine(bundle, threads=threads), scene), expected)


def test_a_low_frame_is_run_whole(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=(95, 9))
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    assert isinstance(Engine(bundle, threads=2)._runner("frame"), backend._Whole)


def test_nothing_stays_of_the_frame_before(tmp_path: Path) -> None:
    """Other frames, other references and a camera that fills the same array again."""
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    plain, engine = Engine(bundle, threads=1), Engine(bundle, threads=2)
    scenes = [frame_scene(sensor, seed) for seed in range(3)]
    references = [engine.prepare(one.white, one.dark) for one in scenes]
    buffer = scenes[0].raw.copy()
    for number in (0, 1, 1, 2, 0):
        for pair in references:
            buffer[...] = scenes[number].raw
            buffer[number::7, number] = sensor.saturation
            assert_same(engine.classify_frame(buffer, pair), plain.classify_frame(buffer, pair))


def test_several_threads_share_one_engine(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    plain, engine = Engine(bundle, threads=1), Engine(bundle, threads=2)
    scenes = [frame_scene(sensor, seed) for seed in range(4)]
    pairs = [engine.prepare(one.white, one.dark) for one in scenes[:2]]
    work = [(scene.raw, pair) for scene in scenes for pair in pairs] * 5
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda one: engine.classify_frame(*one), work))
    for one, (raw, pair) in zip(found, work, strict=True):
        assert_same(one, plain.classify_frame(raw, pair))


@pytest.mark.parametrize("where", [0, 1], ids=["own strip", "other strip"])
def test_a_fault_in_a_strip_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: int) -> None:
    sensor = small_sensor(tiles=TALL)
    engine = Engine(small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor), threads=2)
    scene = frame_scene(sensor)
    expected = classified(engine, scene)
    classify = backend._InStrips._classify

    def failing(self: Any, inputs: Any, strip: Any, *rest: Any) -> None:
        classify(self, inputs, strip, *rest)
        if strip is self._strips[where]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backend._InStrips, "_classify", failing)
        with pytest.raises(KeyboardInterrupt):
            classified(engine, scene)
    assert_same(classified(engine, scene), expected)
