"""Frames and cubes become maps; invalid pixels are masked, and each has its reason."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.makers import linear_network, small_bundle, small_sensor, window_network
from gliomap.bundles import Bundle
from gliomap.engine import BACKENDS, BackendName, Engine
from gliomap.engine._backend import Outputs
from gliomap.errors import BundleError, CaptureError, CubeError, MissingExtraError, ReferenceFrameError, UsageError
from gliomap.learning._graph_scene import FrameScene, cube_scene, frame_scene
from gliomap.preprocessing import HyperCube, PreprocessingConfig, Reason, prepare_references, preprocess

NOON = datetime(2026, 5, 4, 12, 0)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle(tmp_path / "bundle", network=window_network(), sensor=small_sensor())


@pytest.fixture
def scene() -> FrameScene:
    return frame_scene(small_sensor())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("after_division", [True, False])
def test_a_frame_gives_the_map_of_its_preprocessed_cube(
    tmp_path: Path, backend: BackendName, after_division: bool
) -> None:
    sensor = small_sensor(after_division=after_division)
    network = window_network()
    engine = Engine(small_bundle(tmp_path / "bundle", network=network, sensor=sensor), backend=backend, threads=1)
    scene = frame_scene(sensor)
    references = engine.prepare(scene.white, scene.dark)
    cube = preprocess(scene.raw, references)
    by_frame, by_cube = engine.classify_frame(scene.raw, references), engine.classify_cube(cube)
    logits = network.logits(cube.data)
    for found in (by_frame, by_cube):
        np.testing.assert_array_equal(found.labels, np.where(cube.mask, logits.argmax(axis=2) + 1, 0))
        np.testing.assert_array_equal(found.reasons, cube.reasons)
        np.testing.assert_array_equal(found.mask, cube.mask)
        np.testing.assert_allclose(found.probabilities.sum(axis=2), cube.mask, atol=1e-5)
        np.testing.assert_array_equal(found.confidence, found.probabilities.max(axis=2))
    np.testing.assert_allclose(by_frame.probabilities, by_cube.probabilities, atol=1e-5)
    assert set(np.unique(cube.reasons)) >= {0, Reason.SATURATED, Reason.DARK, Reason.ZERO_BRIGHTNESS, Reason.DEFECTIVE}


def test_a_map_carries_probabilities_bundle_identity_and_timings(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle)
    found = engine.classify_frame(scene.raw, engine.prepare(scene.white, scene.dark))
    assert (found.height, found.width) == small_sensor().cube_shape
    assert found.probabilities.shape == (found.height, found.width, len(found.classes))
    assert found.labels.dtype == np.uint8
    assert found.blanked is None
    assert found.bundle == bundle.identity
    assert sum(found.pixel_counts().values()) == np.count_nonzero(found.mask)
    stages = {name: time for name, time in found.timings.items() if name != "total"}
    assert sum(stages.values()) == pytest.approx(found.timings["total"])
    assert set(stages) == {"check", "graph", "finish"}


def test_a_saturated_tile_counts_as_zero_and_leaves_no_trace_afterwards(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle)
    references = engine.prepare(scene.white, scene.dark)
    clean = scene.raw.copy()
    clean[clean >= 1023] = 400
    before = engine.classify_frame(clean, references)
    glint = clean.copy()
    glint[9, 12] = 1023
    masked = engine.classify_frame(glint, references)
    expected = engine.classify_cube(preprocess(glint, references))
    np.testing.assert_allclose(masked.probabilities, expected.probabilities, atol=1e-5)
    assert np.abs(masked.probabilities - before.probabilities)[masked.mask].max() > 1e-3
    after = engine.classify_frame(clean, references)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_threads_can_share_an_engine(bundle: Bundle, scene: FrameScene, backend: BackendName) -> None:
    engine = Engine(bundle, backend=backend, threads=1)
    references = engine.prepare(scene.white, scene.dark)
    frames = []
    for number in range(6):
        frame = scene.raw.copy()
        frame[3 + 2 * number, 4 + 3 * number] = 1023
        frames.append(frame)
    alone = [engine.classify_frame(frame, references) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: engine.classify_frame(frame, references), frames * 5))
    for number, found in enumerate(together):
        np.testing.assert_array_equal(found.labels, alone[number % 6].labels)
        np.testing.assert_array_equal(found.probabilities, alone[number % 6].probabilities)


def test_arrays_of_a_map_do_not_change_with_the_next_frame(bundle: Bundle, scene: FrameScene) -> None:
    for backend in ("onnxruntime", "openvino"):
        engine = Engine(bundle, backend=backend)
        references = engine.prepare(scene.white, scene.dark)
        first = engine.classify_frame(scene.raw, references)
        kept = first.probabilities.copy()
        engine.classify_frame(scene.raw[:, ::-1].copy(), references)
        np.testing.assert_array_equal(first.probabilities, kept)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (23, 2), (8, 8)])
def test_cubes_of_any_size_are_classified(bundle: Bundle, shape: tuple[int, int]) -> None:
    network, engine = window_network(), Engine(bundle)
    data = np.random.default_rng(3).normal(0.5, 0.2, (*shape, 4)).astype(np.float32)
    cube = HyperCube(data, None, "reflectance", np.ones(shape, np.bool_), np.zeros(shape, np.uint8))
    np.testing.assert_array_equal(engine.classify_cube(cube).labels, network.logits(data).argmax(axis=2) + 1)


def test_a_masked_pixel_of_a_cube_counts_as_zero_whatever_it_holds(bundle: Bundle) -> None:
    engine, cube = Engine(bundle), cube_scene(4, PreprocessingConfig())
    data, mask = cube.data.copy(), cube.mask.copy()
    mask[5, 5] = False
    data[5, 5] = 7
    dirty = engine.classify_cube(HyperCube(data, None, cube.units, mask, cube.reasons))
    data[5, 5] = 0
    clean = engine.classify_cube(HyperCube(data, None, cube.units, mask, cube.reasons))
    np.testing.assert_array_equal(dirty.probabilities, clean.probabilities)
    assert dirty.labels[5, 5] == 0
    assert dirty.reasons[5, 5] == Reason.OUTSIDE


def test_a_zero_spectrum_of_a_cube_is_not_classified(bundle: Bundle) -> None:
    data = np.ones((4, 4, 4), np.float32)
    data[2, 1] = 0
    cube = HyperCube(data, None, "reflectance", np.ones((4, 4), np.bool_), np.zeros((4, 4), np.uint8))
    found = Engine(bundle).classify_cube(cube)
    assert found.reasons[2, 1] == Reason.ZERO_BRIGHTNESS
    assert (found.labels == 0).sum() == 1
    assert not found.probabilities[2, 1].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_shadow_of_noise_below_the_brightness_floor_is_not_classified(
    tmp_path: Path, scene: FrameScene, backend: BackendName
) -> None:
    raw = scene.raw.copy()
    rows = slice(0, 20)
    raw[rows] = scene.dark[rows] + np.random.default_rng(0).integers(0, 2, scene.dark[rows].shape, np.uint16)
    found = {}
    for floor in (1e-6, 0.02):
        bundle = small_bundle(
            tmp_path / f"{floor}", network=window_network(), sensor=small_sensor(), min_brightness=floor
        )
        engine = Engine(bundle, backend=backend, threads=1)
        found[floor] = engine.classify_frame(raw, engine.prepare(scene.white, scene.dark))
    shadow = found[1e-6].mask & ~found[0.02].mask
    assert np.count_nonzero(shadow[:3]) > 10, "the thesis's floor must let some of the noise through"
    assert not found[0.02].labels[:3].any()
    assert (found[0.02].reasons[shadow] == Reason.ZERO_BRIGHTNESS).all()


def test_a_spectrum_close_to_overflow_gives_no_nan(bundle: Bundle) -> None:
    data = np.ones((4, 4, 4), np.float32)
    data[2, 1] = 3e38
    cube = HyperCube(data, None, "reflectance", np.ones((4, 4), np.bool_), np.zeros((4, 4), np.uint8))
    found = Engine(bundle).classify_cube(cube)
    assert np.isfinite(found.confidence).all()
    assert np.isfinite(found.probabilities).all()
    assert not found.probabilities[found.labels == 0].any()


def test_invalid_references_blank_the_map(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle)
    swapped = engine.prepare(scene.dark, scene.white)
    assert swapped.fault is not None
    found = engine.classify_frame(scene.raw, swapped)
    assert found.blanked is not None
    assert "invalid" in found.blanked
    assert not found.labels.any()
    assert not found.mask.any()
    assert not found.probabilities.any()
    assert found.timings["graph"] == found.timings["finish"] == 0
    assert found.timings["check"] == found.timings["total"]


def test_references_that_leave_no_valid_pixel_blank_the_map(bundle: Bundle, scene: FrameScene) -> None:
    nothing = prepare_references(scene.dark, scene.dark, small_sensor(), bundle.manifest.preprocessing)
    found = Engine(bundle).classify_frame(scene.raw, nothing)
    assert found.blanked == "the references leave no valid pixel"
    assert (found.reasons & Reason.DARK).all()


@pytest.mark.parametrize(
    ("references_at", "frame_at", "blanked"),
    [
        (NOON, NOON + timedelta(minutes=60), None),
        (NOON, NOON - timedelta(minutes=60), None),
        (NOON, NOON + timedelta(minutes=61), "61.0 min older than the frame; the limit is 60.0 min"),
        (NOON, NOON - timedelta(minutes=61), "61.0 min younger"),
        (None, NOON, "it is not known when the references were taken"),
        (NOON, None, "it is not known when the frame was taken"),
    ],
)
def test_stale_references_blank_the_map(
    bundle: Bundle,
    scene: FrameScene,
    references_at: datetime | None,
    frame_at: datetime | None,
    blanked: str | None,
) -> None:
    engine = Engine(bundle, max_reference_age=timedelta(hours=1))
    references = engine.prepare(scene.white, scene.dark, taken_at=references_at)
    found = engine.classify_frame(scene.raw, references, taken_at=frame_at)
    if blanked is None:
        assert found.blanked is None
        assert found.labels.any()
    else:
        assert re.search(blanked, found.blanked or "")
        assert not found.labels.any()
        assert not found.mask.any()


def test_times_with_and_without_time_zone_are_not_compared(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle, max_reference_age=timedelta(hours=1))
    references = engine.prepare(scene.white, scene.dark, taken_at=NOON.replace(tzinfo=UTC))
    with pytest.raises(UsageError, match="time zone"):
        engine.classify_frame(scene.raw, references, taken_at=NOON)


def test_without_an_age_limit_old_references_are_accepted(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle)
    references = engine.prepare(scene.white, scene.dark, taken_at=NOON - timedelta(days=400))
    assert engine.classify_frame(scene.raw, references, taken_at=NOON).blanked is None


def test_frames_of_another_shape_or_type_are_refused(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle)
    references = engine.prepare(scene.white, scene.dark)
    for wrong in (scene.raw[:-1], scene.raw.astype(np.float32), scene.raw[np.newaxis]):
        with pytest.raises(CaptureError, match="uint16 20×25"):
            engine.classify_frame(wrong, references)
        with pytest.raises(CaptureError):
            engine.prepare(wrong, scene.dark)


def test_frames_need_not_be_contiguous_or_writable(bundle: Bundle, scene: FrameScene) -> None:
    for backend in ("onnxruntime", "openvino"):
        engine = Engine(bundle, backend=backend)
        references = engine.prepare(scene.white, scene.dark)
        expected = engine.classify_frame(scene.raw, references)
        fortran, fixed = np.asfortranarray(scene.raw), scene.raw.copy()
        fixed.setflags(write=False)
        for frame in (fortran, fixed):
            np.testing.assert_array_equal(engine.classify_frame(frame, references).labels, expected.labels)


def test_references_of_another_sensor_or_chain_are_refused(bundle: Bundle, scene: FrameScene) -> None:
    engine = Engine(bundle)
    other = prepare_references(scene.white, scene.dark, small_sensor(after_division=False, name="other"))
    with pytest.raises(ReferenceFrameError, match="sensor 'other'"):
        engine.classify_frame(scene.raw, other)
    plain = prepare_references(scene.white, scene.dark, small_sensor(), PreprocessingConfig(normalisation="snv"))
    with pytest.raises(ReferenceFrameError, match="preprocessing"):
        engine.classify_frame(scene.raw, plain)


def test_a_bundle_for_cubes_only_refuses_references(tmp_path: Path, scene: FrameScene) -> None:
    engine = Engine.open(small_bundle(tmp_path / "bundle", network=linear_network()).path)
    engine.load()
    with pytest.raises(BundleError, match=r"no frame\.onnx"):
        engine.prepare(scene.white, scene.dark)


def test_cubes_with_another_number_of_bands_are_refused(bundle: Bundle) -> None:
    with pytest.raises(CubeError, match="takes 4 bands"):
        Engine(bundle).classify_cube(cube_scene(5, PreprocessingConfig()))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_cubes_without_pixels_are_refused(bundle: Bundle, shape: tuple[int, int]) -> None:
    nothing = HyperCube(np.zeros((*shape, 4), np.float32), None, "", np.ones(shape, bool), np.zeros(shape, np.uint8))
    with pytest.raises(CubeError, match=f"is {shape[0]}×{shape[1]}×4"):
        Engine(bundle).classify_cube(nothing)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"backend": "tensorrt"}, "backend 'tensorrt'"),
        ({"precision": "int4"}, "precision 'int4'"),
        ({"precision": "reduced"}, "not available with onnxruntime"),
        ({"threads": 0}, "threads"),
    ],
)
def test_invalid_options_are_refused(bundle: Bundle, options: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Engine(bundle, **options).load()


def test_missing_openvino_names_the_extra_to_install(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliomap.engine._backend.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"gliomap\[openvino\]"):
        Engine(bundle, backend="openvino").load()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_graph_that_a_backend_cannot_load_is_a_bundle_error(bundle: Bundle, backend: BackendName) -> None:
    broken = Bundle(bundle.path, bundle.manifest, bundle.identity, b"\x08\x0a not a graph", None, "")
    with pytest.raises(BundleError, match=r"cube\.onnx: cannot be loaded by " + backend + r" \((?!Exception from)"):
        Engine(broken, backend=backend).classify_cube(cube_scene(4, PreprocessingConfig()))


def test_a_graph_that_classifies_masked_pixels_is_overruled(
    bundle: Bundle, scene: FrameScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(bundle)
    references = engine.prepare(scene.white, scene.dark)
    shape = small_sensor().cube_shape

    def careless(_: object) -> Outputs:
        return Outputs(
            np.full(shape, 2, np.uint8), np.full(shape, 0.9, np.float32), np.full((5, *shape), 0.2, np.float32)
        )

    monkeypatch.setattr(engine, "_runner", lambda _: careless)
    found = engine.classify_frame(scene.raw, references)
    assert not found.mask.all()
    for array in (found.labels, found.confidence, found.probabilities.max(axis=2)):
        np.testing.assert_array_equal(array > 0, found.mask)
