"""Bundles of every format version keep opening, and still give the map that they gave when they were written.

The files in archives/ are never regenerated. A new format version adds its own: a window network, with a frame high enough
to be classified in strips.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gliomap.bundles import open_bundle
from gliomap.engine import BackendName, Engine

ARCHIVES = sorted((Path(__file__).parent / "archives").glob("*.zip"))


def test_every_format_version_has_an_archive() -> None:
    names = ["format-1-window.zip", "format-1.zip", "format-2.zip", "format-3.zip"]
    assert [path.name for path in ARCHIVES] == names


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_an_old_bundle_gives_the_same_map_as_before(path: Path, backend: BackendName, threads: int) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    engine = Engine(open_bundle(path), backend=backend, threads=threads)
    assert engine.bundle.identity == expected["identity"]
    rows, columns = np.mgrid[: engine.sensor.frame_shape[0], : engine.sensor.frame_shape[1]]
    dark = (10 + (3 * columns + 5 * rows) % 7).astype(np.uint16)
    white = (500 + (11 * columns + 7 * rows) % 200).astype(np.uint16)
    share = 5 + (13 * columns + 29 * rows + columns**2 * rows + rows**3) % 90
    raw = (dark + (white - dark) * share // 100).astype(np.uint16)
    raw[5, 6] = 1023
    found = engine.classify_frame(raw, engine.prepare(white, dark))
    np.testing.assert_array_equal(found.labels, expected["labels"])
    np.testing.assert_array_equal(found.reasons, expected["reasons"])
    np.testing.assert_allclose(found.confidence, expected["confidence"], atol=2e-5)
