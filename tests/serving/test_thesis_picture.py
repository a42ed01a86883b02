"""The picture in the thesis's answer: as large as its clients expect, with unclassified pixels shown as such."""

from __future__ import annotations

import numpy as np
import pytest

from gliomap.engine import TissueMap
from gliomap.rendering import hatch
from gliomap.serving._thesis import thesis_picture
from gliomap.taxonomy import THESIS_CLASSES


def map_of(labels: np.ndarray) -> TissueMap:
    shape = labels.shape
    nothing, confidence = np.zeros((*shape, 5), np.float32), np.zeros(shape, np.float32)
    reasons = (labels == 0).astype(np.uint8)
    return TissueMap(labels, nothing, confidence, labels > 0, reasons, THESIS_CLASSES, {}, None, "0" * 64)


@pytest.mark.parametrize(("height", "width", "scale"), [(96, 64, 6), (48, 128, 6), (96, 128, 6)])
def test_the_whole_map_is_centred_on_a_white_page(height: int, width: int, scale: int) -> None:
    labels = np.random.default_rng(0).integers(0, 6, (height, width)).astype(np.uint8)
    page = thesis_picture(map_of(labels))
    assert page.shape == (576, 768, 4)
    assert (page[..., 3] == 255).all()
    top, left = (576 - scale * height) // 2, (768 - scale * width) // 2
    inside = np.zeros((576, 768), bool)
    inside[top : top + scale * height, left : left + scale * width] = True
    assert (page[~inside] == 255).all()
    shown = page[inside].reshape(scale * height, scale * width, 4)[scale // 2 :: scale, scale // 2 :: scale, :3]
    for label, colour in enumerate(THESIS_CLASSES.colours()):
        expected = hatch(height, width)[labels == 0] if label == 0 else np.broadcast_to(colour, (1, 3))
        assert (shown[labels == label] == expected).all()
