"""Formula frames, through a bundle of the thesis's weights, give what the original code computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gliomap.engine import BACKENDS, BackendName, Engine
from gliomap.learning import load_model
from gliomap.learning.export import BundleInfo, export_bundle
from gliomap.preprocessing import preprocess
from gliomap.sensors import get_sensor
from golden import formula_frames
from support import shared

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = load_model(shared("data", "golden", "golden_dev.safetensors"), "conv2d")
    info = BundleInfo("golden", sensor=get_sensor("nemesis"))
    return export_bundle(model, tmp_path_factory.mktemp("golden") / "bundle.zip", info).path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["frame", "cube"])
def test_maps_match_those_of_the_original_code(
    bundle: Path, golden: dict[str, npt.NDArray[np.generic]], backend: BackendName, kind: str
) -> None:
    raw, white, dark = formula_frames(1088, 2048)
    np.testing.assert_array_equal([frame.sum(dtype=np.int64) for frame in (raw, white, dark)], golden["checksum"])
    engine = Engine.open(bundle, backend=backend)
    references = engine.prepare(white, dark)
    found = (
        engine.classify_frame(raw, references) if kind == "frame" else engine.classify_cube(preprocess(raw, references))
    )
    at = (golden["rows"], golden["cols"])
    expected = golden["probabilities"]
    assert found.blanked is None
    assert found.mask.all()
    np.testing.assert_allclose(found.probabilities[at], expected, atol=1e-4)
    best = np.sort(expected, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found.labels[at][clear], golden["labels"][clear])
