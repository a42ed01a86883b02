"""A map in numbers, tested on one small enough to count by eye."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gliomap.engine import TissueMap, class_shares
from gliomap.errors import TaxonomyError
from gliomap.preprocessing import Reason, reason_counts
from gliomap.taxonomy import THESIS_CLASSES

LABELS = np.array([[0, 1, 2, 2], [2, 0, 5, 0]], np.uint8)
CONFIDENCE = np.array([[0, 0.9, 0.5, 0.6], [0.7, 0, 0.3, 0]], np.float32)
REASONS = np.array([[3, 0, 0, 0], [0, 1, 0, 4]], np.uint8)


@pytest.fixture
def tissue() -> TissueMap:
    probabilities = np.zeros((2, 4, 5), np.float32)
    return TissueMap(LABELS, probabilities, CONFIDENCE, LABELS > 0, REASONS, THESIS_CLASSES, {}, None, "0" * 64)


def test_every_class_has_its_pixels_share_and_mean_confidence(tissue: TissueMap) -> None:
    assert (tissue.height, tissue.width) == (2, 4)
    assert tissue.pixel_counts() == {"healthy": 1, "tumour": 3, "venous": 0, "arterial": 0, "dura mater": 1}
    shares = class_shares(tissue)
    assert [one.index for one in shares] == [1, 2, 3, 4, 5]
    assert {one.name: one.pixels for one in shares} == tissue.pixel_counts()
    assert [one.share for one in shares] == [0.2, 0.6, 0, 0, 0.2]
    assert [one.mean_confidence for one in shares] == pytest.approx([0.9, 0.6, None, None, 0.3])
    assert [one.colour for one in shares] == [one.colour for one in THESIS_CLASSES.classes]


def test_the_colours_are_those_of_the_palette(tissue: TissueMap) -> None:
    assert [one.colour for one in class_shares(tissue, "safe")] == [one.safe_colour for one in THESIS_CLASSES.classes]
    with pytest.raises(TaxonomyError, match="sepia"):
        class_shares(tissue, "sepia")


def test_masked_pixels_are_counted_under_each_of_their_reasons(tissue: TissueMap) -> None:
    assert Reason.SATURATED | Reason.DARK == 3
    assert reason_counts(tissue.reasons) == {"saturated": 2, "dark": 1, "zero_brightness": 1}


def test_a_map_without_classified_pixels_has_no_shares(tissue: TissueMap) -> None:
    nothing = dataclasses.replace(tissue, labels=np.zeros_like(LABELS), confidence=np.zeros_like(CONFIDENCE))
    for one in class_shares(nothing):
        assert (one.pixels, one.share, one.mean_confidence) == (0, None, None)
