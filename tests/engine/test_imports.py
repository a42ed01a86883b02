"""A bundle runs without loading any library for training."""

from __future__ import annotations

import json
import os
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
    """The modules among HEAVY and the backends that are loaded after running `code` in a fresh interpreter."""
    names = (*HEAVY, "openvino", "onnxruntime")
    script = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout.splitlines()[-1]))


def test_importing_the_engine_loads_no_backend_or_training_library() -> None:
    assert loaded("import gliomap.engine") == set()


def classifying(folder: Path) -> str:
    """Code that classifies a frame with a bundle written into `folder`."""
    path = small_bundle(folder / "bundle", network=window_network(), sensor=small_sensor()).path
    return f"""
import numpy as np
from gliomap.engine import Engine
engine = Engine.open({str(path)!r})
white = np.full(engine.sensor.frame_shape, 800, np.uint16)
engine.classify_frame(white // 2, engine.prepare(white, white // 20))
"""


def test_classifying_loads_the_backend_and_no_training_library(tmp_path: Path) -> None:
    assert loaded(classifying(tmp_path)) == {"onnxruntime"}


def test_telemetry_is_switched_off_before_the_backend_loads(tmp_path: Path) -> None:
    """The variable is read when ONNX Runtime is loaded; its value at that moment is recorded."""
    script = f"""
import builtins, os
load = builtins.__import__
seen = []
def watched(name, *rest):
    if name == "onnxruntime":
        seen.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
    return load(name, *rest)
builtins.__import__ = watched
{classifying(tmp_path)}
print(seen[0])
"""
    known = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    told = subprocess.run([sys.executable, "-c", script], env=known, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "1"


def test_the_backend_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    known = {key: value for key, value in os.environ.items() if key not in {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}}
    subprocess.run([sys.executable, "-c", classifying(tmp_path)], env=known | {"HOME": str(home)}, check=True)
    assert list(home.rglob("*")) == []
