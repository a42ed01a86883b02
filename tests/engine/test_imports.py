"""A bundle runs where nothing of the training stack is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bundles.makers import small_bundle, small_sensor, window_network

HEAVY = (
    "torch",
    "sklearn",
    "scipy",
    "h5py",
    "matplotlib",
    "onnx",
    "safetensors",
    "gliomap.learning",
    "gliomap.studies",
)


def loaded(code: str) -> set[str]:
    """Those of HEAVY and the backends that are loaded after running `code` in a fresh interpreter."""
    names = (*HEAVY, "openvino", "onnxruntime")
    script = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout.splitlines()[-1]))


def test_importing_the_engine_loads_no_backend_either() -> None:
    assert loaded("import gliomap.engine") == set()


def test_classifying_loads_the_backend_and_nothing_of_training(tmp_path: Path) -> None:
    path = small_bundle(tmp_path / "bundle", network=window_network(), sensor=small_sensor()).path
    code = f"""
import numpy as np
from gliomap.engine import Engine
engine = Engine.open({str(path)!r})
white = np.full(engine.sensor.frame_shape, 800, np.uint16)
engine.classify_frame(white // 2, engine.prepare(white, white // 20))
"""
    assert loaded(code) == {"onnxruntime"}
