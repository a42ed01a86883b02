"""With ONNX Runtime, strips of rows give the same map as the whole frame."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bundles.makers import linear_network, small_bundle, small_sensor, window_network
from gliomap.bundles import Bundle
from gliomap.engine import Engine, TissueMap
from gliomap.engine import _onnxruntime as backend
from gliomap.engine import _onnxruntime_strips as strips
from gliomap.engine._rows import FrameRows
from gliomap.errors import BundleError
from gliomap.learning import LabelledCube, PatchSource, TrainingConfig, build_model
from gliomap.learning._graph_scene import FrameScene, frame_scene
from gliomap.learning.export import BundleInfo, export_bundle

TALL = (150, 13)
NETWORKS = {"window": window_network(), "linear": linear_network()}


def assert_same(found: TissueMap, expected: TissueMap) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.reasons, expected.reasons)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-6)


def classified(engine: Engine, scene: FrameScene) -> TissueMap:
    return engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark))


def whole_frame_engine(bundle: Bundle) -> Engine:
    """An engine that runs the whole frame at once, to compare strips with."""
    engine = Engine(bundle, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrameRows, "strips", lambda _rows, _threads: ())
        assert isinstance(engine._runner("frame"), backend._Whole)
    return engine


@pytest.mark.parametrize("normalisation", ["brightness", "area", "snv", "minmax", "none"])
@pytest.mark.parametrize("after_division", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("offset", [(0, 0), (1, 2), (4, 0)])
def test_strips_match_for_every_chain_and_active_area(
    tmp_path: Path, network: str, normalisation: Any, after_division: bool, offset: tuple[int, int]
) -> None:
    sensor = small_sensor(tiles=TALL, after_division=after_division, offset=offset)
    bundle = small_bundle(tmp_path / "bundle", network=NETWORKS[network], sensor=sensor, normalisation=normalisation)
    scene = frame_scene(sensor)
    expected = classified(whole_frame_engine(bundle), scene)
    assert not expected.mask.all()
    for threads in (1, 2, 3, 4):
        engine = Engine(bundle, threads=threads)
        assert_same(classified(engine, scene), expected)
        assert isinstance(engine._runner("frame"), strips.InStrips)


@pytest.mark.parametrize("height", [42, 43, 67, 96, 97, 101, 144, 149])
def test_strips_match_for_frames_of_any_height(tmp_path: Path, height: int) -> None:
    sensor = small_sensor(tiles=(height, 9))
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    scene = frame_scene(sensor)
    expected = classified(whole_frame_engine(bundle), scene)
    for threads in (1, 2, 3, 6):
        assert_same(classified(Engine(bundle, threads=threads), scene), expected)


def test_a_low_frame_is_run_whole(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=(41, 9))
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    assert isinstance(Engine(bundle, threads=2)._runner("frame"), backend._Whole)


@pytest.mark.parametrize("offset", [(0, 0), (3, 2)])
def test_a_graph_gives_the_right_map_of_any_part_of_a_frame(tmp_path: Path, offset: tuple[int, int]) -> None:
    """The bundle format promises it: a whole frame gives its whole map, a part gives all rows that it determines."""
    sensor = small_sensor(tiles=(30, 9), offset=offset)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    engine, scene, top = Engine(bundle, threads=1), frame_scene(sensor), offset[0]
    references = engine.prepare(scene.white, scene.dark)
    inputs = {"raw": scene.raw, "dark": references.dark, "gain": references.gain, "scale": references.scale}
    session = onnxruntime.InferenceSession(bundle.frame_graph, providers=["CPUExecutionProvider"])
    labels, _, probabilities = session.run(None, inputs)
    assert labels.shape == sensor.cube_shape
    for first, last in ((0, 7), (4, 20), (0, 29), (23, 30)):
        part = {name: array[2 * first : top + 2 * last] for name, array in inputs.items() if name != "scale"}
        found = session.run(None, part | {"scale": references.scale[:, first:last]})
        np.testing.assert_array_equal(found[0], labels[first + 3 : last - 3])
        np.testing.assert_allclose(found[2], probabilities[:, first + 3 : last - 3], atol=1e-6)


def test_a_window_that_differs_from_the_graph_is_refused(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    for window in (5, 9):
        model = bundle.manifest.model.model_copy(update={"window": window})
        claimed = replace(bundle, manifest=bundle.manifest.model_copy(update={"model": model}))
        with pytest.raises(
            BundleError, match=r"frame\.onnx: returns \d+ rows of a map, but the model's window implies \d+"
        ):
            classified(Engine(claimed, threads=2), frame_scene(sensor))


def test_nothing_remains_of_the_previous_frame(tmp_path: Path) -> None:
    """Frames and references change, and a camera may refill the same array."""
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    plain, engine = whole_frame_engine(bundle), Engine(bundle, threads=2)
    scenes = [frame_scene(sensor, seed) for seed in range(3)]
    references = [engine.prepare(one.white, one.dark) for one in scenes]
    buffer = scenes[0].raw.copy()
    for number in (0, 1, 1, 2, 0):
        for pair in references:
            buffer[...] = scenes[number].raw
            buffer[number::7, number] = sensor.saturation
            assert_same(engine.classify_frame(buffer, pair), plain.classify_frame(buffer, pair))


def test_several_threads_can_share_an_engine(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    plain, engine = whole_frame_engine(bundle), Engine(bundle, threads=2)
    scenes = [frame_scene(sensor, seed) for seed in range(4)]
    pairs = [engine.prepare(one.white, one.dark) for one in scenes[:2]]
    work = [(scene.raw, pair) for scene in scenes for pair in pairs] * 5
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda one: engine.classify_frame(*one), work))
    for one, (raw, pair) in zip(found, work, strict=True):
        assert_same(one, plain.classify_frame(raw, pair))


@pytest.mark.parametrize("own", [True, False], ids=["own thread", "other thread"])
def test_a_fault_in_a_strip_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    sensor = small_sensor(tiles=TALL)
    engine = Engine(small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor), threads=2)
    scene = frame_scene(sensor)
    expected = classified(engine, scene)
    classify, caller, both_began = strips.InStrips._classify, threading.current_thread(), threading.Barrier(2)
    began: set[threading.Thread] = set()

    def failing(self: Any, inputs: Any, strip: Any, *rest: Any) -> None:
        if threading.current_thread() not in began:
            began.add(threading.current_thread())
            both_began.wait(10)
        classify(self, inputs, strip, *rest)
        if (threading.current_thread() is caller) == own:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(strips.InStrips, "_classify", failing)
        with pytest.raises(KeyboardInterrupt):
            classified(engine, scene)
    assert_same(classified(engine, scene), expected)


def test_threads_beyond_the_strips_are_given_to_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session uses as many threads as configured, including the caller's, however many callers run it."""
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    asked: list[int] = []
    session = backend._session

    def noted(content: bytes, threads: int, sizes: Any) -> Any:
        asked.append(threads)
        return session(content, threads, sizes)

    monkeypatch.setattr(backend, "_session", noted)
    for threads in (1, 2, 3, 5, 8, 9):
        Engine(bundle, threads=threads)._runner("frame")
    assert asked == [1, 1, 1, 1, 3, 4]


