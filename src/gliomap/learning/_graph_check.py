"""Check that exported graphs compute what the model computes, patch by patch, on every installed backend."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from gliomap._progress import Track
from gliomap.bundles import Backend, Bundle
from gliomap.engine import BackendName, Engine, Precision, TissueMap, backend_version
from gliomap.errors import ExportMismatchError
from gliomap.learning._calibration import softmax
from gliomap.learning._graph_scene import FrameScene, cube_scene, frame_scene
from gliomap.learning._layers import DenseNetwork
from gliomap.learning._model import BATCH, TissueModel
from gliomap.learning._patches import PatchSource
from gliomap.learning._spectral_graph import SpectralGraph
from gliomap.preprocessing import HyperCube, preprocess

__all__ = ["LABEL_TIE", "MOST_WOBBLE", "PROBABILITY_TOLERANCE", "check_backends"]

LABEL_TIE = 1e-5
"""Labels may differ only where the two best probabilities are this close."""
PROBABILITY_TOLERANCE = 1e-4
"""Both limits grow by the model's own response to rounded spectra (`_Truth.wobble`), at most `MOST_WOBBLE`."""
MOST_WOBBLE = 5e-3

MOST_STEPS = 0.01
"""Share of pixels that may differ for models whose probabilities jump, such as trees: rounding a spectrum may change them."""

_ROUNDING = 8 * 2.0**-24
"""Relative error of a spectrum after a few float32 steps in another order."""
_WOBBLE_PIXELS = 8192

_REPEATS = 5
_MOST_PIXELS = 100_000
"""Maximum number of pixels compared patch by patch; of more, an evenly spaced subset is compared."""

_Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Truth:
    """The model's own result: probabilities (N, C) at `rows` and `columns`, and the validity of all pixels.

    `wobble` is the largest change of a probability when the spectra are rounded differently: no graph can be required
    to come closer. For a network it is about 1e-6. Linear discriminants with weights of some hundreds reach 1e-4,
    since neighbouring bands are nearly collinear.
    """

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    probabilities: _Float32
    reasons: npt.NDArray[np.uint8]
    wobble: float


@dataclass(frozen=True, slots=True)
class _Difference:
    """How two classifications of the same pixels differ.

    Pixels compared; share with equal labels; pixels whose label differs beyond a tie, or whose mask differs; largest
    difference of a probability, the allowed difference, and pixels that exceed it or cannot be compared.
    """

    pixels: int
    agreement: float
    wrong: int
    largest: float
    allowed: float
    beyond: int


def check_backends(
    model: TissueModel | DenseNetwork, bundle: Bundle, *, reduced: bool, threads: int | None, track: Track
) -> dict[str, Backend]:
    """Run the bundle on every installed backend and compare it with the model.

    Parameters
    ----------
    reduced
        Also measure OpenVINO in reduced precision. Its labels may differ, which is recorded, not refused.

    Raises
    ------
    ExportMismatchError
        In float32, a graph's labels, probabilities or mask differ from the model's by more than is allowed.
    """
    scene, cube = _inputs(bundle)
    network = model if isinstance(model, DenseNetwork) else model.dense()
    steps = isinstance(network, SpectralGraph) and network.steps
    truth = _model_itself(model, cube, track)
    wanted: list[tuple[str, BackendName, Precision]] = [("onnxruntime", "onnxruntime", "f32")]
    if find_spec("openvino") is not None and not (isinstance(network, SpectralGraph) and network.uses_ml):
        wanted.append(("openvino", "openvino", "f32"))
        if reduced:
            wanted.append(("openvino-reduced", "openvino", "reduced"))
    return {
        name: _measure(
            Engine(bundle, backend=backend, precision=precision, threads=threads), scene, cube, truth, steps=steps
        )
        for name, backend, precision in track(wanted, "Checking the exported graphs", len(wanted))
    }


def _inputs(bundle: Bundle) -> tuple[FrameScene | None, HyperCube]:
    if bundle.sensor is None:
        return None, cube_scene(bundle.manifest.model.n_bands, bundle.manifest.preprocessing)
    scene = frame_scene(bundle.sensor)
    references = Engine(bundle).prepare(scene.white, scene.dark)
    return scene, preprocess(scene.raw, references)


