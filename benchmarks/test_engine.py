"""Raw mosaic → labels + confidence, with prepared references, on each backend; and where the time goes."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from benchmarks.conftest import Measure
from benchmarks.machine import THREADS
from gliomap.bundles import Bundle
from gliomap.engine import BackendName, Engine, Precision
from gliomap.engine._rows import free_rows
from gliomap.learning import TissueModel, predict_map
from gliomap.phantom import RenderedPatient
from gliomap.preprocessing import References, preprocess

PROFILED = 40
TIE = 1e-5

BACKENDS = [("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "reduced")]


@pytest.mark.parametrize(("backend", "precision"), BACKENDS, ids=lambda one: str(one))
def test_frame(
    benchmark: Any,
    against_limit: Measure,
    bundle: Bundle,
    frame: RenderedPatient,
    references: References,
    backend: BackendName,
    precision: Precision,
) -> None:
    engine = Engine(bundle, backend=backend, precision=precision, threads=THREADS)
    timings: list[dict[str, float]] = []

    def classify() -> None:
        # Each map is dropped when the next one arrives, as in a stream; kept maps would add the system's memory allocation to the time.
        timings.append(engine.classify_frame(frame.raw, references).timings)

    against_limit(classify)
    stages = {stage: float(np.median([one[stage] for one in timings])) for stage in timings[0]}
    benchmark.extra_info["stages_s"] = stages
    name = "openvino-reduced" if precision == "reduced" else backend
    benchmark.extra_info["agreement"] = bundle.manifest.backends[name].agreement


def test_graph_stages(
    benchmark: Any, bundle: Bundle, frame: RenderedPatient, references: References, folder: Path
) -> None:
    """Time per stage of the frame graph, from ONNX Runtime's own profile of one strip on one thread."""
    assert bundle.sensor is not None
    rows = free_rows(bundle.manifest, bundle.sensor)
    assert rows is not None
    strip = rows.strips(THREADS)[-1]
    (part,) = strip.given
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name, size in rows.sizes(strip).items():
        options.add_free_dimension_override_by_name(name, size)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(bundle.frame_graph, options, providers=["CPUExecutionProvider"])
    inputs = {
        "raw": frame.raw[rows.with_top(part.of_frame)],
        "dark": references.dark[rows.with_top(part.of_frame)],
        "gain": references.gain[rows.with_top(part.of_frame)],
        "scale": np.ascontiguousarray(references.scale[:, part.of_frame]),
    }
    benchmark.pedantic(lambda: session.run(None, inputs), rounds=PROFILED, warmup_rounds=2)
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["name"].removesuffix("_kernel_time")].append(event["dur"] / 1e6)
    stages: dict[str, float] = defaultdict(float)
    for name, times in nodes.items():
        stage, slash, _ = name.partition("/")
        # ONNX Runtime itself inserts the nodes without a stage: changes of layout.
        stages[stage if slash else "layout"] += float(np.median(times))
    benchmark.extra_info["stages_s"] = dict(stages)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_dense_is_patch_by_patch(
    benchmark: Any,
    bundle: Bundle,
    model: TissueModel,
    frame: RenderedPatient,
    references: References,
    backend: BackendName,
) -> None:
    """Compare every pixel of a full phantom frame with the network itself on single patches."""
    cube = preprocess(frame.raw, references)
    expected = benchmark.pedantic(lambda: predict_map(model, cube), rounds=1)
    found = Engine(bundle, backend=backend, threads=THREADS).classify_frame(frame.raw, references)
    best = np.sort(expected[cube.mask], axis=1)
    clear = best[:, -1] - best[:, -2] > TIE
    differ = (found.labels != expected.argmax(axis=2) + 1)[cube.mask]
    benchmark.extra_info |= {
        "pixels": int(cube.mask.sum()),
        "different": int((differ & clear).sum()),
        "ties": int((~clear).sum()),
        "largest": float(np.abs(found.probabilities - expected).max()),
    }
    np.testing.assert_array_equal(found.mask, cube.mask)
    assert not (differ & clear).any()