def test_an_interrupt_waits_for_the_other_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They still read the caller's arrays, which may be refilled afterwards."""
    sensor = small_sensor(tiles=TALL)
    engine = Engine(small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor), threads=2)
    under_way, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    caller = threading.current_thread()

    def slow(*_arguments: Any) -> None:
        if threading.current_thread() is caller:
            under_way.wait(10)
            threading.Timer(0.2, go_on.set).start()
            raise KeyboardInterrupt
        under_way.set()
        go_on.wait(10)
        ended.set()

    monkeypatch.setattr(strips.InStrips, "_classify", slow)
    with pytest.raises(KeyboardInterrupt):
        classified(engine, frame_scene(sensor))
    assert ended.is_set()


def test_a_helper_busy_for_another_caller_is_not_waited_for(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=TALL)
    bundle = small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    engine, scene = Engine(bundle, threads=2), frame_scene(sensor)
    runner, go_on = engine._runner("frame"), threading.Event()
    assert isinstance(runner, strips.InStrips)
    busy = runner._helpers.start(go_on.wait, 60)
    try:
        assert_same(classified(engine, scene), classified(whole_frame_engine(bundle), scene))
        assert not busy.done()
    finally:
        go_on.set()


def test_scales_are_kept_for_few_references_and_freed_with_them(tmp_path: Path) -> None:
    sensor = small_sensor(tiles=TALL)
    engine = Engine(small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor), threads=2)
    scenes = [frame_scene(sensor, seed) for seed in range(6)]
    pairs = [engine.prepare(one.white, one.dark) for one in scenes]
    runner = engine._runner("frame")
    assert isinstance(runner, strips.InStrips)
    first, second = (runner._strips_of(pair.scale) for pair in pairs[:2])
    assert runner._strips_of(pairs[0].scale) is first
    assert runner._strips_of(pairs[1].scale) is second
    for pair in pairs:
        engine.classify_frame(scenes[0].raw, pair)
    assert len(runner._scales) == 4
    del pair
    pairs.clear()
    gc.collect()
    assert all(kept() is None for kept, _ in runner._scales)
    last = engine.prepare(scenes[0].white, scenes[0].dark)
    engine.classify_frame(scenes[0].raw, last)
    assert len(runner._scales) == 1