def _model_itself(model: TissueModel | DenseNetwork, cube: HyperCube, track: Track) -> _Truth:
    """Run the model on windows cut one by one, which shares only the weights with the dense graph."""
    predict: Callable[[_Float32], _Float32]
    if isinstance(model, DenseNetwork):
        network = model

        def predict(patches: _Float32) -> _Float32:
            return softmax(network.valid_logits(patches.transpose(0, 2, 3, 1))[:, 0, 0])
    else:
        predict = model.predict_proba
    source = PatchSource.every_pixel(cube, model.window)
    chosen = np.unique(np.linspace(0, len(source) - 1, min(len(source), _MOST_PIXELS)).astype(np.intp))
    batches = [chosen[first : first + BATCH] for first in range(0, chosen.size, BATCH)]
    parts = [predict(source.windows(which)) for which in track(batches, "Classifying patch by patch", len(batches))]
    rows, columns = source.index[chosen, 1].astype(np.intp), source.index[chosen, 2].astype(np.intp)
    some = source.windows(chosen[:: -(-chosen.size // _WOBBLE_PIXELS)])
    signs = np.random.default_rng(0).choice(np.array([-_ROUNDING, _ROUNDING], np.float32), some.shape)
    wobble = float(np.abs(predict(some * (1 + signs)) - predict(some)).max())
    return _Truth(rows, columns, np.concatenate(parts), cube.reasons, min(wobble, MOST_WOBBLE))


def _measure(engine: Engine, scene: FrameScene | None, cube: HyperCube, truth: _Truth, *, steps: bool) -> Backend:
    """Compare both graphs on one backend, then time them."""
    runs: dict[str, Callable[[], TissueMap]] = {"cube": lambda: engine.classify_cube(cube)}
    if scene is not None:
        references, raw = engine.prepare(scene.white, scene.dark), scene.raw
        runs["frame"] = lambda: engine.classify_frame(raw, references)
    differences, costs = [], {}
    for kind, run in runs.items():
        found = _compare(run(), truth)
        if engine.precision == "f32":
            _refuse(engine, kind, found, most=MOST_STEPS if steps else 0.0)
        differences.append(found)
        costs[kind] = _milliseconds(run)
    return Backend(
        version=backend_version(engine.backend),
        precision=engine.precision,
        agreement=min(found.agreement for found in differences),
        largest_difference=max(found.largest for found in differences),
        ms_per_frame=costs.get("frame"),
        ms_per_cube=costs["cube"],
        pixels=min(found.pixels for found in differences),
        threads=engine.threads,
    )


def _compare(found: TissueMap, truth: _Truth) -> _Difference:
    probabilities = found.probabilities[truth.rows, truth.columns]
    labels = found.labels[truth.rows, truth.columns]
    expected = truth.probabilities.argmax(axis=1) + 1
    best = np.sort(truth.probabilities, axis=1)
    clear = best[:, -1] - best[:, -2] > LABEL_TIE + truth.wobble if best.shape[1] > 1 else np.ones(len(best), np.bool_)
    differ = labels != expected
    masks = int(np.count_nonzero((found.reasons != truth.reasons) | (found.mask != (truth.reasons == 0))))
    largest = np.abs(probabilities - truth.probabilities).max(axis=1)
    allowed = PROBABILITY_TOLERANCE + truth.wobble
    return _Difference(
        pixels=labels.size,
        agreement=float(1 - differ.mean()),
        wrong=int(np.count_nonzero(differ & clear)) + masks,
        largest=float(largest.max()),
        allowed=allowed,
        beyond=int(np.count_nonzero(~(largest <= allowed))),
    )


def _refuse(engine: Engine, kind: str, found: _Difference, *, most: float) -> None:
    """Refuse a graph that differs in more than the share `most` of the pixels."""
    # The conditions are written so that NaN is refused as well.
    if found.wrong == 0 and found.largest <= found.allowed:
        return
    if found.wrong <= most * found.pixels and found.beyond <= most * found.pixels:
        return
    raise ExportMismatchError(
        f"{kind}.onnx under {engine.backend}",
        f"{found.wrong} of {found.pixels} pixels differ from the model in label or mask, "
        f"and probabilities differ by up to {found.largest:.2g} (allowed: {found.allowed:.2g})",
        "Nothing was written. Report this with the versions of onnx and of the backend.",
    )


def _milliseconds(run: Callable[[], TissueMap]) -> float:
    """Median time of a few runs."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1e3, 3)
