"""Frames made by a formula give the probabilities that the thesis's own code computed."""

from __future__ import annotations

import numpy as np
import pytest

from gliomap.learning import LabelledCube, PatchSource, load_model, predict
from gliomap.preprocessing import prepare_references, preprocess
from gliomap.sensors import get_sensor
from golden import formula_frames
from support import shared


@pytest.mark.shared
def test_probabilities_match_the_original_code():
    with np.load(shared("data", "golden", "golden_dev.npz")) as golden:
        rows, columns, checksum = golden["rows"], golden["cols"], golden["checksum"]
        probabilities, labels = golden["probabilities"], golden["labels"]
    raw, white, dark = formula_frames()
    assert [int(frame.sum()) for frame in (raw, white, dark)] == checksum.tolist()

    cube = preprocess(raw, prepare_references(white, dark, get_sensor("nemesis")))
    assert cube.mask.all()
    chosen = np.zeros(cube.mask.shape, bool)
    chosen[rows, columns] = True
    nothing = np.zeros(cube.mask.shape, np.uint8)
    source = PatchSource([LabelledCube("golden", "golden", cube.data, nothing)], 7, pixels=[chosen])
    found = np.zeros((*cube.mask.shape, 5), np.float32)
    model = load_model(shared("data", "golden", "golden_dev.safetensors"), "conv2d")
    found[source.index[:, 1], source.index[:, 2]] = predict(model, source)

    ours = found[rows, columns]
    np.testing.assert_allclose(ours, probabilities, atol=1e-4)
    best = np.sort(probabilities, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    assert clear.sum() > 2900
    np.testing.assert_array_equal(ours.argmax(axis=1)[clear] + 1, labels[clear])