def test_strips_match_for_a_model_of_single_spectra(tmp_path: Path) -> None:
    """The graph of a forest loops over rows and contains trees."""
    sensor = small_sensor(tiles=(70, 9))
    scene, generator = frame_scene(sensor), np.random.default_rng(0)
    labels = generator.integers(1, 6, sensor.cube_shape).astype(np.uint8)
    spectra = generator.random((*sensor.cube_shape, 4), np.float32) + np.float32(0.3) * labels[..., np.newaxis]
    forest = build_model("forest", 4, 5)
    forest.fit(PatchSource([LabelledCube("ID0001C01", "ID0001", spectra, labels)], 1), None, TrainingConfig())
    bundle = export_bundle(forest, tmp_path / "bundle", BundleInfo("forest", sensor=sensor))
    expected = classified(whole_frame_engine(bundle), scene)
    for threads in (1, 2, 4):
        engine = Engine(bundle, threads=threads)
        assert_same(classified(engine, scene), expected)
        assert isinstance(engine._runner("frame"), strips.InStrips)


AFTERWARDS = {
    "in a forked process": """
import os
child = os.fork()
if not child:
    classify()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
    "when the main thread has ended": """
import threading, time
def later():
    threading.main_thread().join()
    time.sleep(0.2)
    classify()
threading.Thread(target=later).start()
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("when", AFTERWARDS)
def test_helper_threads_that_no_longer_exist_are_not_waited_for(tmp_path: Path, when: str) -> None:
    sensor = small_sensor(tiles=TALL)
    small_bundle(tmp_path / "bundle", network=window_network(), sensor=sensor)
    scene = frame_scene(sensor)
    np.savez(tmp_path / "scene.npz", raw=scene.raw, white=scene.white, dark=scene.dark)
    script = f"""
import sys
import numpy as np
from gliomap.engine import Engine
engine, scene = Engine.open({str(tmp_path / "bundle")!r}, threads=2), np.load({str(tmp_path / "scene.npz")!r})
raw, references = scene["raw"], engine.prepare(scene["white"], scene["dark"])
first = engine.classify_frame(raw, references)
def classify():
    assert (engine.classify_frame(raw, references).labels == first.labels).all()
    print("classified", flush=True)
{AFTERWARDS[when]}
"""
    # Python 3.12 and newer warn about forking a process that has threads.
    words = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "classified\n", "")
